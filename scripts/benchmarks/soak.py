"""Whether a server's memory creeps: the load of `bench live`, round after round, for minutes.

    scripts/bench soak [--minutes 30] [--clients 20] [--idle 60] [--every 5] [--csv FILE] [--json]

Starts `visavis app` on a free port of the loopback; as many clients as asked for make a video of
two seconds each at once, again and again. Every few seconds the resident memory, open files,
threads and child processes of the server are noted. The slope is the least-squares one of the last
half of the load; its interval (95 %) is that of Newey and West with a lag of a minute, because
neighbouring samples are alike. After the load the server is left alone for `--idle` seconds, which
shows what it hands back.
"""

import argparse
import csv
import dataclasses
import json
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from scripts.benchmarks.live import load, server

_LAG_S = 60.0
_NORMAL_95 = 1.96


@dataclass(frozen=True)
class Sample:
    """The server at one moment: seconds since the load began, resident megabytes of the process,
    those of them that are not pages of files (which the system takes away and reads again as it
    likes), resident megabytes of its children, open files, threads, children."""

    seconds: float
    rss_mb: float
    private_mb: float
    children_mb: float
    files: int
    threads: int
    children: int


def sample(process: psutil.Process, began: float) -> Sample:
    """What the server holds now. A child that ends meanwhile counts as nothing."""
    children_mb, count = 0.0, 0
    for child in process.children(recursive=True):
        try:
            children_mb += child.memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            continue
        count += 1
    held = process.memory_info()
    return Sample(
        round(time.monotonic() - began, 2),
        held.rss / 1e6,
        (held.rss - held.shared) / 1e6,
        children_mb,
        process.num_fds(),
        process.num_threads(),
        count,
    )


class Watch:
    """Samples of a process every few seconds, in a thread, until `close`."""

    def __init__(self, process: psutil.Process, every: float) -> None:
        self.samples: list[Sample] = []
        self.began = time.monotonic()
        self._process, self._every = process, every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._end.wait(self._every):
            self.samples.append(sample(self._process, self.began))

    def close(self) -> None:
        """Take no further sample."""
        self._end.set()
        self._thread.join()


def slope(seconds: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Least-squares slope a minute, and half the width of its 95 % interval (Newey and West:
    residuals up to a minute apart may be alike). Raises ValueError for fewer than three samples.
    """
    if len(seconds) < 3:
        raise ValueError(f"got {len(seconds)} samples; wanted at least 3 for a slope")
    minutes = (seconds - seconds.mean()) / 60.0
    spread = float(minutes @ minutes)
    rate = float(minutes @ values) / spread
    scores = minutes * (values - values.mean() - rate * minutes)
    step = float(np.median(np.diff(seconds)))
    lag = min(len(scores) - 1, round(_LAG_S / step))
    variance = float(scores @ scores)
    for k in range(1, lag + 1):
        variance += 2.0 * (1.0 - k / (lag + 1)) * float(scores[k:] @ scores[:-k])
    return rate, _NORMAL_95 * max(variance, 0.0) ** 0.5 / spread


def figures(samples: list[Sample], load_s: float) -> dict[str, Any]:
    """What the curve says: slopes of the last half of the load, means, and what idling gave."""
    half = [s for s in samples if load_s / 2 <= s.seconds <= load_s]
    at = np.array([s.seconds for s in half])
    found: dict[str, Any] = {"minutes": round(load_s / 60, 1), "samples": len(samples)}
    for name in ("rss_mb", "private_mb", "children_mb", "files", "threads"):
        rate, width = slope(at, np.array([getattr(s, name) for s in half], float))
        found[f"{name}_per_min"] = [round(rate, 3), round(width, 3)]
    last = [s for s in samples if s.seconds <= load_s]
    found["rss_mb_mean_last_half"] = round(float(np.mean([s.rss_mb for s in half])), 1)
    found["rss_mb_peak"] = round(max(s.rss_mb for s in samples), 1)
    found["rss_mb_end_of_load"] = round(last[-1].rss_mb, 1)
    found["rss_mb_idle"] = round(samples[-1].rss_mb, 1)
    found["files_first_last"] = [samples[0].files, samples[-1].files]
    found["threads_first_last"] = [samples[0].threads, samples[-1].threads]
    return found


def write(samples: list[Sample], path: Path) -> None:
    """The curve as CSV, a line a sample."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([field.name for field in dataclasses.fields(Sample)])
        rows.writerows(dataclasses.astuple(one) for one in samples)


def soak(minutes: float, clients: int, idle: float, every: float) -> tuple[list[Sample], Any]:
    """The curve of a server under load and then left alone; its figures with those of the load."""
    failed, rounds = 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder / "data", max(1, 2 * clients)) as (url, process):
            watch = Watch(process, every)
            end = watch.began + 60.0 * minutes
            while time.monotonic() < end:
                one = load(url, process, clients, 1, folder)
                failed += one["failed"]
                rounds += one["seconds"]
            load_s = time.monotonic() - watch.began
            time.sleep(max(idle, every))
            watch.close()
    found = figures(watch.samples, load_s)
    found |= {"clients": clients, "rounds": len(rounds), "failed": failed}
    found["round_s_median"] = round(float(np.median(rounds)), 1)
    return watch.samples, found


def main() -> None:
    """Parse the command line, soak, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds without load at the end")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    parser.add_argument("--csv", type=Path, help="write the curve here")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    samples, found = soak(a.minutes, a.clients, a.idle, a.every)
    if a.csv:
        write(samples, a.csv)
    if a.json:
        print(json.dumps(found))
        return
    rate, width = found["rss_mb_per_min"]
    private, private_width = found["private_mb_per_min"]
    print(
        f"{found['rounds']} rounds of {a.clients} clients in {found['minutes']} minutes, "
        f"{found['failed']} failed, {found['round_s_median']} s a round (median)\n"
        f"memory of the last half: {found['rss_mb_mean_last_half']} MB, "
        f"{rate:+.2f} +- {width:.2f} MB/min (without pages of files "
        f"{private:+.2f} +- {private_width:.2f}); peak {found['rss_mb_peak']} MB, end of the load "
        f"{found['rss_mb_end_of_load']} MB, after {a.idle:g} s alone {found['rss_mb_idle']} MB\n"
        f"open files {found['files_first_last']}, threads {found['threads_first_last']} "
        f"(first and last sample)"
    )


if __name__ == "__main__":
    main()
