"""Following jobs: one look at each job that somebody follows, however many follow it."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from fastapi.concurrency import run_in_threadpool

from weights.errors import NotFoundError, VisavisError

_log = logging.getLogger("visavis.api")


@dataclass(frozen=True)
class Snapshot:
    """A job as its follower is told of it: `text` is empty where it is not there any more."""

    text: str
    ended: bool


Look = Callable[[str, str], Snapshot]
"""Job and owner -> how the job is now; called in a thread. Raises NotFoundError."""


@dataclass
class _Followed:
    seen: Snapshot
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    followers: int = 0


class Follow:
    """Looks after `every` seconds, while there is somebody. Lives in the event loop."""

    def __init__(self, look: Look, every: float, closing: Callable[[], bool]) -> None:
        self._look, self._every, self._closing = look, every, closing
        self._jobs: dict[tuple[str, str], _Followed] = {}
        self._task: asyncio.Task[None] | None = None

    async def events(self, job: str, owner: str, beat: float) -> AsyncGenerator[str]:
        """What the job is, each time that it has changed, until it has ended; "" when it has not
        for `beat` seconds.
        """
        key = job, owner
        followed = self._jobs.get(key)
        if followed is None:
            seen = (await run_in_threadpool(self._all, [key]))[key]
            followed = self._jobs.setdefault(key, _Followed(seen or Snapshot("", True)))
        followed.followers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            told = ""
            while not self._closing():
                seen, changed = followed.seen, followed.changed
                if seen.text and seen.text != told:
                    told = seen.text
                    yield told
                if seen.ended:
                    return
                if followed.seen is seen:
                    try:
                        async with asyncio.timeout(beat):
                            await changed.wait()
                    except TimeoutError:
                        yield ""
        finally:
            followed.followers -= 1
            if not followed.followers and self._jobs.get(key) is followed:
                del self._jobs[key]

    async def _watch(self) -> None:
        while self._jobs:
            began = time.monotonic()
            found = await run_in_threadpool(self._all, list(self._jobs))
            closing = self._closing()
            for key, seen in found.items():
                followed = self._jobs.get(key)
                if followed is None or not (closing or (seen and seen != followed.seen)):
                    continue
                if seen is not None:
                    followed.seen = seen
                followed.changed.set()
                followed.changed = asyncio.Event()
            await asyncio.sleep(max(self._every / 4, self._every + began - time.monotonic()))

    def _all(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Snapshot | None]:
        """In a thread; None where it cannot be said at the moment."""
        found: dict[tuple[str, str], Snapshot | None] = {}
        for job, owner in keys:
            try:
                found[job, owner] = self._look(job, owner)
            except NotFoundError:
                found[job, owner] = Snapshot("", True)
            except (VisavisError, sqlite3.Error) as error:  # told to whoever asks for the job
                _log.warning("a job cannot be looked at: %s", error)
                found[job, owner] = None
        return found
