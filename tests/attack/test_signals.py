"""Signals: a stop is prompt on a machine that is busy, also where the parent ignores Ctrl-C."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from app.render.demo import DEFAULT_PORTRAIT
from motion2video.motion import Motion
from tests.app.batch.tiny import FACTORY
from tests.app.serving import wait_ready

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[2]
MAIN = "import sys; from app.cli.commands import main; sys.exit(main())"
STOP_S = 3.0


@contextmanager
def command(
    *words: object, deaf: bool, code: str = MAIN, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], list[str], list[str]]]:
    """A command, and the lines of its stdout and stderr as they come; `deaf`: it is begun by
    somebody who ignores Ctrl-C. Killed at the end if it still runs.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if deaf else None,
    )
    assert process.stdout is not None and process.stderr is not None
    lines: tuple[list[str], list[str]] = [], []
    readers = [
        threading.Thread(target=lambda pipe=pipe, kept=kept: kept.extend(pipe), daemon=True)
        for pipe, kept in zip((process.stdout, process.stderr), lines, strict=True)
    ]
    for reader in readers:
        reader.start()
    try:
        yield process, *lines
    finally:
        process.kill()
        process.wait(30)
        for reader in readers:
            reader.join(30)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        process.stderr.close()


@contextmanager
def burners() -> Iterator[int]:
    """Processes that do nothing but take cores; how many."""
    them = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        time.sleep(0.3)
        yield len(them)
    finally:
        for one in them:
            one.kill()
            one.wait()


