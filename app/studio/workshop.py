"""What the screens share: the server's queue of jobs, and a place for each open page.

A visitor is known by a random key that their browser keeps and no page shows; nothing that comes
from a visitor becomes a path. What is theirs (results, projects, errands) lives in a Page, is
reached through it alone, and is removed when they leave, do nothing for a while, or its time is
over. The limits are the server's: the same as those of the API.
"""

import contextlib
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.intake.sandbox import Check
from app.jobs.errand import Errand, Work
from app.jobs.queue import JobQueue
from app.render.pipeline import Avatar
from app.render.request import Renderer
from app.studio.project import Project
from app.studio.visitor_batch import VisitorBatch
from app.studio.visitor_files import VisitorFiles
from audio2motion.voice.endpoint import Endpoint
from weights.errors import LimitError, UnavailableError

_TIDY_S = 60.0


@dataclass(eq=False)
class Page:
    """What belongs to one open page of a visitor: its errands, results and project. `owner` is the
    visitor, who may have several; `folder` is the page's alone and goes with it.
    """

    folder: Path
    used: float
    owner: str
    errands: list[Errand] = field(default_factory=list)
    project: Project | None = None
    batch: VisitorBatch | None = None
    made: dict[Path, float] = field(default_factory=dict)

    def new_folder(self) -> Path:
        """A fresh folder in the page's own."""
        path = self.folder / secrets.token_urlsafe(12)
        path.mkdir(parents=True, mode=0o700)
        self.made[path] = time.monotonic()
        return path

    @property
    def busy(self) -> bool:
        """Whether something is made for it, or shall be."""
        return any(not errand.ended for errand in self.errands)

    def cancel(self) -> None:
        """Stop all that is made for it."""
        for errand in self.errands:
            if not errand.ended:
                errand.cancel()

    def drop(self, folder: Path) -> None:
        """Remove one of its folders with what was in it."""
        if self.project is not None and self.project.cache.folder.is_relative_to(folder):
            self.project = None
        if self.batch is not None and self.batch.folder.is_relative_to(folder):
            self.batch = None
        self.made.pop(folder, None)
        shutil.rmtree(folder, ignore_errors=True)


class Workshop:
    """The pages of any number of visitors, whose errands are done by the server's `queue`. Close
    it before the queue's database. `endpoint` is a language model that visitors may ask.
    """

    def __init__(self, folder: Path, queue: JobQueue, endpoint: Endpoint | None = None) -> None:
        self.queue, self.limits, self.endpoint = queue, queue.limits, endpoint
        self.files = VisitorFiles(folder / "uploads", self.limits)
        self._folder = folder
        self._pages: dict[str, Page] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        shutil.rmtree(folder, ignore_errors=True)  # what a killed server left is nobody's
        self._thread = threading.Thread(target=self._tidy, name="visavis-tidy", daemon=True)
        self._thread.start()

    def avatar(self, renderer: Renderer = "diffusion", check: Check | None = None) -> Avatar:
        """The server's Avatar with one of its renderers, as JobQueue.avatar gives it."""
        avatar = self.queue.avatar(check)
        if renderer == "diffusion":
            return avatar
        return replace(avatar, renderer=avatar.renderer.draft())

    def page(self, key: str, owner: str | None = None) -> Page:
        """A visitor's page, made anew for an unknown key; its owner is the key where there is no
        other.
        """
        now = time.monotonic()
        self.sweep(now)
        with self._lock:
            page = self._pages.get(key)
            if page is None:
                folder = self._folder / secrets.token_urlsafe(16)
                page = self._pages[key] = Page(folder, now, owner or key)
            page.used = now
            return page

    def leave(self, key: str) -> None:
        """Forget a page: stop what runs for it and remove its files."""
        with self._lock:
            page = self._pages.pop(key, None)
        self.files.forget(key)
        if page is not None:
            try:
                page.cancel()
            finally:
                shutil.rmtree(page.folder, ignore_errors=True)

    def sweep(self, now: float) -> None:
        """Forget pages on which nothing was done for long, and what was uploaded or made long ago;
        one with an errand under way keeps all.
        """
        most = self.limits.expiry_s
        with self._lock:
            busy = {key for key, page in self._pages.items() if page.busy}
            idle = [(key, page) for key, page in self._pages.items() if key not in busy]
            old = [key for key, page in idle if now - page.used > most]
            stale = [
                (p, f) for _, p in idle for f, made in list(p.made.items()) if now - made > most
            ]
            for page, folder in stale:
                self.files.forget_below(folder)
                page.drop(folder)
        for key in old:
            self.leave(key)
        self.files.sweep(now, busy)

    def submit(self, page: Page, work: Work, videos: int = 1) -> Errand:
        """Queue a piece of work that makes so many videos. Raises as JobQueue.run does, and
        LimitError when the visitor's files are too many.
        """
        with self._lock:
            page.errands = [errand for errand in page.errands if not errand.ended]
            everybody = [(other.owner, _bytes_in(other.folder)) for other in self._pages.values()]
            self._require_quota(page.owner, sum(n for owner, n in everybody if owner == page.owner))
            errand = self.queue.run(work, page.owner, videos, sum(n for _, n in everybody))
            page.errands.append(errand)
        return errand

    def _require_quota(self, owner: str, made: int) -> None:
        size, most = self.files.used(owner) + self.queue.used(owner) + made, self.limits.quota_bytes
        if size > most:
            raise LimitError(
                f"your files take {size / 1e6:.0f} MB, and at most {most / 1e6:g} MB are kept of "
                "one visitor; open the page anew, which removes them"
            )

    def close(self) -> None:
        """Stop everything and remove all files."""
        with self._lock:
            keys = list(self._pages)
        for key in keys:
            with contextlib.suppress(UnavailableError):  # the queue ends what is left
                self.leave(key)
        self._closing.set()
        self._thread.join(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)

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
