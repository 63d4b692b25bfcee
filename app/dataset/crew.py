"""Processes that import recordings: one at a time each; one that dies costs its recording alone.

They end by themselves when their parent does, however that happens.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from app.dataset.layout import Dataset, Report
from app.dataset.recordings import Found, Recording, Tick, Tools
from weights.errors import VisavisError

_TELL_S = 0.5
_GOODBYE_S = 5.0
_WAIT_S = 1.0
_START_S = 600.0  # that a process may take to load its code

Importer = Callable[[Recording, Tools, Tick], Found]


@dataclass(frozen=True)
class Job:
    """What a process needs: where to write, with which settings, and how each kind is imported."""

    folder: str
    tools: Tools
    importers: dict[str, Importer]
    threads: int = 1


@dataclass(frozen=True)
class Heard:
    """From a process: `frames` more are done, or a recording has ended."""

    frames: int = 0
    report: Report | None = None


@dataclass(eq=False)
class _Hand:
    process: BaseProcess
    pipe: Connection
    at: Recording | None = None
    ready: bool = False
    since: float = field(default_factory=time.monotonic)


def run_crew(
    job: Job, recordings: Sequence[Recording], workers: int, stall_s: float
) -> Iterator[Heard]:
    """Import all, `workers` at a time (0: in this process). One that says nothing for `stall_s` is
    given up.
    """
    if workers == 0:
        yield from _alone(job, recordings)
        return
    waiting, hands = list(reversed(recordings)), list[_Hand]()
    try:
        hands = [_start(job) for _ in range(min(workers, len(waiting)))]
        while waiting or any(hand.at is not None for hand in hands):
            for hand in hands:
                if hand.at is None and waiting:
                    hand.at, hand.since = waiting.pop(), time.monotonic()
                    with contextlib.suppress(OSError):  # dead: seen below
                        hand.pipe.send(hand.at)
            yield from _listen(job, hands, stall_s)
    finally:
        _end(hands)


def import_one(job: Job, one: Recording, tick: Tick) -> Report:
    """Import one recording and write what it gave; whatever goes wrong is in the report."""
    started, dataset = time.monotonic(), Dataset.open(job.folder)
    job.tools.work = Path(tempfile.mkdtemp(prefix="visavis-import-"))
    found, failed = Found(), ""
    try:
        found = job.importers[one.kind](one, job.tools, tick)
        if not found.drafts:
            failed = found.skipped[0] if found.skipped else "there is nothing in it to learn from"
        return _written(dataset, one, found, failed, started)
    except VisavisError as error:
        failed = str(error)
    except Exception as error:  # whatever a file does must not end the import
        failed = f"this is a fault of visavis ({type(error).__name__}: {error})"
    finally:
        shutil.rmtree(job.tools.work, ignore_errors=True)
    return _written(dataset, one, Found(skipped=found.skipped), failed, started)


def _written(dataset: Dataset, one: Recording, found: Found, failed: str, started: float) -> Report:
    report = Report(
        recording=one.id,
        source=one.source,
        stamp=one.stamp,
        skipped=tuple(found.skipped),
        failed=failed,
        frames=found.frames,
        took_s=round(time.monotonic() - started, 2),
    )
    return dataset.write(report, found.drafts)


def _alone(job: Job, recordings: Sequence[Recording]) -> Iterator[Heard]:
    for one in recordings:
        ticks = _Ticks(lambda frames: None)
        report = import_one(job, one, ticks)
        yield Heard(ticks.count, report)


class _Ticks:
    """Counts frames; tells of them now and then."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self.count, self._told, self._tell = 0, time.monotonic(), tell
        self._pending = 0

    def __call__(self) -> None:
        self.count += 1
        self._pending += 1
        if time.monotonic() - self._told > _TELL_S:
            self.flush()

    def flush(self) -> None:
        """Tell what has not been told."""
        self._tell(self._pending)
        self._pending, self._told = 0, time.monotonic()


def _start(job: Job) -> _Hand:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(job, theirs), daemon=True)
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(job.threads)  # OpenMP looks at it once
    try:
        process.start()
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
    theirs.close()  # or its end would never be seen
    return _Hand(process, ours)


def _listen(job: Job, hands: list[_Hand], stall_s: float) -> Iterator[Heard]:
    by_pipe = {hand.pipe: hand for hand in hands}
    for pipe in connection.wait(list(by_pipe), _WAIT_S):
        hand = by_pipe[pipe]  # pyrefly: ignore[bad-index]
        try:
            said: Heard = hand.pipe.recv()
        except (EOFError, OSError):
            lost = _replace(job, hands, hand)
            if lost is not None:
                yield lost
            continue
        hand.since, hand.ready = time.monotonic(), True
        if said.report is not None:
            hand.at = None
        yield said
    for hand in hands:
        most = stall_s if hand.ready else max(stall_s, _START_S)
        if hand.at is not None and time.monotonic() - hand.since > most:
            hand.process.kill()  # seen as a death next time


def _replace(job: Job, hands: list[_Hand], hand: _Hand) -> Heard | None:
    hand.process.join()
    hand.pipe.close()
    code = hand.process.exitcode or 0
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    hands[hands.index(hand)] = _start(job)
    if hand.at is None:
        return None
    why = f"the process that read it {how}: it is damaged, hangs or needs more memory than there is"
    found = Found()
    return Heard(0, _written(Dataset.open(job.folder), hand.at, found, why, hand.since))


def _end(hands: list[_Hand]) -> None:
    for hand in hands:
        with contextlib.suppress(OSError):
            hand.pipe.send(None)
        if hand.at is not None:
            hand.process.terminate()
    deadline = time.monotonic() + _GOODBYE_S
    for hand in hands:
        hand.process.join(max(0.0, deadline - time.monotonic()))
        if hand.process.is_alive():
            hand.process.kill()
            hand.process.join()
        hand.pipe.close()


def _serve(job: Job, pipe: Connection) -> None:
    """A process's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to see
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(job.threads)
    try:
        pipe.send(Heard())
        while (one := pipe.recv()) is not None:
            ticks = _Ticks(lambda frames: pipe.send(Heard(frames)))
            report = import_one(job, one, ticks)
            ticks.flush()
            pipe.send(Heard(0, report))
    except (EOFError, OSError):
        os._exit(1)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
