"""What a batch costs beside its videos: the driver's time an item, and the way to a worker.

    scripts/bench driver [--rows 10000] [--tasks 300] [--json]

The driver is measured over a manifest of many rows with an engine that does nothing; the way to a
worker over tasks that fail at once, on one worker here and on one of Ray.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.batch.batch import Batch, EngineOptions
from app.batch.driver import BatchConfig, Driver
from app.batch.engine import Engine, Recipe
from app.batch.ledger import Ledger, Made
from app.batch.manifest import Item, read_manifest
from app.batch.report import write_report
from app.batch.work import DEFAULT_AVATAR, AvatarSettings, Outcome, Place, Task
from weights.errors import VisavisError

_AT_ONCE = 64
_WARM = 20


class Nobody:
    """An engine whose workers say at once that they are done."""

    name, workers = "nobody", _AT_ONCE

    def __init__(self) -> None:
        self._tasks: list[Task] = []

    def __enter__(self) -> "Nobody":
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to end."""

    @property
    def free(self) -> int:
        """Room for tasks."""
        return _AT_ONCE - len(self._tasks)

    def submit(self, task: Task) -> None:
        """Keep it until `wait`."""
        self._tasks.append(task)

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """All done."""
        made = Made({"frames": 50, "seconds": 2.0, "out": "x" * 600}, "0" * 64, 1000, b"j" * 2500)
        done = [Outcome(task, "nobody", 1.0, made) for task in self._tasks]
        self._tasks = []
        return done


def driver_costs(rows: int) -> dict[str, float]:
    """CPU milliseconds a row of each stage, and of the report in all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("p.png", "m.npz"):
            (folder / file).write_bytes(b"there")
        lines = (
            json.dumps({"portrait": "p.png", "motion": "m.npz", "seed": i}) for i in range(rows)
        )
        (folder / "rows.jsonl").write_text("\n".join(lines))
        batch = Batch(str(folder / "rows.jsonl"), str(folder / "out"))
        items: list[Item] = []
        costs: dict[str, float] = {}

        def spent(stage: str, work: Callable[[], object]) -> None:
            started = time.process_time()
            work()
            costs[stage] = (time.process_time() - started) * 1000 / rows

        spent("read and check", lambda: items.extend(read_manifest(batch.manifest, {})))
        with Ledger(batch.ledger_path) as ledger:
            spent("key and plan", lambda: batch._plan(ledger, items))
            tasks = [Task(item, "") for item in items]
            driver = Driver(ledger, Nobody(), BatchConfig())
            spent("drive and write down", lambda: driver.run(tasks, 0))
            spent("report", lambda: write_report(ledger, batch.folder, folder / "staging"))
    return costs


def round_trip(engine: Engine, task: Task, count: int) -> dict[str, float]:
    """Milliseconds of a task that fails at once, there and back: of the clock, of the driver."""
    with engine:
        while not engine.free:
            engine.wait(1.0)
        result = {}
        for number in (_WARM, count):
            started, busy = time.perf_counter(), time.process_time()
            for _ in range(number):
                engine.submit(task)
                while not engine.wait(1.0):
                    pass
            result = {
                "wall_ms": (time.perf_counter() - started) * 1000 / number,
                "driver_cpu_ms": (time.process_time() - busy) * 1000 / number,
            }
    return result


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench driver", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--avatar", default=DEFAULT_AVATAR, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    costs = driver_costs(a.rows)
    settings = AvatarSettings(a.avatar, device="cpu", threads=1)
    fields = {"portrait": "/nowhere/p.png", "motion": "/nowhere/m.npz"}
    task = Task(Item(1, "a.mp4", fields, tuple(fields)), "")
    trips = {}
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(settings, Place(folder, f"{folder}/.partial"))
        for kind in ("local", "ray"):
            engine = EngineOptions(kind, workers=1).open(recipe)
            trips[kind] = round_trip(engine, task, a.tasks)
    if a.json:
        print(json.dumps({"rows": a.rows, "driver_cpu_ms": costs, "round_trip": trips}))
        return
    for stage, cost in costs.items():
        print(f"{stage:<22}{cost:7.3f} ms a row of {a.rows}")
    for kind, trip in trips.items():
        print(
            f"{kind:<6} there and back    {trip['wall_ms']:7.3f} ms, driver "
            f"{trip['driver_cpu_ms']:.3f} ms"
        )


if __name__ == "__main__":
    try:
        main()
    except VisavisError as error:
        sys.exit(str(error))
