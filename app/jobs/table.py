"""The table of jobs in the database: who asked for what, in which state it is, what came of it."""

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any, Literal

from app.intake.limits import Limits
from app.jobs.database import Database
from weights.errors import BusyError, ConflictError, NotFoundError

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Kind = Literal["video", "motion", "errand"]
"""Requests, which begin again after a restart, and work that ends with its process."""
ENDED: tuple[State, ...] = ("succeeded", "failed", "cancelled")
MAX_RESTARTS = 1
"""A job is begun again so often when the server ended while it ran: it is begun twice at most."""
LOST = "the server was started anew, and nothing is left of this; ask for it again"


@dataclass(frozen=True)
class Step:
    """How far a running job is: `what` is being done, `done` of `total` frames, `rate` a second."""

    what: str = ""
    done: int = 0
    total: int = 0
    rate: float = 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left of what is being done; None while nobody knows."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


@dataclass(frozen=True)
class Job:
    """A job as its owner sees it. Times in seconds since 1970; `position` is how many wait before
    it; `result` are the figures of the run, `output` the id of its file in the store.
    """

    id: str
    owner: str
    kind: Kind
    state: State
    created: float
    started: float | None
    finished: float | None
    restarts: int
    notices: tuple[str, ...]
    step: Step
    position: int | None
    result: dict[str, Any] | None
    error: str | None
    output: str | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED


