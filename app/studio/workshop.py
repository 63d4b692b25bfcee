"""What the screens share: one loaded Avatar, a queue of runs, and a place for each visitor.

A visitor is known by a random key that their browser keeps and no page shows; nothing that comes
from a visitor becomes a path. What is theirs (results, projects, runs) lives in a Session, is
reached through it alone, and is removed when they leave, do nothing for a while, or its time is
over. The limits are the server's: the same as those of the API.
"""

import contextlib
import queue
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from app.intake.limits import Limits
from app.intake.sandbox import Check, shared_sandbox
from app.intake.values import SandboxReader
from app.jobs.plan import Pace
from app.render.pipeline import Avatar
from app.render.request import Renderer
from app.studio.project import Project
from app.studio.visitor_files import VisitorFiles
from audio2motion.voice.endpoint import Endpoint
from weights.errors import BusyError, LimitError, VisavisError

if TYPE_CHECKING:
    from app.studio.visitor_batch import VisitorBatch

State = Literal["waiting", "working", "done", "failed", "cancelled"]
_LOOK_S = 0.2
"""The preview shows a new frame at most this often."""
_STRIP = 40
"""Most thumbnails in the film strip: then every other one goes."""
_THUMB = 72
_TIDY_S = 60.0


class Cancelled(Exception):  # noqa: N818 (nothing went wrong)
    """Raised inside the work of a run that its visitor has cancelled."""


