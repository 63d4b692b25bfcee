"""Throughput of a batch: one and two workers here, and Ray, on the same items.

    scripts/bench batch [--items 24] [--seconds 2] [--size 256] [--rounds 3] [--json]

Runs are interleaved, round after round, so that a machine that is busy with other things is so for
all of them; ratios are medians over the rounds. A rate counts from the first video that is done to
the last, so that loading the networks, once for thousands of items, is told apart.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from app.batch.batch import Batch, EngineOptions
from app.batch.events import Event
from app.batch.work import DEFAULT_AVATAR, AvatarSettings
from app.render.demo import DEFAULT_PORTRAIT
from motion2video.motion import FPS, Motion, channel_index
from weights.errors import VisavisError

ENGINES = {
    "local, 1 worker": EngineOptions(workers=1),
    "local, 2 workers": EngineOptions(workers=2),
    "ray, 1 worker": EngineOptions("ray", workers=1),
    "ray, 2 workers": EngineOptions("ray", workers=2),
}
PAIRS = (("local, 1 worker", "ray, 1 worker"), ("local, 2 workers", "ray, 2 workers"))


def write_manifest(folder: Path, items: int, seconds: float) -> Path:
    """Items of one length that differ: a mouth that opens and closes at another pace each."""
    rows = []
    for i in range(items):
        motion = Motion.neutral(round(seconds * FPS))
        at = np.arange(len(motion)) / FPS
        wave = 0.5 - 0.5 * np.cos(2 * np.pi * (2 + i / items) * at)
        motion.values[:, channel_index("jawOpen")] = 0.5 * wave
        path = motion.save(folder / f"{i}.npz")
        rows.append({"portrait": str(DEFAULT_PORTRAIT), "motion": str(path), "seed": i})
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def measure(manifest: Path, engine: EngineOptions, size: int, settings: AvatarSettings) -> dict:
    """One run: videos and frames a second between the first and the last that are done, the
    driver's own CPU time a video, and how long it took until the first was there.
    """
    done: list[tuple[float, Event]] = []

    def listen(event: Event) -> None:
        if event.name == "done":
            done.append((time.perf_counter(), event))

    with tempfile.TemporaryDirectory(dir=manifest.parent) as out:
        started, busy = time.perf_counter(), time.process_time()
        batch = Batch(str(manifest), out, {"size": size}, settings, engine)
        summary = batch.run([listen])
        busy = time.process_time() - busy
    if not summary.complete:
        raise SystemExit(f"{engine}: {summary}")
    workers = engine.workers or 1
    counted = done[workers:]  # the first of each worker finds the libraries cold
    span = done[-1][0] - done[workers - 1][0]
    return {
        "videos_per_second": len(counted) / span,
        "frames_per_second": sum(e.data["frames"] for _, e in counted) / span,
        "work_seconds": statistics.median(e.data["seconds"] for _, e in counted),
        "driver_cpu_seconds": busy / len(done),
        "first_after_seconds": done[0][0] - started,
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench batch", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=2.0, help="of video, each")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--avatar", default=DEFAULT_AVATAR, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    settings = AvatarSettings(a.avatar, device="cpu", threads=1)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_manifest(Path(folder), a.items, a.seconds)
        for number in range(a.rounds):
            names = list(ENGINES)[:: -1 if number % 2 else 1]
            for name in names:
                runs[name].append(measure(manifest, ENGINES[name], a.size, settings))
    rows = {
        name: {key: statistics.median(r[key] for r in done) for key in done[0]}
        for name, done in runs.items()
    }
    ratios = {
        ray: statistics.median(
            r["videos_per_second"] / b["videos_per_second"]
            for r, b in zip(runs[ray], runs[base], strict=True)
        )
        for base, ray in PAIRS
    }
    if a.json:
        print(json.dumps({"rows": rows, "ray_against_local": ratios, "runs": runs}))
        return
    print(f"{a.items} videos of {a.seconds:g} s at {a.size} px, {a.rounds} rounds, one thread each")
    for name, row in rows.items():
        note = f"  ({ratios[name]:.2f} of local)" if name in ratios else ""
        print(
            f"{name:<18}{row['videos_per_second']:7.2f} videos/s {row['frames_per_second']:7.1f} "
            f"frames/s {row['work_seconds'] * 1000:7.0f} ms a video, driver "
            f"{row['driver_cpu_seconds'] * 1000:.1f} ms, first after "
            f"{row['first_after_seconds']:.1f} s{note}"
        )


if __name__ == "__main__":
    try:
        main()
    except VisavisError as error:
        sys.exit(str(error))
