"""What the screens share: the server's queue of jobs, and a place for each open page.

A visitor is known by a random key that their browser keeps and no page shows; nothing that comes
from a visitor becomes a path. What is theirs (results, projects, errands) lives in a Page, is
reached through it alone, and is removed when they leave, do nothing for a while, or its time is
over. Queue, store and limits are the server's: the same as those of the API.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.intake.sandbox import Check
from app.jobs.crew import Running
from app.jobs.errand import Errand, Work
from app.jobs.queue import JobQueue
from app.jobs.store import FileStore
from app.provenance.origin import Provenance
from app.render.pipeline import Avatar
from app.studio.made import Made
from app.studio.project import Project
from app.studio.visitor_batch import VisitorBatch
from app.studio.visitor_files import VisitorFiles
from audio2motion.voice.endpoint import Endpoint
from weights.errors import BusyError, UnavailableError

_TIDY_S = 60.0


@dataclass(eq=False)
class Page:
    """What belongs to one open page of a visitor: its errands, results and project. `owner` is the
    visitor, who may have several; `key` names the page, whose files in the `store` go with it.
    `faceless` is the photo of which it is known that it cannot be used, `samples` are the voices
    that were listened to. On a shelf are `results` and the folder of those that were `packed`.
    """

    store: FileStore
    key: str
    owner: str
    used: float
    errands: list[Errand] = field(default_factory=list)
    faceless: str | None = None
    samples: dict[str, Path] = field(default_factory=dict)
    results: list[Made] = field(default_factory=list)
    packed: Path | None = None
    _asking: Running | None = None
    _project: Project | None = None
    _batch: VisitorBatch | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new_folder(self) -> Path:
        """A fresh folder of the page's. Raises as FileStore.add_folder does."""
        return self.store.add_folder(self.owner, self.key)

    @property
    def project(self) -> Project | None:
        """The clip that can be edited, as long as its frames are there."""
        there = self._project is not None and self._project.cache.folder.exists()
        return self._project if there else None

    def keep(self, project: Project) -> None:
        """The new project in place of the old one, whose frames go."""
        if self._project is not None:
            self._project.cache.remove()
        self._project = project

    @property
    def batch(self) -> VisitorBatch | None:
        """The latest upload of many, as long as its files are there."""
        there = self._batch is not None and self._batch.folder.exists()
        return self._batch if there else None

    @batch.setter
    def batch(self, batch: VisitorBatch) -> None:
        self._batch = batch

    @property
    def busy(self) -> bool:
        """Whether something is made for it, or shall be."""
        return self._asking is not None or any(not errand.ended for errand in self.errands)

    @contextlib.contextmanager
    def asking(self) -> Iterator[Running]:
        """While a language model is asked for it. Raises BusyError when it is being asked."""
        run = Running("", self.owner, [])
        with self._lock:
            if self._asking is not None:
                raise BusyError("the language model is still answering; wait for it")
            self._asking = run
        try:
            yield run
        finally:
            self._asking = None

    def cancel(self) -> None:
        """Stop all that is made for it."""
        if (asking := self._asking) is not None:
            asking.stop.set()
        for errand in self.errands:
            if not errand.ended:
                errand.cancel()

    def drop(self, folder: Path) -> None:
        """Remove one of its folders with what was in it."""
        self.store.remove(folder.name, self.owner)


class Workshop:
    """The pages of any number of visitors, whose errands are done by the server's `queue`, and
    whose files are in its store. Close it before the queue's database. `endpoint` is a language
    model that visitors may ask, `provenance` whose videos are known here.
    """

    def __init__(
        self,
        queue: JobQueue,
        endpoint: Endpoint | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        self.provenance = provenance or Provenance()
        self.queue, self.limits, self.endpoint = queue, queue.limits, endpoint
        self.files = VisitorFiles(queue.store)
        self._pages: dict[str, Page] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._tidy, name="visavis-tidy", daemon=True)
        self._thread.start()

    def avatar(self, check: Check | None = None) -> Avatar:
        """The server's Avatar, as JobQueue.avatar gives it."""
        return self.queue.avatar(check)

    def page(self, key: str, owner: str | None = None) -> Page:
        """A visitor's page, made anew for an unknown key; its owner is the key where there is no
        other.
        """
        now = time.monotonic()
        self.sweep(now)
        with self._lock:
            page = self._pages.setdefault(key, Page(self.queue.store, key, owner or key, now))
            page.used = now
            if shelf := self._pages.get(_shelf_of(page.owner)):
                shelf.used = now
            return page

    def shelf(self, owner: str) -> Page:
        """Where what a visitor has made is kept, whichever page made it; it goes when they have
        done nothing for long.
        """
        return self.page(_shelf_of(owner), owner)

    def leave(self, key: str) -> None:
        """Forget a page: stop what runs for it and remove its files."""
        with self._lock:
            page = self._pages.pop(key, None)
        try:
            if page is not None:
                page.cancel()
        finally:
            self.queue.store.remove_page(key)

    def sweep(self, now: float) -> None:
        """Forget pages on which nothing was done for long; one with an errand under way stays."""
        with self._lock:
            idle = [key for key, page in self._pages.items() if not page.busy]
            old = [key for key in idle if now - self._pages[key].used > self.limits.expiry_s]
        for key in old:
            self.leave(key)

    def submit(self, page: Page, work: Work, videos: int = 1) -> Errand:
        """Queue a piece of work that makes so many videos. Raises as JobQueue.run does."""
        with self._lock:
            page.errands = [errand for errand in page.errands if not errand.ended]
            errand = self.queue.run(work, page.owner, videos, page.key)
            page.errands.append(errand)
        return errand

    def close(self) -> None:
        """Stop everything and remove all files."""
        with contextlib.suppress(UnavailableError):  # the queue ends what is left
            for key in list(self._pages):
                self.leave(key)
            self.queue.store.remove_page()
        self._closing.set()
        self._thread.join(timeout=10)

    def _tidy(self) -> None:
        """Nobody need come for what is past its time to go."""
        while not self._closing.wait(min(_TIDY_S, self.limits.expiry_s / 4)):
            with contextlib.suppress(UnavailableError):  # the next time, then
                self.sweep(time.monotonic())


def _shelf_of(owner: str) -> str:
    return f"{owner} shelf"
