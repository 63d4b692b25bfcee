"""What the screens share: the server's queue of jobs, and a place for each open page.

A visitor is known by a random key that their browser keeps and no page shows; nothing that comes
from a visitor becomes a path. What is theirs (results, projects, errands) lives in a Page, is
reached through it alone, and is removed when they leave, do nothing for a while, or its time is
over. A tab that is loaded anew is the same page as before: leaving is final only after a while in
which it has not come back. Queue, store and limits are the server's: the same as those of the API.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

GRACE_S = 60.0
"""Seconds in which a tab that was left may come back: a reload, a wrong click, a lost network."""
_LATE_S = 2.0
"""A request that came so soon after its tab was left was on its way when that was closed."""
_MOST_LEFT = 10_000
_TIDY_S = 60.0
_STOP_S = 2.0
"""For so long an errand that was cancelled is waited for, before its files go."""


@dataclass(eq=False)
class Desk:
    """What one screen of a page shows, and finds again when its tab is loaded anew: `form` is what
    was filled in last, `errand` what it makes or has made, of the form `made_of`.
    """

    form: Any = None
    errand: Errand | None = None
    made_of: Any = None


@dataclass(eq=False)
class Page:
    """What belongs to one open page of a visitor: its errands, results and project. `owner` is the
    visitor, who may have several; `key` names the page, whose files in the `store` go with it, and
    `tab` the browser's tab, once it has told. `left` is when that was closed or loaded anew.
    `faceless` is the photo of which it is known that it shows no face, `unusable` the one whose
    face cannot be used, `face` the one whose face of a number was chosen, `samples` are the voices
    that were listened to. On a shelf are `results` and the folder of those that were `packed`.
    """

    store: FileStore
    key: str
    owner: str
    used: float
    tab: str | None = None
    left: float | None = None
    errands: list[Errand] = field(default_factory=list)
    faceless: str | None = None
    unusable: str | None = None
    face: tuple[str, int] | None = None
    samples: dict[str, Path] = field(default_factory=dict)
    results: list[Made] = field(default_factory=list)
    packed: Path | None = None
    _desks: dict[str, Desk] = field(default_factory=dict)
    _asking: Running | None = None
    _project: Project | None = None
    _batch: VisitorBatch | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new_folder(self) -> Path:
        """A fresh folder of the page's. Raises as FileStore.add_folder does."""
        return self.store.add_folder(self.owner, self.key)

    def desk(self, screen: str) -> Desk:
        """What one of its screens shows."""
        return self._desks.setdefault(screen, Desk())

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
    model that visitors may ask, `provenance` whose videos are known here, `grace_s` how long a tab
    may be away.
    """

    def __init__(
        self,
        queue: JobQueue,
        endpoint: Endpoint | None = None,
        provenance: Provenance | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self.grace_s = grace_s
        self.provenance = provenance or Provenance()
        self.queue, self.limits, self.endpoint = queue, queue.limits, endpoint
        self.files = VisitorFiles(queue.store)
        self._pages: dict[str, Page] = {}
        self._left: dict[str, float] = {}
        self._lock = threading.RLock()
        self._closing, self._wake = False, threading.Event()
        self._thread = threading.Thread(target=self._tidy, name="visavis-tidy", daemon=True)
        self._thread.start()

    def avatar(self, check: Check | None = None) -> Avatar:
        """The server's Avatar, as JobQueue.avatar gives it."""
        return self.queue.avatar(check)

    def page(self, key: str, owner: str | None = None, came: float | None = None) -> Page:
        """A visitor's page, made anew for an unknown key; its owner is the key where there is no
        other. Whose request `came` (a time of `time.monotonic`; now, if there is none) after the
        page was left has not left; one that came before, and was answered late, tells nothing.
        """
        now = time.monotonic()
        self.sweep(now)
        with self._lock:
            page = self._pages.get(key)
            if page is None:
                name = secrets.token_urlsafe(16)
                page = self._pages[key] = Page(self.queue.store, name, owner or key, now)
            page.used = now
            if not self._was_left(key, now if came is None else came):
                page.left = None
            elif page.left is None:  # made anew for somebody who is gone: it has its while too
                page.left = now
            if shelf := self._pages.get(_shelf_of(page.owner)):
                shelf.used = now
        if page.left is not None:
            self._wake.set()
        return page

    def _was_left(self, key: str, came: float) -> bool:
        """Whether the page for which a request came was left since, or just then."""
        left = self._left.get(key)
        if left is None:
            return False
        if came <= left + min(_LATE_S, self.grace_s / 2):
            return True
        del self._left[key]
        return False

    def enter(self, key: str, owner: str, tab: str, came: float | None = None) -> Page:
        """The page of a tab that was opened or loaded anew, under a new `key`: the one that it had
        before, with all that is in it, as long as that is there. `came` is as for `page`.
        """
        with self._lock:
            before = [k for k, p in self._pages.items() if (p.owner, p.tab) == (owner, tab)]
            fresh = None
            if before and before[0] != key:
                fresh = self._pages.pop(key, None)
                self._pages[key] = self._pages.pop(before[0])
                self._left.setdefault(before[0], time.monotonic())
        if fresh is not None:
            self._end(fresh)
        page = self.page(key, owner, came)
        page.tab = tab
        return page

    def shelf(self, owner: str) -> Page:
        """Where what a visitor has made is kept, whichever page made it; it goes when they have
        done nothing for long.
        """
        return self.page(_shelf_of(owner), owner)

    def leave(self, key: str) -> None:
        """A page is gone: what runs for it is stopped and its files are removed, at once where no
        tab could come back for them, else when it has not for a while.
        """
        with self._lock:
            now = time.monotonic()
            self._left.pop(key, None)  # the latest are last
            self._left[key] = now
            page = self._pages.get(key)
            if page is None:
                return
            if page.tab is not None:
                page.left = now
                self._wake.set()
                return
            del self._pages[key]
        self._end(page)

    def sweep(self, now: float) -> None:
        """Forget pages on which nothing was done for long, but for those with an errand under way,
        and those that were left and did not come back.
        """
        with self._lock:
            over = [key for key, page in self._pages.items() if self._is_over(page, now)]
            old = [self._pages.pop(key) for key in over]
            self._forget_left(now)
        for page in old:
            self._end(page)

    def _forget_left(self, now: float) -> None:
        """Nothing that came before so long ago waits still."""
        while self._left:
            key, at = next(iter(self._left.items()))
            if now - at <= self.limits.expiry_s and len(self._left) <= _MOST_LEFT:
                return
            del self._left[key]

    def _is_over(self, page: Page, now: float) -> bool:
        if page.left is not None and now - page.left > self.grace_s:
            return True
        return not page.busy and now - page.used > self.limits.expiry_s

    def _end(self, page: Page) -> None:
        """Stop what runs for a page that is none any more, and remove its files."""
        try:
            page.cancel()
            for errand in page.errands:  # it may be writing a frame
                errand.wait(_STOP_S)
        finally:
            self.queue.store.remove_page(page.key)

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
                self._end(self._pages.pop(key))
            self.queue.store.remove_page()
        self._closing = True
        self._wake.set()
        self._thread.join(timeout=10)

    def _tidy(self) -> None:
        """Nobody need come for what is past its time to go."""
        while not self._closing:
            self._wake.wait(self._pause())
            self._wake.clear()
            with contextlib.suppress(UnavailableError):  # the next time, then
                self.sweep(time.monotonic())

    def _pause(self) -> float:
        """Seconds until something may be past its time."""
        with self._lock:
            left = [page.left for page in self._pages.values() if page.left is not None]
        usual = min(_TIDY_S, self.limits.expiry_s / 4)
        return min([usual, *(max(at + self.grace_s - time.monotonic(), 0) + 0.01 for at in left)])


def _shelf_of(owner: str) -> str:
    return f"{owner} shelf"
