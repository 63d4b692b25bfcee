"""Jobs: what somebody asked for, kept in SQLite, done by a few threads, one after the other.

A job that was running when the server was stopped or killed begins again at the next start: the
same request and seed give the same video. One that takes the server down twice is given up.
"""

import json
import logging
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from app.database import Database
from app.pipeline import Avatar
from app.request import MotionRequest, RenderRequest
from app.request_record import file_fields, files_in, from_record, hide_paths, to_record
from app.result import RenderResult
from app.server import Limits
from app.store import FileStore
from motion2video.motion import FPS
from weights.errors import (
    BusyError,
    ConflictError,
    EndpointError,
    InputError,
    LimitError,
    NotFoundError,
    VisavisError,
)

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("succeeded", "failed", "cancelled")
MAX_RESTARTS = 2
_SWEEP_S, _LOOK_S = 30.0, 1.0
_HELD_S = 24 * 3600.0
_FAULT = "this is a fault of the server, not yours; it was logged"
_log = logging.getLogger("visavis.jobs")


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
    kind: Literal["video", "motion"]
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


class _Cancelled(Exception):  # noqa: N818 (nothing went wrong)
    """Raised inside the work of a job that is to stop."""


class _Running:
    """What is known of a running job and not worth writing down."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.step = Step()
        self._began = ("", 0.0, 0)

    def progress(self, what: str, done: int, total: int) -> None:
        """As app.request.Progress; raises _Cancelled when the job is to stop."""
        if self.stop.is_set():
            raise _Cancelled
        now = time.perf_counter()
        if self._began[0] != what:
            self._began = (what, now, done)
        spent = now - self._began[1]
        rate = (done - self._began[2]) / spent if spent > 0.1 else 0.0
        self.step = Step(what, done, total, rate)


class JobStore:
    """The table of jobs. Every method names the owner: others' jobs are not there."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database, self._limits = database, limits

    def create(
        self, owner: str, request: MotionRequest, record: str, key: str | None, digest: str | None
    ) -> tuple[str, bool]:
        """A new job, or the one made before under the same `key`; its id, and whether it is new.

        Raises BusyError when too many wait, ConflictError when the key was used for another
        request.
        """
        limits, identity = self._limits, secrets.token_urlsafe(16)
        kind = "video" if isinstance(request, RenderRequest) else "motion"
        with self._database.transaction() as connection:
            if key is not None and (known := self.replay(owner, key, digest)) is not None:
                return known, False
            waiting = connection.execute(
                "select count(*), coalesce(sum(owner = ?), 0) from jobs "
                "where state in ('queued', 'running')",
                (owner,),
            ).fetchone()
            if waiting[0] >= limits.max_waiting or waiting[1] >= limits.max_waiting_each:
                raise BusyError("too many jobs are waiting; try again later")
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
        """The job that has waited longest, now running. Owners with a running job come last."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "select * from jobs where state = 'queued' order by owner in "
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
        self, identity: str, output: str, result: dict[str, Any], notices: list[str]
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

    def fail(self, identity: str, error: str) -> None:
        """A running job has failed, with a sentence that its owner may read."""
        self._database.rows("update jobs set error = ? where id = ?", error, identity)
        self.move(identity, "failed", ("running",))

    def remove(self, identity: str) -> None:
        """Forget a job."""
        self._database.rows("delete from jobs where id = ?", identity)

    def recover(self) -> None:
        """After a start: what was running waits again, unless it took the server down before."""
        with self._database.transaction() as connection:
            connection.execute(
                "update jobs set state = 'failed', finished = ?, expires = ?, error = ? "
                "where state = 'running' and restarts >= ?",
                (
                    time.time(),
                    time.time() + self._limits.expiry_s,
                    "the server stopped several times while it worked on this; it was given up",
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

    def unfinished(self) -> list[sqlite3.Row]:
        """All jobs that wait or run."""
        return self._database.rows("select * from jobs where state in ('queued', 'running')")

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        rows = self._database.rows("select state, count(*) as n from jobs group by state")
        return {row["state"]: row["n"] for row in rows}


class JobQueue:
    """Does jobs in `limits.workers` threads with one Avatar. Safe for many threads; `start` it
    once, `close` it at the end.
    """

    def __init__(
        self, database: Database, store: FileStore, avatar: Callable[[], Avatar], limits: Limits
    ) -> None:
        self.jobs = JobStore(database, limits)
        self._store, self._avatar, self._limits = store, avatar, limits
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self._wake = threading.Condition()
        self._closing = threading.Event()
        self._scratch = database.folder / "scratch"
        self._threads: list[threading.Thread] = []
        self.frames = 0
        """Frames drawn since the start, of all jobs."""

    def start(self) -> None:
        """Take up what was left over, and begin to work."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(mode=0o700)
        self.jobs.recover()
        for number in range(self._limits.workers):
            thread = threading.Thread(target=self._serve, name=f"visavis-job-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def submit(
        self,
        request: MotionRequest,
        owner: str,
        key: str | None = None,
        digest: str | None = None,
    ) -> str:
        """Queue a request whose files are in the store; the job's id.

        With the `key` of an earlier job, that one's id, and the files of this request go. Raises
        InputError for files from elsewhere, BusyError when too many jobs wait, ConflictError for a
        key that was used with another `digest`.
        """
        record, files = to_record(request, self._store, owner)
        try:
            identity, fresh = self.jobs.create(owner, request, record, key, digest)
        except BaseException:
            self._drop(files, owner)
            raise
        if not fresh:
            self._drop(files, owner)
            return identity
        self._store.hold(files, _HELD_S)
        with self._wake:
            self._wake.notify()
        return identity

    def get(self, identity: str, owner: str) -> Job:
        """Raises NotFoundError for a job that is not there or not theirs."""
        row = self.jobs.row(identity, owner)
        running = self._running.get(identity)
        return Job(
            id=row["id"],
            owner=row["owner"],
            kind=row["kind"],
            state=row["state"],
            created=row["created"],
            started=row["started"],
            finished=row["finished"],
            restarts=row["restarts"],
            notices=tuple(json.loads(row["notices"])),
            step=Step() if running is None else running.step,
            position=self.jobs.position(row),
            result=row["result"] and json.loads(row["result"]),
            error=row["error"],
            output=row["output"],
        )

    def cancel(self, identity: str, owner: str) -> None:
        """Stop a job at its next frame, or at once when it waits; forget one that has ended, with
        its result. Raises NotFoundError.
        """
        row = self.jobs.row(identity, owner)
        if self.jobs.move(identity, "cancelled", ("queued", "running")):
            running = self._running.get(identity)
            if running is not None:
                running.stop.set()
            else:
                self._drop(files_in(row["request"]), owner)
            return
        row = self.jobs.row(identity, owner)  # it may have ended just now
        if row["output"] is not None:
            self._store.remove(row["output"], owner)
        self.jobs.remove(identity)

    def close(self, seconds: float = 10.0) -> None:
        """Stop working; what runs is put back and begins again at the next start."""
        self._closing.set()
        with self._wake:
            self._wake.notify_all()
        for running in list(self._running.values()):
            running.stop.set()
        for thread in self._threads:
            thread.join(seconds)

    # -- the threads -----------------------------------------------------------------------

    def _serve(self) -> None:
        swept = 0.0
        while not self._closing.is_set():
            if time.monotonic() - swept > _SWEEP_S:
                self._sweep()
                swept = time.monotonic()
            row = self.jobs.take()
            if row is not None:
                self._perform(row)
                continue
            with self._wake:
                self._wake.wait(_LOOK_S)

    def _perform(self, row: sqlite3.Row) -> None:
        """Do one job; whatever happens, it ends in a state that its owner is told."""
        identity, owner = row["id"], row["owner"]
        running, notices = _Running(), []
        self._running[identity] = running
        request = None
        try:
            if self.jobs.row(identity, owner)["state"] != "running":
                raise _Cancelled
            request = from_record(row["kind"], row["request"], self._store, owner)
            self._make(identity, owner, request, running, notices)
        except _Cancelled:
            # A job that its owner cancelled has that state already; others wait for a restart.
            self.jobs.move(identity, "queued", ("running",))
        except (InputError, NotFoundError) as error:
            self.jobs.fail(identity, hide_paths(str(error), request))
        except EndpointError as error:
            _log.error("job %s: %s", identity, error)
            self.jobs.fail(identity, "the language model did not answer")
        except VisavisError as error:
            _log.error("job %s: %s", identity, error)
            self.jobs.fail(identity, _FAULT)
        except Exception:
            # The thread serves everybody: it must outlive a fault in one job.
            _log.exception("job %s", identity)
            self.jobs.fail(identity, _FAULT)
        finally:
            self._running.pop(identity, None)
            if not self._closing.is_set():
                self._drop(files_in(row["request"]), owner)

    def _make(
        self,
        identity: str,
        owner: str,
        request: MotionRequest,
        running: _Running,
        notices: list[str],
    ) -> None:
        most = self._limits.max_seconds

        def progress(what: str, done: int, total: int) -> None:
            running.progress(what, done, total)
            rate = request.fps if isinstance(request, RenderRequest) else FPS
            if max(done, total) > (most + 1) * max(rate, FPS):
                raise LimitError(f"this would last longer than {most:g} s, the most that is made")
            self.frames += what == "rendering"

        progress("loading", 0, 1)
        avatar = self._avatar()
        progress("preparing", 0, 1)
        isvideo = isinstance(request, RenderRequest)
        out = self._scratch / f"{identity}{'.mp4' if isvideo else '.npz'}"
        try:
            if isinstance(request, RenderRequest):
                result = _figures(avatar.render(request, out, progress, notices.append))
            else:
                motion = avatar.make(request, progress, notices.append)
                motion.save(out)
                result = {"frames": len(motion), "fps": motion.fps, "seconds": motion.seconds}
            progress("keeping", 0, 1)  # the last chance to stop
            kept = self._store.add_result(
                owner, out, "video" if isvideo else "motion", self._limits.expiry_s
            )
            told = [hide_paths(notice, request) for notice in notices]
            if not self.jobs.finish(identity, kept.id, result, told):
                self._store.remove(kept.id, owner)
        finally:
            out.unlink(missing_ok=True)

    def _drop(self, files: list[str], owner: str) -> None:
        for identity in files:
            self._store.remove(identity, owner)

    def _sweep(self) -> None:
        """Remove what is past its time; keep the files of jobs that are not done."""
        for row in self.jobs.unfinished():
            self._store.hold(files_in(row["request"]), _HELD_S)
        self.jobs.sweep()
        self._store.sweep()


def _figures(result: RenderResult) -> dict[str, Any]:
    """What the owner may know of a run: everything but where the server keeps its files."""
    figures = json.loads(json.dumps(result.to_json()))
    del figures["out"], figures["notices"], figures["peak_memory_mb"]
    settings = figures["settings"]
    figures["settings"] = {k: v for k, v in settings.items() if k not in file_fields()}
    return figures
