"""Memory that was freed goes back to the system, and the thread that sees to it ends."""

import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from app.api.memory import Trimmer, hand_back
from scripts.benchmarks.soak import Sample, figures, slope

ROOT = Path(__file__).parents[2]
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")

# A heap that ends with a block in use gives nothing of what was freed before it back by itself.
HOLES = """
import sys, threading, psutil
from app.api.memory import Trimmer
kept = []
def work():
    blocks = [b"x" * 50_000 for _ in range(8000)]
    kept.append(blocks[-1])
thread = threading.Thread(target=work); thread.start(); thread.join()
process = psutil.Process()
before = process.memory_info().rss
if sys.argv[1] == "trim":
    trimmer = Trimmer(look_s=0.1)
    threading.Event().wait(1.0)
    trimmer.close()
print(before, process.memory_info().rss)
"""

# Threads that allocate at the same time get a heap each, unless heaps are limited.
HEAPS = """
import ctypes, sys, threading
from app.api.memory import limit_heaps
if sys.argv[1] == "limited":
    limit_heaps()
together = threading.Barrier(12)
def work():
    together.wait()
    for _ in range(200):
        blocks = [bytes(2000) for _ in range(200)]
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
[t.start() for t in threads]; [t.join() for t in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file)); libc.fclose(ctypes.c_void_p(file))
print(open(sys.argv[2]).read().count("<heap nr="))
"""


def run(code: str, *words: str) -> list[int]:
    """The numbers that a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.slow
@glibc
def test_a_process_that_has_worked_hands_free_memory_back():
    before, after = run(HOLES, "trim")
    kept_before, kept_after = run(HOLES, "keep")
    assert before - after > 200e6, "the trimmer gave nothing back"
    assert kept_before - kept_after < 50e6, "without it the memory went too: this shows nothing"


@glibc
def test_a_server_has_few_heaps(tmp_path: Path):
    (limited,) = run(HEAPS, "limited", str(tmp_path / "a.xml"))
    (free,) = run(HEAPS, "free", str(tmp_path / "b.xml"))
    assert limited <= 2
    assert free > 2, "threads share heaps anyway: this shows nothing"


def test_the_trimmer_ends():
    trimmer = Trimmer(look_s=60.0)
    assert any(thread.name == "visavis-memory" for thread in threading.enumerate())
    started = time.monotonic()
    trimmer.close()
    assert time.monotonic() - started < 5
    assert all(thread.name != "visavis-memory" for thread in threading.enumerate())


def test_handing_back_twice_frees_nothing_that_is_used():
    values = np.arange(100_000)
    hand_back()
    hand_back()
    assert values.sum() == 100_000 * 99_999 // 2
    assert psutil.Process(os.getpid()).is_running()


def test_a_soak_finds_the_slope_of_a_line_and_the_width_of_noise():
    seconds = np.arange(0.0, 900.0, 5.0)
    rate, width = slope(seconds, 500.0 + 3.0 * seconds / 60)
    assert rate == pytest.approx(3.0)
    assert width == pytest.approx(0.0, abs=1e-6)
    noise = np.random.default_rng(0).normal(0, 10, len(seconds))
    rates = [slope(seconds, np.roll(noise, k))[0] for k in range(0, 180, 3)]
    _, width = slope(seconds, noise)
    assert np.std(rates) < width < 8 * np.std(rates)


def test_a_soak_looks_at_the_last_half_of_the_load_only():
    curve = [
        Sample(float(s), 100.0 + max(0, 300 - s) + (50 if s > 600 else 0), 60.0, 0.0, 9, 4, 0)
        for s in range(0, 660, 5)
    ]
    found = figures(curve, 600.0)
    assert found["rss_mb_per_min"][0] == pytest.approx(0.0)
    assert found["rss_mb_end_of_load"] == 100.0
    assert found["rss_mb_idle"] == 150.0