class Run:
    """One piece of work on its way. Its own thread writes, any thread reads.

    `videos` are how many it makes; `what`, `done`, `total` and `rate` (a second) say how far it is;
    `strip` and `look` are JPEG pictures: a thumbnail for about every second of the video, and the
    latest frame.
    """

    def __init__(self, work: "Work", videos: int = 1) -> None:
        self.work, self.videos = work, videos
        self.state: State = "waiting"
        self.what, self.done, self.total, self.rate = "", 0, 0, 0.0
        self.error = ""
        self.result: Any = None
        self.notices: list[str] = []
        self.strip: list[bytes] = []
        self.look = b""
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._looked = 0.0
        self._every = 25
        self._frames = 0
        self._first: tuple[str, float, int] = ("", 0.0, 0)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self._ended.is_set()

    @property
    def eta_s(self) -> float | None:
        """Seconds left of what is being done; None while nobody knows."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; whether it has come."""
        return self._ended.wait(seconds)

    def cancel(self) -> None:
        """Stop at the next frame, or at once when it has not begun. Harmless when it is over."""
        self._stop.set()
        if self.state == "waiting":
            self._finish("cancelled")

    def check(self) -> None:
        """Raise Cancelled when the visitor wants no more of it."""
        if self._stop.is_set():
            raise Cancelled

    def progress(self, what: str, done: int, total: int) -> None:
        """As app.render.request.Progress; raises Cancelled as `check` does."""
        self.check()
        now = time.perf_counter()
        if self._first[0] != what:
            self._first = (what, now, done)
        spent = now - self._first[1]
        self.rate = (done - self._first[2]) / spent if spent > 0.1 else 0.0
        self.what, self.done, self.total = what, done, total

    def show(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """The preview's next frame."""
        if self._frames % self._every == 0:
            height, width = frame.shape[:2]
            small = cv2.resize(frame, (max(1, round(width * _THUMB / height)), _THUMB))
            self.strip = [*self.strip, jpeg(small.astype(np.uint8))]
            if len(self.strip) > _STRIP:
                self.strip, self._every = self.strip[::2], self._every * 2
        self._frames += 1
        if time.perf_counter() - self._looked >= _LOOK_S:
            self.look, self._looked = jpeg(frame), time.perf_counter()

    def perform(self) -> None:
        """Do the work, in the thread of the caller."""
        if self.ended:
            return
        self.state = "working"
        try:
            self.result = self.work(self)
            self._finish("done")
        except Cancelled:
            self._finish("cancelled")
        except VisavisError as error:
            self.error = str(error)
            self._finish("failed")
        except Exception as error:
            # The thread serves everybody: it must outlive a fault in one run, and the visitor
            # shall hear of it without hearing the server's paths.
            self.error = f"this is a fault of visavis, not yours ({type(error).__name__})"
            self.fault = error
            self._finish("failed")

    def _finish(self, state: State) -> None:
        self.state = state
        self._ended.set()


Work = Callable[[Run], Any]


@dataclass(eq=False)
class Session:
    """What belongs to one open page of a visitor: its runs, results and project. `owner` is the
    visitor, who may have several; `folder` is the page's alone and goes with it.
    """

    folder: Path
    used: float
    owner: str
    runs: list[Run] = field(default_factory=list)
    project: Project | None = None
    batch: "VisitorBatch | None" = None
    made: dict[Path, float] = field(default_factory=dict)

    def new_folder(self) -> Path:
        """A fresh folder in the visitor's own."""
        path = self.folder / secrets.token_urlsafe(12)
        path.mkdir(parents=True, mode=0o700)
        self.made[path] = time.monotonic()
        return path

    @property
    def busy(self) -> bool:
        """Whether something is made for it, or shall be."""
        return any(not run.ended for run in self.runs)

    def drop(self, folder: Path) -> None:
        """Remove one of its folders with what was in it."""
        if self.project is not None and self.project.cache.folder.is_relative_to(folder):
            self.project = None
        if self.batch is not None and self.batch.folder.is_relative_to(folder):
            self.batch = None
        self.made.pop(folder, None)
        shutil.rmtree(folder, ignore_errors=True)


class Workshop:
    """One Avatar, `limits.workers` threads that work, any number of visitors. Close it at the end.

    `endpoint` is a language model that visitors may ask. `waiting_elsewhere` says how many jobs
    the rest of the server has waiting, which share the places of `limits.max_waiting`.
    """

    def __init__(
        self,
        folder: Path,
        load: Callable[[], Avatar],
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        endpoint: Endpoint | None = None,
        waiting_elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        self.limits, self.endpoint = limits, endpoint
        self.pace = Pace()
        self.files = VisitorFiles(folder / "uploads", limits)
        self._folder = folder
        self._load = load
        self._elsewhere = waiting_elsewhere
        self._loaded: Future[Avatar] | None = None
        self._sessions: dict[str, Session] = {}
        self._waiting: deque[Run] = deque()
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._closing = threading.Event()
        shutil.rmtree(folder, ignore_errors=True)  # what a killed server left is nobody's
        self._threads = [
            threading.Thread(target=self._serve, name=f"visavis-runs-{number}", daemon=True)
            for number in range(limits.workers)
        ]
        self._threads.append(threading.Thread(target=self._tidy, name="visavis-tidy", daemon=True))
        for thread in self._threads:
            thread.start()

    def avatar(self, renderer: Renderer = "diffusion", check: Check | None = None) -> Avatar:
        """The one Avatar, loaded by whoever asks first; the others wait for it. It has visitors'
        files read in a sandbox; what `check` raises meanwhile ends that.
        """
        avatar = replace(self._base(), reader=SandboxReader(shared_sandbox(), check))
        if renderer == "diffusion":
            return avatar
        return replace(avatar, renderer=avatar.renderer.draft())

    def _base(self) -> Avatar:
        with self._lock:
            mine = self._loaded is None
            if self._loaded is None:
                self._loaded = Future()
            loaded = self._loaded
        if mine:
            try:
                loaded.set_result(self._load())
            except BaseException as error:
                with self._lock:
                    self._loaded = None  # the next one may be luckier
                loaded.set_exception(error)
        return loaded.result()

    def session(self, key: str, owner: str | None = None) -> Session:
        """The session of a visitor's page, made anew for an unknown key; its owner is the key
        where there is no other.
        """
        now = time.monotonic()
        self.sweep(now)
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                folder = self._folder / secrets.token_urlsafe(16)
                session = self._sessions[key] = Session(folder, now, owner or key)
            session.used = now
            return session

    def leave(self, key: str) -> None:
        """Forget a visitor: stop what runs for them and remove their files."""
        with self._lock:
            session = self._sessions.pop(key, None)
        self.files.forget(key)
        if session is not None:
            for run in session.runs:
                run.cancel()
            shutil.rmtree(session.folder, ignore_errors=True)

    def sweep(self, now: float) -> None:
        """Forget those who have done nothing for long, and what was uploaded or made long ago; one
        with a run under way keeps all.
        """
        most = self.limits.expiry_s
        with self._lock:
            busy = {key for key, session in self._sessions.items() if session.busy}
            idle = [(k, s) for k, s in self._sessions.items() if k not in busy]
            old = [key for key, session in idle if now - session.used > most]
            stale = [
                (s, f) for _, s in idle for f, made in list(s.made.items()) if now - made > most
            ]
            for session, folder in stale:
                self.files.forget_below(folder)
                session.drop(folder)
        for key in old:
            self.leave(key)
        self.files.sweep(now, busy)

    def submit(self, session: Session, work: Work, videos: int = 1) -> Run:
        """Queue a piece of work that makes so many videos. Raises BusyError when too many wait, or
        the visitor has too much on its way already, LimitError when their files are too many.
        """
        with self._lock:
            for other in self._sessions.values():
                other.runs = [run for run in other.runs if not run.ended]
            self._require_room(session, videos)
            run = Run(work, videos)
            session.runs.append(run)
            self._waiting.append(run)
        self._wake.put(True)
        return run

    def _require_room(self, session: Session, videos: int) -> None:
        limits = self.limits
        theirs = [s for s in self._sessions.values() if s.owner == session.owner]
        going = sum(len(other.runs) for other in theirs)
        if going >= limits.max_waiting_each:
            raise BusyError(
                f"{going} of your videos are on their way already, and at most "
                f"{limits.max_waiting_each} may be; wait for one"
            )
        waiting = sum(run.videos for run in self._waiting if not run.ended) + self._elsewhere()
        if waiting + videos > limits.max_waiting:
            raise BusyError(
                f"{waiting} videos are waiting here and at most {limits.max_waiting} may; try "
                "again in a few minutes"
            )
        size = self.files.used(session.owner) + sum(_bytes_in(other.folder) for other in theirs)
        if size > limits.quota_bytes:
            raise LimitError(
                f"your files take {size / 1e6:.0f} MB, and at most {limits.quota_bytes / 1e6:g} MB "
                "are kept of one visitor; open the page anew, which removes them"
            )

    def position(self, run: Run | None) -> int:
        """How many runs wait before this one; all that wait for None."""
        with self._lock:
            waiting = [other for other in self._waiting if not other.ended]
        return waiting.index(run) if run in waiting else len(waiting)

    def close(self) -> None:
        """Stop everything and remove all files."""
        with self._lock:
            keys = list(self._sessions)
        for key in keys:
            self.leave(key)
        self._closing.set()
        for _ in self._threads:
            self._wake.put(False)
        for thread in self._threads:
            thread.join(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        while self._wake.get():
            with self._lock:
                run = self._waiting.popleft() if self._waiting else None
            if run is not None:
                run.perform()

    def _tidy(self) -> None:
        """Nobody need come for what is past its time to go."""
        while not self._closing.wait(min(_TIDY_S, self.limits.expiry_s / 4)):
            self.sweep(time.monotonic())


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # its frames come and go
            total += path.stat().st_size
    return total


def jpeg(image: UInt8[np.ndarray, "H W 3"], quality: int = 82) -> bytes:
    """An RGB picture as JPEG."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return data.tobytes()
