"""The driver of a batch: gives tasks to an engine, and writes down what comes of them.

At most as many tasks are out as the engine has free workers, so what is in memory does not grow
with the manifest, nor with workers that are slow.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.batch.engine import Engine
from app.batch.events import Event, EventName, Listener
from app.batch.ledger import Ledger
from app.batch.manifest import Item
from app.batch.work import Failure, Outcome, Task
from weights.errors import InputError

_TICK_S = 1.0


@dataclass(frozen=True)
class BatchConfig:
    """`retry`: how often an item is tried again in a run when its worker dies or something
    unforeseen happens; bad input is not tried again. `fail_fast` stops at the first failed item,
    `max_failures` when more have failed. Videos longer than `split` seconds are made in parts.
    """

    retry: int = 2
    fail_fast: bool = False
    max_failures: int | None = None
    split: float | None = None

    def __post_init__(self) -> None:
        for name in ("retry", "max_failures"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"got {name} {value}; wanted 0 or more")
        if self.split is not None and self.split < 1:
            raise InputError(f"got parts of {self.split} s; wanted 1 s or more")

    @property
    def most_failures(self) -> float:
        """How many items may fail before the batch stops."""
        if self.fail_fast:
            return 0.0
        return float("inf") if self.max_failures is None else float(self.max_failures)


@dataclass(frozen=True)
class Summary:
    """How a run ended: items of the manifest by state, `seconds` it took, `stopped` says why it
    ended early (None: it did not), `deaths` of workers, `made` videos of `video_seconds` in all.
    """

    counts: Mapping[str, int]
    skipped: int
    made: int
    video_seconds: float
    frames: int
    seconds: float
    deaths: int
    stopped: str | None

    @property
    def complete(self) -> bool:
        """Whether every item is done."""
        return self.counts["done"] == sum(self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**vars(self), "complete": self.complete}


@dataclass(eq=False)
class _Run:
    """What a run keeps in memory."""

    queue: deque[Task]
    tried: Counter[str] = field(default_factory=Counter)
    out: int = 0
    deaths: int = 0
    made: int = 0
    failed: int = 0
    frames: int = 0
    video_seconds: float = 0.0
    parts_left: dict[str, int] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    stopped: str | None = None


class Driver:
    """Runs the items of a ledger that are to be made."""

    def __init__(
        self,
        ledger: Ledger,
        engine: Engine,
        config: BatchConfig,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._ledger, self._engine, self._config = ledger, engine, config
        self._listeners = listeners

    def run(self, tasks: Iterable[Task], skipped: int) -> Summary:
        """Do all tasks, or as many as can be. Raises OutputError when the ledger cannot be
        written, LoadError and the like when there are no workers; either way what is done stays
        done, and nothing is left as running.
        """
        started = time.monotonic()
        run = _Run(deque(tasks))
        self._ledger.interrupted()  # left by a run that was killed
        self._ledger.begin_run(self._engine.name, self._engine.workers)
        self._tell("started", data={"engine": self._engine.name, "workers": self._engine.workers})
        outcome = "interrupted"
        try:
            while run.out or (run.queue and run.stopped is None):
                while run.queue and run.stopped is None and self._engine.free:
                    self._give(run, run.queue.popleft())
                for done in self._engine.wait(_TICK_S):
                    self._take(run, done)
            outcome = run.stopped or "complete"
        finally:
            seconds = time.monotonic() - started
            self._ledger.interrupted()
            counts = self._ledger.counts()
            self._ledger.end_run(seconds, run.made, counts["failed"], outcome)
        if run.stopped is not None:
            self._tell("stopped", data={"error": run.stopped})
        return Summary(
            counts=counts,
            skipped=skipped,
            made=run.made,
            video_seconds=round(run.video_seconds, 3),
            frames=run.frames,
            seconds=round(seconds, 3),
            deaths=run.deaths,
            stopped=run.stopped,
        )

    def _give(self, run: _Run, task: Task) -> None:
        if task.item.output in run.given_up:
            return  # another part of it has failed
        if task.kind in ("whole", "motion"):
            self._ledger.started(task.item.output)
        self._engine.submit(task)
        run.out += 1

    def _take(self, run: _Run, outcome: Outcome) -> None:
        """Write down what came of a task, and decide what follows."""
        run.out -= 1
        task, output = outcome.task, outcome.task.item.output
        run.spent[output] = run.spent.get(output, 0.0) + outcome.seconds
        if outcome.failure is not None:
            self._fail(run, outcome, outcome.failure)
        elif outcome.made is not None:
            result = outcome.made.result
            self._ledger.done(output, outcome.made, outcome.worker, run.spent[output])
            run.made += 1
            run.frames += result["frames"]
            run.video_seconds += result["seconds"]
            data = {
                "seconds": round(run.spent[output], 3),
                "frames": result["frames"],
                "video_seconds": result["seconds"],
                "worker": outcome.worker,
            }
            self._tell("done", task.item, data)
        elif task.kind == "motion":
            run.parts_left[output] = len(outcome.cuts)
            parts = [
                Task(task.item, task.key, "frames", part, outcome.cuts)
                for part in range(len(outcome.cuts))
            ]
            run.queue.extendleft(reversed(parts))
        elif output not in run.given_up:
            run.parts_left[output] -= 1
            if not run.parts_left[output]:
                run.queue.appendleft(Task(task.item, task.key, "join", 0, task.cuts))

    def _fail(self, run: _Run, outcome: Outcome, failure: Failure) -> None:
        task, output = outcome.task, outcome.task.item.output
        run.deaths += failure.kind == "lost"
        if output in run.given_up:
            return
        if failure.kind == "output":
            self._ledger.not_done(output, "pending", failure.message, outcome.worker)
            run.given_up.add(output)
            run.stopped = run.stopped or failure.message
            return
        run.tried[f"{output} {task.kind} {task.part}"] += 1
        tried = run.tried[f"{output} {task.kind} {task.part}"]
        again = failure.kind != "input" and tried <= self._config.retry
        if again and run.stopped is not None:
            self._ledger.not_done(output, "pending", failure.message, outcome.worker)
            run.given_up.add(output)
        elif again:
            if task.kind in ("whole", "motion"):
                self._ledger.not_done(output, "pending", failure.message, outcome.worker)
            run.queue.appendleft(task)
            self._tell("retried", task.item, {"error": failure.message, "attempt": tried})
        else:
            many = f" (tried {tried} times)" if tried > 1 else ""
            self._ledger.not_done(output, "failed", failure.message + many, outcome.worker)
            run.given_up.add(output)
            self._tell("failed", task.item, {"error": failure.message + many})
            run.failed += 1
            if run.failed > self._config.most_failures:
                items = "1 item" if run.failed == 1 else f"{run.failed} items"
                run.stopped = run.stopped or f"{items} failed; the last: {failure.message}"

    def _tell(
        self, name: EventName, item: Item | None = None, data: dict[str, Any] | None = None
    ) -> None:
        counts = self._ledger.counts()
        output, row = (item.output, item.row) if item is not None else (None, None)
        event = Event(name, counts, output, row, data or {})
        for listen in self._listeners:
            listen(event)
