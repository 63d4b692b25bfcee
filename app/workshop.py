"""What the screens share: one loaded Avatar, a queue of runs, and a place for each visitor.

A visitor is known by a random key that their browser keeps and no page shows; nothing that comes
from a visitor becomes a path. What is theirs (results, projects, runs) lives in a Session, is
reached through it alone, and is removed when they leave or do nothing for a while.
"""

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

from app.pipeline import Avatar
from app.plan import Pace
from app.project import Project
from app.request import Renderer
from audio2motion.endpoint import Endpoint
from weights.errors import InputError, VisavisError

if TYPE_CHECKING:
    from app.visitor_batch import VisitorBatch

State = Literal["waiting", "working", "done", "failed", "cancelled"]
_LOOK_S = 0.2
"""The preview shows a new frame at most this often."""
_STRIP = 40
"""Most thumbnails in the film strip: then every other one goes."""
_THUMB = 72


@dataclass(frozen=True)
class WorkshopConfig:
    """`waiting` runs at most in the queue, `waiting_each` of them one visitor's; `expiry_s` after
    which a visitor who does nothing is forgotten; `longest_s` of video at most. `endpoint` is a
    language model that visitors may ask.
    """

    waiting: int = 16
    waiting_each: int = 3
    expiry_s: float = 3600.0
    longest_s: float = 600.0
    endpoint: Endpoint | None = None


class Cancelled(Exception):  # noqa: N818 (nothing went wrong)
    """Raised inside the work of a run that its visitor has cancelled."""


class Run:
    """One piece of work on its way. Its own thread writes, any thread reads.

    `what`, `done`, `total` and `rate` (a second) say how far it is; `strip` and `look` are JPEG
    pictures: a thumbnail for about every second of the video, and the latest frame.
    """

    def __init__(self, work: "Work") -> None:
        self.work = work
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
        """As app.request.Progress; raises Cancelled as `check` does."""
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
    """What belongs to one visitor. `folder` is theirs alone and goes with them."""

    folder: Path
    used: float
    runs: list[Run] = field(default_factory=list)
    project: Project | None = None
    batch: "VisitorBatch | None" = None

    def new_folder(self) -> Path:
        """A fresh folder in the visitor's own."""
        path = self.folder / secrets.token_urlsafe(12)
        path.mkdir()
        return path


class Workshop:
    """One Avatar, one thread that works, any number of visitors. Close it at the end."""

    def __init__(
        self, folder: Path, load: Callable[[], Avatar], config: WorkshopConfig | None = None
    ) -> None:
        self.config = config or WorkshopConfig()
        self.pace = Pace()
        self._folder = folder
        self._load = load
        self._loaded: Future[Avatar] | None = None
        self._sessions: dict[str, Session] = {}
        self._waiting: deque[Run] = deque()
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._serve, name="visavis-runs", daemon=True)
        self._thread.start()

    def avatar(self, renderer: Renderer = "diffusion") -> Avatar:
        """The one Avatar, loaded by whoever asks first; the others wait for it."""
        avatar = self._base()
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

    def session(self, key: str) -> Session:
        """The session of a visitor, made anew for an unknown key."""
        now = time.monotonic()
        self.sweep(now)
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                folder = self._folder / secrets.token_urlsafe(16)
                folder.mkdir(parents=True, mode=0o700)
                session = self._sessions[key] = Session(folder, now)
            session.used = now
            return session

    def leave(self, key: str) -> None:
        """Forget a visitor: stop what runs for them and remove their files."""
        with self._lock:
            session = self._sessions.pop(key, None)
        if session is not None:
            for run in session.runs:
                run.cancel()
            shutil.rmtree(session.folder, ignore_errors=True)

    def sweep(self, now: float) -> None:
        """Forget those who have done nothing for long; one with a run under way stays."""
        with self._lock:
            old = [
                key
                for key, session in self._sessions.items()
                if now - session.used > self.config.expiry_s
                and all(run.ended for run in session.runs)
            ]
        for key in old:
            self.leave(key)

    def submit(self, session: Session, work: Work) -> Run:
        """Queue a piece of work. Raises InputError when the queue is full, or the visitor has
        too much in it already."""
        with self._lock:
            session.runs = [run for run in session.runs if not run.ended]
            if len(session.runs) >= self.config.waiting_each:
                raise InputError(
                    f"{len(session.runs)} of your videos are on their way already; wait for one"
                )
            if self.position(None) >= self.config.waiting:
                raise InputError("too many people are waiting for a video; try again in a minute")
            run = Run(work)
            session.runs.append(run)
            self._waiting.append(run)
        self._wake.put(True)
        return run

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
        self._wake.put(False)
        self._thread.join(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        while self._wake.get():
            with self._lock:
                run = self._waiting.popleft() if self._waiting else None
            if run is not None:
                run.perform()


def jpeg(image: UInt8[np.ndarray, "H W 3"], quality: int = 82) -> bytes:
    """An RGB picture as JPEG."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return data.tobytes()