class JobStore:
    """The table of jobs. Every method names the owner: others' jobs are not there."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database, self._limits = database, limits

    def create(
        self,
        identity: str,
        owner: str,
        kind: Kind,
        record: str,
        key: str | None = None,
        digest: str | None = None,
    ) -> tuple[str, bool]:
        """A new job of this id, or the one made before under the same `key`; its id, and whether it
        is new. The `record` of an errand says how many `videos` it makes.

        Raises BusyError when too many wait, ConflictError when the key was used for another
        request.
        """
        limits = self._limits
        videos = json.loads(record)["videos"] if kind == "errand" else 1
        with self._database.transaction() as connection:
            if key is not None and (known := self.replay(owner, key, digest)) is not None:
                return known, False
            waiting, theirs = connection.execute(
                "select coalesce(sum(iif(kind = 'errand' and state = 'queued', "
                "json_extract(request, '$.videos'), 1)), 0), coalesce(sum(owner = ?), 0) "
                "from jobs where state in ('queued', 'running')",
                (owner,),
            ).fetchone()
            if theirs >= limits.max_waiting_each:
                raise BusyError(
                    f"too many jobs are waiting: {theirs} of yours, of at most "
                    f"{limits.max_waiting_each}; wait for one"
                )
            if waiting + videos > limits.max_waiting:
                raise BusyError(
                    f"too many jobs are waiting: {waiting} of at most {limits.max_waiting}; try "
                    "again later"
                )
            connection.execute("delete from jobs where expires <= ?", (time.time(),))
            (known_jobs,) = connection.execute("select count(*) from jobs").fetchone()
            if known_jobs >= limits.max_jobs:
                raise BusyError("the server remembers as many jobs as it can; try again later", 60)
            connection.execute(
                "insert into jobs (id, owner, kind, request, state, created, idempotency_key, "
                "digest) values (?, ?, ?, ?, 'queued', ?, ?, ?)",
                (identity, owner, kind, record, time.time(), key, digest),
            )
        return identity, True

    def replay(self, owner: str, key: str, digest: str | None) -> str | None:
        """The job made under an idempotency key; ConflictError when it was another request."""
        row = self._database.row(
            "select id, digest from jobs where owner = ? and idempotency_key = ?", owner, key
        )
        if row is None:
            return None
        if row["digest"] != digest:
            raise ConflictError("this Idempotency-Key was used for another request")
        return str(row["id"])

    def row(self, identity: str, owner: str) -> sqlite3.Row:
        """Raises NotFoundError."""
        row = self._database.row("select * from jobs where id = ? and owner = ?", identity, owner)
        if row is None:
            raise NotFoundError("there is no such job")
        return row

    def latest(self, owner: str, kind: Kind, most: int) -> list[sqlite3.Row]:
        """The owner's jobs of a kind, the newest first."""
        return self._database.rows(
            "select * from jobs where owner = ? and kind = ? order by created desc, id limit ?",
            *(owner, kind, most),
        )

    def owner_of(self, identity: str) -> str:
        """Whose a job is, for whoever has shown that they may know. Raises NotFoundError."""
        row = self._database.row("select owner from jobs where id = ?", identity)
        if row is None:
            raise NotFoundError("there is no such job")
        return str(row["owner"])

    def position(self, row: sqlite3.Row) -> int | None:
        """How many jobs wait before a queued one."""
        if row["state"] != "queued":
            return None
        found = self._database.row(
            "select count(*) as n from jobs where state = 'queued' and (created, id) < (?, ?)",
            *(row["created"], row["id"]),
        )
        return None if found is None else int(found["n"])

    def take(self) -> sqlite3.Row | None:
        """The job that has waited longest, now running. Owners with a running job come last; of
        those that ran when the server died one runs at a time, so that the one at fault does not
        take the others with it again.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "select * from jobs where state = 'queued' and (restarts = 0 or not exists "
                "(select 1 from jobs where state = 'running' and restarts > 0)) order by owner in "
                "(select owner from jobs where state = 'running'), created, id limit 1"
            ).fetchone()
            if row is not None:
                connection.execute(
                    "update jobs set state = 'running', started = ? where id = ?",
                    (time.time(), row["id"]),
                )
        return row

    def move(self, identity: str, state: State, before: tuple[State, ...]) -> bool:
        """Change the state of a job that is in one of the states `before`; whether it was."""
        marks = ", ".join("?" * len(before))
        finished = time.time() if state in ENDED else None
        expires = finished and finished + self._limits.expiry_s
        with self._database.transaction() as connection:
            done = connection.execute(
                f"update jobs set state = ?, finished = ?, expires = ? "
                f"where id = ? and state in ({marks})",
                (state, finished, expires, identity, *before),
            )
        return done.rowcount == 1

    def finish(
        self, identity: str, output: str | None, result: dict[str, Any], notices: list[str]
    ) -> bool:
        """A running job is done; False when it was cancelled meanwhile."""
        now = time.time()
        with self._database.transaction() as connection:
            done = connection.execute(
                "update jobs set state = 'succeeded', finished = ?, expires = ?, output = ?, "
                "result = ?, notices = ? where id = ? and state = 'running'",
                (
                    *(now, now + self._limits.expiry_s, output, json.dumps(result)),
                    *(json.dumps(notices), identity),
                ),
            )
        return done.rowcount == 1

    def fail(self, identity: str, error: str) -> bool:
        """A running job has failed, with a sentence that its owner may read; False when it has
        ended meanwhile.
        """
        now = time.time()
        with self._database.transaction() as connection:
            done = connection.execute(
                "update jobs set state = 'failed', error = ?, finished = ?, expires = ? "
                "where id = ? and state = 'running'",
                (error, now, now + self._limits.expiry_s, identity),
            )
        return done.rowcount == 1

    def remove(self, identity: str) -> None:
        """Forget a job."""
        self._database.rows("delete from jobs where id = ?", identity)

    def recover(self) -> None:
        """After a start: what was running waits again, unless it took the server down before or
        was an errand of the process that is gone.
        """
        now = time.time()
        with self._database.transaction() as connection:
            connection.execute(
                "update jobs set state = 'failed', finished = ?, expires = ?, error = ? "
                "where state in ('queued', 'running') and kind = 'errand'",
                (now, now + self._limits.expiry_s, LOST),
            )
            connection.execute(
                "update jobs set state = 'failed', finished = ?, expires = ?, error = ? "
                "where state = 'running' and restarts >= ?",
                (
                    now,
                    now + self._limits.expiry_s,
                    "the server stopped twice while it worked on this; it was given up",
                    MAX_RESTARTS,
                ),
            )
            connection.execute(
                "update jobs set state = 'queued', started = null, restarts = restarts + 1 "
                "where state = 'running'"
            )

    def sweep(self) -> None:
        """Forget jobs that are past their time."""
        self._database.rows("delete from jobs where expires <= ?", time.time())

    def is_running(self, identity: str) -> bool:
        """Whether it is, for the server's own threads."""
        row = self._database.row("select state from jobs where id = ?", identity)
        return row is not None and row["state"] == "running"

    def unfinished(self) -> list[sqlite3.Row]:
        """All jobs that wait or run."""
        return self._database.rows("select * from jobs where state in ('queued', 'running')")

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        rows = self._database.rows("select state, count(*) as n from jobs group by state")
        return {row["state"]: row["n"] for row in rows}
