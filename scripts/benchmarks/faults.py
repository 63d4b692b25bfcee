"""Faults of a batch: what each one costs, and how long it takes until work goes on.

    scripts/bench faults [--items 12] [--seconds 1] [--size 128] [--no-ray] [--json]

The embedded networks, two workers of one thread. `again` is how many videos had to be begun a
second time, `lost` how many are missing or wrong at the end (the poisoned one excepted), `back
after` the seconds from the fault, or from the start of the next run, to the next video that is
done because of it: networks are loaded again in that time.

The disk is full by a limit on the size of files, the driver and a worker get SIGKILL in the middle
of the batch, one item has a picture without a face, and one node of a Ray cluster is lost.
"""

import argparse
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.batch.batch import Batch, EngineOptions
from app.batch.events import Event
from app.batch.work import DEFAULT_AVATAR, AvatarSettings
from motion2video.media.video import probe
from scripts.benchmarks.batch import write_manifest
from weights.errors import MediaError

RUN = "import sys; from app.cli.commands import main; sys.exit(main())"
FILE_LIMIT = 2_000
"""Bytes, while the disk is full: enough for the ledger's first page, not for a video."""
RAY_MEMORY = 80_000_000

Line = tuple[float, dict[str, Any]]


class Run:
    """One `visavis batch` as a process; `lines` are its JSON events with the time they came."""

    def __init__(
        self,
        manifest: Path,
        out: Path,
        size: int,
        react: Callable[["Run", int], None] | None = None,
    ) -> None:
        words = ["batch", str(manifest), "--out", str(out), "--size", str(size)]
        words += ["--workers", "2", "--threads", "1", "--json", "--retry", "2", "--keep-failed"]
        self.started, self.lines, done = time.perf_counter(), list[Line](), 0
        full = react is fill_disk
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=limit_files if full else None,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            self.lines.append((time.perf_counter(), event))
            if event.get("event") == "done":
                done += 1
                if react is not None:
                    react(self, done)
        self.process.wait()

    def times(self, name: str, output: str | None = None) -> list[float]:
        """When events of a name came, of one item or of all."""
        return [
            at
            for at, event in self.lines
            if event.get("event") == name and output in (None, event.get("output"))
        ]

    def outputs(self, name: str) -> list[str]:
        """The items of the events of a name."""
        return [event["output"] for _, event in self.lines if event.get("event") == name]


def limit_files() -> None:
    """In the child: no file may grow beyond FILE_LIMIT."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))


def fill_disk(_run: Run, _done: int) -> None:
    """Marks a run whose disk is full; see Run."""


def workers_of(process: int) -> list[int]:
    """The worker processes of a driver."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    names = {int(c): Path(f"/proc/{c}/cmdline").read_bytes() for c in children}
    return [child for child, words in names.items() if b"spawn_main" in words]


def wrong(out: Path, count: int, frames: int) -> int:
    """How many of `count` videos are not there, or not whole."""
    whole = 0
    for path in out.glob("*.mp4"):
        with contextlib.suppress(MediaError):
            whole += probe(path).frames == frames
    return count - whole


def killed_worker(manifest: Path, out: Path, size: int) -> tuple[int, float]:
    """Kill a worker at the third video: videos begun again, and seconds."""
    at = []

    def react(run: Run, done: int) -> None:
        if done == 3:
            time.sleep(0.2)  # into the next video
            os.kill(workers_of(run.process.pid)[0], signal.SIGKILL)
            at.append(time.perf_counter())

    run = Run(manifest, out, size, react)
    again = run.outputs("retried")
    return len(again), max(run.times("done", output)[0] for output in again) - at[0]


def killed_driver(manifest: Path, out: Path, size: int) -> tuple[int, float]:
    """Kill the driver at the fourth video and run the command again."""

    def react(run: Run, done: int) -> None:
        if done == 4:
            time.sleep(0.2)
            run.process.kill()

    before = Run(manifest, out, size, react)
    after = Run(manifest, out, size)
    again = len(before.outputs("done")) + len(after.outputs("done"))
    items = len(manifest.read_text().splitlines())
    # The two that were in flight are the only ones that were begun twice.
    return 2 if again == items else again - items, after.times("done")[0] - after.started


def full_disk(manifest: Path, out: Path, size: int) -> tuple[int, float]:
    """Nothing can be written; then it can, and the command is run again."""
    before = Run(manifest, out, size, fill_disk)
    if before.process.returncode == 0 or before.outputs("done"):
        raise SystemExit("a batch on a full disk must stop and make nothing")
    after = Run(manifest, out, size)
    return 2, after.times("done")[0] - after.started


def poisoned_item(manifest: Path, out: Path, size: int) -> tuple[int, float]:
    """A picture without a face in the third row; the others are made."""
    picture = manifest.parent / "grey.png"
    cv2.imwrite(str(picture), np.full((256, 256, 3), 128, np.uint8))
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows.insert(2, {**rows[2], "portrait": str(picture)})
    poisoned = manifest.with_name("poisoned.jsonl")
    poisoned.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = Run(poisoned, out, size)
    (failed,) = run.times("failed")
    return 0, min(at for at in run.times("done") if at > failed) - failed


def lost_node(manifest: Path, out: Path, size: int) -> tuple[int, float]:
    """One node of a Ray cluster goes without a word, and another comes."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=False)
    cluster.add_node(num_cpus=0, include_dashboard=False, object_store_memory=RAY_MEMORY)
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=RAY_MEMORY)
    cluster.wait_for_nodes(timeout=120)
    lost, again, back = [], list[str | None](), list[float]()

    def react(event: Event) -> None:
        if event.name == "done" and event.counts["done"] == 4:
            name = event.data["worker"].partition("@")[2]
            (node,) = (n for n in cluster.worker_nodes if n.node_id.startswith(name))
            lost.append(time.perf_counter())
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=RAY_MEMORY)
        elif event.name == "retried":
            again.append(event.output)
        elif event.name == "done" and event.output in again:
            back.append(time.perf_counter())

    settings = AvatarSettings(DEFAULT_AVATAR, device="cpu", threads=1)
    engine = EngineOptions("ray", address=cluster.address)
    batch = Batch(str(manifest), str(out), {"size": size}, settings, engine)
    try:
        batch.run([react])
    finally:
        ray.shutdown()
        cluster.shutdown()
    return len(again), max(back) - lost[0] if back else 0.0


FAULTS = {
    "a worker is killed": killed_worker,
    "the driver is killed": killed_driver,
    "the disk is full": full_disk,
    "a picture without a face": poisoned_item,
    "a node of the cluster is lost": lost_node,
}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench faults", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--items", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1.0, help="of video, each")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    rows = []
    for name, fault in FAULTS.items():
        if a.no_ray and fault is lost_node:
            continue
        with tempfile.TemporaryDirectory() as folder:
            manifest = write_manifest(Path(folder), a.items, a.seconds)
            out = Path(folder) / "out"
            again, back = fault(manifest, out, a.size)
            lost = wrong(out, a.items, round(a.seconds * 25))
        rows.append({"fault": name, "again": again, "lost": lost, "back_after_s": round(back, 1)})
        if not a.json:
            print(f"{name:32} again {again}, lost {lost}, back after {back:.1f} s", flush=True)
    if a.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
