"""Jobs: what somebody asked for, kept in SQLite, done by a few threads, one after the other.

A job that was running when the server was stopped or killed begins again at the next start: the
same request and seed give the same video. One that takes the server down twice is given up, and so
is one that stands still.
"""

import json
import logging
import random
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from app.intake.limits import Limits
from app.intake.sandbox import Check, shared_sandbox
from app.intake.values import SandboxReader
from app.jobs.crew import Cancelled, Crew, Hand, Running
from app.jobs.database import Database
from app.jobs.errand import Errand, Work
from app.jobs.plan import Pace
from app.jobs.record import files_in, from_record, hide_paths, to_record
from app.jobs.store import FileStore
from app.jobs.table import ENDED, LOST, MAX_RESTARTS, Job, JobStore, Kind, State, Step
from app.jobs.work import suffix_of, work
from app.provenance.credentials import sidecar_of
from app.render.pipeline import Avatar
from app.render.request import MotionRequest, RenderRequest
from app.render.subtitles import place_of
from motion2video.reference.settings import ReferenceConfig
from weights.errors import (
    EndpointError,
    FullError,
    InputError,
    NotFoundError,
    UnavailableError,
    VisavisError,
)

__all__ = ["ENDED", "MAX_RESTARTS", "Job", "JobQueue", "JobStore", "State", "Step"]

_SWEEP_S, _LOOK_S = 30.0, 1.0
_HELD_S = 24 * 3600.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_HEALTH_S = 1.0
_FAULT = "this is a fault of the server, not yours; it was logged"
_log = logging.getLogger("visavis.jobs")
_T = TypeVar("_T")