def until(ready: Callable[[], object], process: subprocess.Popen[str], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None and time.monotonic() < end, process.args
        time.sleep(0.05)


def stopped_after(process: subprocess.Popen[str], number: signal.Signals) -> float:
    """How long a process takes to end beside two that take cores, in seconds as they are with four
    busy processes on this machine: where more are at work, each second counts less.
    """
    before = os.getloadavg()[0]
    with burners() as more:
        began = time.monotonic()
        process.send_signal(number)
        process.wait(60)
        spent = time.monotonic() - began
    busy = (before + more) / (os.cpu_count() or 1)
    print(f"{number.name}: ended after {spent:.2f} s, {busy:.1f} at work on each core")
    return spent / max(1.0, busy / 2)


@pytest.mark.slow
def test_a_server_with_two_busy_workers_and_a_follower_stops_promptly(tmp_path: Path) -> None:
    """By SIGINT, even where its parent ignores that."""
    words = ["--port", 0, "--no-studio", "--steps", 0, "--device", "cpu", "--workers", 2]
    motion = Motion.neutral(7000).save(tmp_path / "still.npz")
    with command("app", *words, "--data-dir", tmp_path / "d", deaf=True) as (process, said, told):
        until(lambda: said, process, 120)
        url = said[0].strip().removeprefix("Visavis is at ")
        wait_ready(url, 120)
        with httpx.Client(base_url=url, timeout=60) as client:

            def begin() -> str:
                files = {"portrait": DEFAULT_PORTRAIT.read_bytes(), "motion": motion.read_bytes()}
                return client.post("/v1/videos", files=files, data={"size": "256"}).json()["id"]

            def drawing(job: str) -> bool:
                answer = client.get(f"/v1/videos/{job}").json()
                return answer["progress"]["what"] == "rendering"

            jobs = [begin(), begin()]
            until(lambda: all(map(drawing, jobs)), process, 120)
            with client.stream("GET", f"/v1/videos/{jobs[0]}/events") as stream:
                next(stream.iter_lines())
                assert stopped_after(process, signal.SIGINT) < STOP_S
        assert process.returncode == 0, told
        with closing(sqlite3.connect(tmp_path / "d" / "visavis.sqlite3")) as database:
            kept = database.execute("select state, restarts from jobs").fetchall()
        assert kept == [("queued", 0)] * 2, "they begin again, and nothing is held against them"


@pytest.mark.slow
def test_a_server_that_hangs_while_it_stops_ends_and_says_where(tmp_path: Path) -> None:
    hung = (
        "import time; from app.api import run; from app.jobs.queue import JobQueue\n"
        "def hang_forever(*_): time.sleep(300)\n"
        "run.STOP_WITHIN_S, JobQueue.close = 3, hang_forever\n"
    )
    words = ["--port", 0, "--no-studio", "--device", "cpu", "--data-dir", tmp_path / "d"]
    with command("app", *words, deaf=False, code=hung + MAIN) as (process, said, told):
        until(lambda: said, process, 120)
        wait_ready(said[0].strip().removeprefix("Visavis is at "), 120)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        until_told = time.monotonic() + 10
        while "hang_forever" not in "".join(told) and time.monotonic() < until_told:
            time.sleep(0.05)
        assert process.returncode == 1 and "hang_forever" in "".join(told), told


@pytest.mark.slow
def test_a_render_stops_promptly(tmp_path: Path) -> None:
    """By SIGINT, even where its parent ignores that."""
    motion = Motion.neutral(7000).save(tmp_path / "still.npz")
    folder = tmp_path / "out"
    folder.mkdir()
    words = ["--portrait", DEFAULT_PORTRAIT, "--motion", motion, "--steps", 0, "--size", 256]
    with command("render", *words, "--out", folder / "a.mp4", deaf=True) as (process, said, told):
        until(lambda: list(folder.iterdir()), process, 120)
        assert stopped_after(process, signal.SIGINT) < STOP_S
        assert process.returncode == 130, told
        assert said == [] and list(folder.iterdir()) == [], "nothing is left"


@pytest.mark.slow
@pytest.mark.endurance
def test_a_batch_with_two_busy_workers_stops_promptly(tmp_path: Path) -> None:
    Motion.neutral(7000).save(tmp_path / "still.npz")
    row = {"portrait": str(DEFAULT_PORTRAIT), "motion": "still.npz", "size": 64}
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text("".join(json.dumps({**row, "seed": seed}) + "\n" for seed in range(3)))
    words = [manifest, "--out", tmp_path / "out", "--workers", 2, "--avatar", FACTORY]

    def at_work() -> int:
        path = tmp_path / "out" / "ledger.sqlite"
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path, timeout=30)) as ledger:
            try:
                found = ledger.execute("select count(*) from items where state = 'running'")
            except sqlite3.OperationalError:  # its tables are being made
                return 0
            return found.fetchone()[0]

    started = dict(TINY_FOLDER=str(tmp_path), PYTHONPATH=str(ROOT))
    with command("batch", *words, deaf=False, **started) as (process, _, told):
        until(lambda: at_work() == 2, process, 120)
        time.sleep(0.5)  # in the middle of a video
        assert stopped_after(process, signal.SIGTERM) < STOP_S
        assert process.returncode == 143, told
        assert at_work() == 0
        assert not [p for p in (tmp_path / "out").rglob("*") if p.suffix == ".mp4"]


STANDS = r"""
import re, sys, threading, time
from app.api.pulse import Pulse
stall, work = float(sys.argv[1]), sys.argv[2]
with Pulse(stall):
    if work != "stands":
        end = time.process_time() + 2 * stall
        while time.process_time() < end:
            sum(range(1000))
    else:
        threading.Thread(target=lambda: re.match(r"(a+)+$", "a" * 60 + "b"), daemon=True).start()
        time.sleep(600)
print("done")
"""


def test_a_process_whose_python_stands_still_ends_itself_and_says_where() -> None:
    with command(2.0, "stands", deaf=False, code=STANDS) as (process, _, told):
        began = time.monotonic()
        assert process.wait(60) == -signal.SIGVTALRM
        assert time.monotonic() - began < 40
    assert any(re.search(r"Fatal|Current thread|Thread 0x", line) for line in told)
    assert any("lambda" in line for line in told), told


def test_a_process_that_works_hard_goes_on() -> None:
    with command(1.5, "works", deaf=False, code=STANDS) as (process, said, told):
        assert process.wait(60) == 0, told
    assert said == ["done\n"]
