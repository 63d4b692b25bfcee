"""A queue of jobs without a server, whose Avatar does what a test tells it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.intake.limits import Limits
from app.jobs.database import Database
from app.jobs.queue import JobQueue
from app.jobs.store import FileStore
from app.render.pipeline import Avatar
from app.render.request import MotionRequest, Notify, Progress
from motion2video.motion import Motion

OWNER = "a"


@dataclass(frozen=True, eq=False)
class Told(Avatar):
    """An Avatar without networks: `act` is called with the words of each motion's request."""

    act: Callable[[str, Progress], None] | None = None

    @staticmethod
    def to(act: Callable[[str, Progress], None]) -> "Told":
        """One that does this."""
        return Told(None, None, None, act=act)  # pyrefly: ignore[bad-argument-type]

    def motion(
        self,
        request: MotionRequest | None = None,
        progress: Progress | None = None,
        notify: Notify | None = None,
        **fields: Any,
    ) -> Motion:
        """A short motion, when `act` has returned."""
        assert request is not None and progress is not None and self.act is not None
        self.act(request.text or "", progress)
        return Motion.neutral(3)


@contextmanager
def working(
    folder: Path, act: Callable[[str, Progress], None], limits: Limits | None = None
) -> Iterator[JobQueue]:
    """A queue at work, closed at the end."""
    database, limits = Database(folder), limits or Limits()
    queue = JobQueue(database, FileStore(database, limits), lambda: Told.to(act), limits)
    queue.start()
    try:
        yield queue
    finally:
        queue.close()
        database.close()


def until(true: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait for it; the seconds that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def ask(queue: JobQueue, words: str) -> str:
    """Queue a motion that says so."""
    return queue.submit(MotionRequest(text=words), OWNER)


def state(queue: JobQueue, identity: str) -> str:
    """Of a job."""
    return queue.get(identity, OWNER).state