class JobQueue:
    """Does jobs in `limits.workers` threads with one Avatar. Safe for many threads; `start` it
    once, `close` it at the end.
    """

    def __init__(
        self,
        database: Database,
        store: FileStore,
        avatar: Callable[[], Avatar],
        limits: Limits,
        drawing: ReferenceConfig | None = None,
    ) -> None:
        """`drawing` is how public checkpoints draw here."""
        self.jobs = JobStore(database, limits)
        self._database, self.store = database, store
        self._avatar, self.limits = avatar, limits
        self.pace = Pace(drawing)
        self._attempts: dict[Kind, Callable[[sqlite3.Row, Running], None]] = {
            "video": self._make,
            "motion": self._make,
            "errand": self._do,
        }
        self._running: dict[str, Running] = {}
        self._errands: dict[str, Errand] = {}
        self._wake = threading.Condition()
        self._scratch = database.subfolder("scratch")
        self._recovered, self._swept = False, 0.0
        self._looked, self._trouble = 0.0, ""
        self.crew = Crew(
            limits.workers, self._serve, self._tend, self._give_up, limits.max_stall_seconds
        )
        self.frames = 0
        """Frames drawn since the start, of all jobs."""

    def start(self) -> None:
        """Take up what was left over, and begin to work."""
        for path in self._scratch.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shared_sandbox().start()
        self.crew.start()

    def trouble(self) -> str:
        """Why no job can be done now, in a sentence; empty when they can. Known for a second."""
        if time.monotonic() - self._looked > _HEALTH_S:
            self._trouble = self._find_trouble()
            self._looked = time.monotonic()
        return self._trouble

    def _find_trouble(self) -> str:
        try:
            self._database.require_writable()
            self.store.require_room()
        except VisavisError as error:
            return str(error)
        if not self.crew.living:
            frozen = self.crew.frozen
            return (
                f"all threads that do jobs stand still ({frozen} of them): start the server anew"
                if frozen
                else "no thread does jobs at the moment"
            )
        return ""

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
        record, files = to_record(request, self.store, owner)
        kind: Kind = "video" if isinstance(request, RenderRequest) else "motion"
        try:
            identity, fresh = self.jobs.create(_new_id(), owner, kind, record, key, digest)
        except BaseException:
            self._drop(files, owner)
            raise
        if not fresh:
            self._drop(files, owner)
            return identity
        self.store.hold(files, _HELD_S)
        with self._wake:
            self._wake.notify()
        return identity

    def run(self, work: Work, owner: str, videos: int = 1, page: str = "") -> Errand:
        """Queue a function that makes so many videos, maybe for a page; it has its turn among all
        other jobs, and fails when the process ends before it does.

        Raises BusyError when too many jobs wait, FullError when there is no room for anybody's
        files, LimitError when the owner's are too many bytes.
        """
        self.store.weigh()
        self.store.require_room()
        self.store.require_quota(owner)
        identity, record = _new_id(), json.dumps({"videos": videos, "page": page})
        errand = self._errands[identity] = Errand(
            Running(identity, owner, [], self._count_frame),
            work,
            lambda: self._look(identity, owner),
            lambda: self._stop(identity, owner),
        )
        try:
            self.jobs.create(identity, owner, "errand", record)
        except BaseException:
            del self._errands[identity]
            raise
        with self._wake:
            self._wake.notify()
        return errand

    def avatar(self, check: Check | None = None) -> Avatar:
        """The one Avatar, which has files read in a sandbox; what `check` raises ends that."""
        return replace(self._avatar(), reader=SandboxReader(shared_sandbox(), check))

    def get(self, identity: str, owner: str) -> Job:
        """Raises NotFoundError for a job that is not there or not theirs, or an errand: that is
        known to whoever holds it.
        """
        job = self._look(identity, owner)
        if job.kind == "errand":
            raise NotFoundError("there is no such job")
        return job

    def videos(self, owner: str, most: int) -> list[Job]:
        """The owner's jobs that make a video, the newest first."""
        return [self._job(row) for row in self.jobs.latest(owner, "video", most)]

    def _look(self, identity: str, owner: str) -> Job:
        return self._job(self.jobs.row(identity, owner))

    def _job(self, row: sqlite3.Row) -> Job:
        running = self._running.get(row["id"])
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
        self.get(identity, owner)
        if self._stop(identity, owner):
            return
        row = self.jobs.row(identity, owner)  # it may have ended just now
        if row["output"] is not None:
            self.store.remove(row["output"], owner)
        self.jobs.remove(identity)

    def _stop(self, identity: str, owner: str) -> bool:
        """Stop a job; False when it has ended already. Raises NotFoundError."""
        row = self.jobs.row(identity, owner)
        if not self.jobs.move(identity, "cancelled", ("queued", "running")):
            return False
        running = self._running.get(identity)
        if running is not None:
            running.stop.set()
        else:
            self._drop(files_in(row["request"]), owner)
            self._end(identity)
        return True

    def close(self, seconds: float = 1.0) -> None:
        """Stop working; what runs is put back and begins again at the next start. Threads that
        still do not listen after so many seconds are left behind.
        """
        self.crew.closing.set()
        with self._wake:
            self._wake.notify_all()
        for running in self.crew.close(seconds):
            with suppress(UnavailableError):  # then it counts as one of its restarts
                self.jobs.move(running.id, "queued", ("running",))
        for identity in list(self._errands):
            self._end(identity)

    # -- the threads -----------------------------------------------------------------------

    def _tend(self) -> None:
        """What the crew's own thread does beside looking."""
        if not self._recovered:
            self.jobs.recover()  # before anybody takes a job
            self._recovered = True
        if time.monotonic() - self._swept > _SWEEP_S:
            self._sweep()
            self._swept = time.monotonic()

    def _give_up(self, running: Running) -> None:
        self.jobs.fail(
            running.id,
            f"this made no progress for {self.limits.max_stall_seconds:g} s, and was given up",
        )
        self._running.pop(running.id, None)
        self._end(running.id)
        self._drop(running.files, running.owner)

    def _end(self, identity: str) -> None:
        """Whoever waits for an errand waits no longer."""
        errand = self._errands.pop(identity, None)
        if errand is not None:
            errand.over.set()

    def _count_frame(self) -> None:
        self.frames += 1

    def _serve(self, hand: Hand) -> None:
        while not (self.crew.closing.is_set() or hand.dismissed.is_set()):
            row = self._take()
            if row is not None:
                self._perform(row, hand)
                continue
            with self._wake:
                self._wake.wait(_LOOK_S)

    def _take(self) -> sqlite3.Row | None:
        """The next job, if it could be done and written down."""
        try:
            self.store.require_room()
            return self.jobs.take()
        except (UnavailableError, FullError):
            return None  # the crew's own thread has it in the log, /readyz says it

    def _perform(self, row: sqlite3.Row, hand: Hand) -> None:
        """Do one job; whatever happens, it ends in a state that its owner is told."""
        identity, owner = row["id"], row["owner"]
        errand = self._errands.get(identity)
        running = (
            Running(identity, owner, files_in(row["request"]), self._count_frame)
            if errand is None
            else errand.running
        )
        self._running[identity] = hand.running = running
        again = False
        try:
            again = self._attempt(row, running)
        except Cancelled:
            # A job that its owner cancelled has that state already; others wait for a restart.
            with suppress(UnavailableError):
                again = self.jobs.move(identity, "queued", ("running",))
        finally:
            hand.running = None
            if self._running.get(identity) is running:
                del self._running[identity]
            if not again:
                self._end(identity)
            if not (again or self.crew.closing.is_set() or hand.dismissed.is_set()):
                with suppress(UnavailableError):
                    self._drop(running.files, owner)

    def _attempt(self, row: sqlite3.Row, running: Running) -> bool:
        """Do it and write down how it ended; True when it waits again instead. Raises Cancelled
        when it is to stop.
        """
        identity, error = row["id"], ""
        try:
            if not self.jobs.is_running(identity):
                raise Cancelled
            self._attempts[row["kind"]](row, running)
            return False
        except UnavailableError:
            return self._surely(running, lambda: self.jobs.move(identity, "queued", ("running",)))
        except (InputError, NotFoundError, FullError) as found:
            error = hide_paths(str(found), running.request)
        except EndpointError as found:
            _log.error("job %s: %s", identity, found)
            error = "the language model did not answer"
        except VisavisError as found:
            _log.error("job %s: %s", identity, found)
            error = _FAULT
        except Cancelled:
            raise
        except Exception:
            # The thread serves everybody: it must outlive a fault in one job.
            _log.exception("job %s", identity)
            error = _FAULT
        self._surely(running, lambda: self.jobs.fail(identity, error))
        return False

    def _do(self, row: sqlite3.Row, running: Running) -> None:
        errand = self._errands.get(running.id)
        if errand is None:
            raise NotFoundError(LOST)
        made = errand.work(running)
        if self._surely(running, lambda: self.jobs.finish(running.id, None, {}, running.notices)):
            errand.result = made

    def _make(self, row: sqlite3.Row, running: Running) -> None:
        progress, most, owner = running.progress, self.limits.max_seconds, row["owner"]
        request = from_record(row["kind"], row["request"], self.store, owner)
        running.request = request

        def avatar() -> Avatar:
            return self.avatar(running.check)

        out = self._scratch / f"{running.id}{suffix_of(request)}"
        try:
            result = work(avatar, request, out, most, progress, running.notices.append)
            progress("keeping", 0, 1)  # the last chance to stop
            told = [hide_paths(notice, request) for notice in running.notices]
            self._keep(owner, running, out, result, told)
            if isinstance(request, RenderRequest):
                frames, seconds = result["frames"], result["wall_seconds"]
                self.pace.learn(frames, request.size, seconds, request.renderer)
        finally:
            out.unlink(missing_ok=True)
            for beside in (place_of(out), sidecar_of(out)):
                beside.unlink(missing_ok=True)  # the result has them

    def _keep(
        self, owner: str, running: Running, out: Path, result: dict[str, Any], told: list[str]
    ) -> None:
        """What was made is worth waiting for the database, however long that takes."""
        kind = "motion" if out.suffix == ".npz" else "video"
        expiry = self.limits.expiry_s
        kept = self._surely(running, lambda: self.store.add_result(owner, out, kind, expiry))
        done = self._surely(running, lambda: self.jobs.finish(running.id, kept.id, result, told))
        if not done:  # it was cancelled or given up meanwhile
            self._surely(running, lambda: self.store.remove(kept.id, owner))

    def _surely(self, running: Running, act: Callable[[], _T]) -> _T:
        """Do something until the database can be used. Raises Cancelled when the queue closes."""
        pause = _PAUSE_S
        while True:
            try:
                return act()
            except UnavailableError:
                running.heard()
                if self.crew.closing.wait(random.uniform(pause / 2, pause)):
                    raise Cancelled from None
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _drop(self, files: list[str], owner: str) -> None:
        for identity in files:
            self.store.remove(identity, owner)

    def _sweep(self) -> None:
        """Remove what is past its time; keep the files of jobs that are not done."""
        for row in self.jobs.unfinished():
            self.store.hold(files_in(row["request"]), _HELD_S)
            lost = row["state"] == "running" and row["id"] not in self._running
            if lost and time.time() - row["started"] > _SWEEP_S:  # its thread has died
                self.jobs.fail(row["id"], _FAULT)
        self.jobs.sweep()
        self.store.weigh()
        self.store.sweep()


def _new_id() -> str:
    return secrets.token_urlsafe(16)
