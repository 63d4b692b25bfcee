"""Jobs that stand still, threads that die and servers that freeze: the others' jobs go on."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

from app.intake.limits import Limits
from app.jobs.crew import MOST_FROZEN
from app.jobs.database import Database
from app.jobs.queue import JobQueue
from app.jobs.store import FileStore
from app.jobs.table import JobStore
from app.render.request import Progress
from tests.app.serving import small_avatar
from tests.attack.jobs import OWNER, ask, state, until, working

ROOT = Path(__file__).resolve().parents[2]
SOON = Limits(max_stall_seconds=1.0)


class Stand:
    """What stands still until it is let go, where it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun: list[str] = []

    def __call__(self, words: str, progress: Progress) -> None:
        self.begun.append(words)
        if words == "stand":
            self.go.wait(60)


@pytest.mark.slow
def test_a_job_that_stands_still_fails_and_the_next_is_done(tmp_path: Path) -> None:
    act = Stand()
    with working(tmp_path, act, SOON) as queue:
        frozen, other = ask(queue, "stand"), ask(queue, "go")
        until(lambda: state(queue, other) == "succeeded")
        job = queue.get(frozen, OWNER)
        assert (job.state, job.error) == (
            "failed",
            "this made no progress for 1 s, and was given up",
        )
        assert queue.crew.replaced["froze"] == 1
        assert (queue.crew.living, queue.crew.frozen) == (1, 1) and queue.trouble() == ""
        act.go.set()
        until(lambda: queue.crew.frozen == 0)
        late = queue.get(frozen, OWNER)
        assert (late.state, late.output) == ("failed", None), "it may not come back"
        assert act.begun == ["stand", "go"]
        until(lambda: len(list(queue.store.folder.iterdir())) == 1)


@pytest.mark.slow
def test_a_slow_job_that_makes_progress_is_left_alone(tmp_path: Path) -> None:
    def slow(words: str, progress: Progress) -> None:
        for done in range(5):
            time.sleep(0.3)
            progress("moving", done, 5)

    with working(tmp_path, slow, SOON) as queue:
        job = ask(queue, "slow")
        until(lambda: state(queue, job) not in ("queued", "running"))
        assert state(queue, job) == "succeeded" and not queue.crew.replaced


def test_a_thread_that_dies_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take, deaths = JobStore.take, iter(range(2))

    def fatal(self: JobStore) -> object:
        if next(deaths, None) is not None:
            raise RuntimeError("a fault of ours")
        return take(self)

    monkeypatch.setattr(JobStore, "take", fatal)
    with working(tmp_path, Stand()) as queue:
        job = ask(queue, "go")
        until(lambda: state(queue, job) == "succeeded")
        assert queue.crew.replaced["died"] == 2 and queue.trouble() == ""
    assert "has died and is replaced" in caplog.text and "a fault of ours" in caplog.text


@pytest.mark.slow
def test_when_every_thread_stands_still_the_server_is_not_ready_and_still_ends(
    tmp_path: Path,
) -> None:
    act = Stand()
    with working(tmp_path, act, SOON) as queue:
        jobs = [ask(queue, "stand") for _ in range(MOST_FROZEN)]
        left = ask(queue, "go")
        until(lambda: all(state(queue, job) == "failed" for job in jobs), 60)
        until(lambda: "start the server anew" in queue.trouble())
        assert state(queue, left) == "queued", "it is there after the next start"
        began = time.monotonic()
        queue.close()
        assert time.monotonic() - began < 2.0
        act.go.set()
        until(lambda: queue.crew.frozen == 0)


def test_a_stop_puts_back_what_does_not_listen(tmp_path: Path) -> None:
    act = Stand()
    with working(tmp_path, act) as queue:
        job = ask(queue, "stand")
        until(lambda: act.begun)
        began = time.monotonic()
        queue.close()
        assert time.monotonic() - began < 2.0
        assert state(queue, job) == "queued" and queue.get(job, OWNER).restarts == 0
        act.go.set()
        until(lambda: not queue.crew.living)
        assert state(queue, job) == "queued"


def test_of_jobs_that_ran_when_the_server_died_one_runs_at_a_time(tmp_path: Path) -> None:
    database = Database(tmp_path)
    store = FileStore(database, Limits())

    def nobody() -> NoReturn:
        raise AssertionError("no job shall be done here")

    queue = JobQueue(database, store, nobody, Limits())
    one, two, fresh = (ask(queue, words) for words in ("one", "two", "fresh"))
    database.rows("update jobs set restarts = 1 where id in (?, ?)", one, two)
    assert [row["id"] for row in iter(queue.jobs.take, None)] == [one, fresh]
    queue.jobs.recover()
    found = {job: queue.get(job, OWNER) for job in (one, two, fresh)}
    assert {job: (it.state, it.restarts) for job, it in found.items()} == {
        one: ("failed", 1),  # begun twice, and never again
        two: ("queued", 1),
        fresh: ("queued", 1),
    }
    database.close()


FREEZES = r"""
import re, sys
from pathlib import Path
from app.api.pulse import Pulse
from tests.attack.jobs import ask, state, until, working

def freeze(words, progress):
    if words == "freeze":
        with open(sys.argv[1] + "/begun", "a") as file:
            file.write("x")
        re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter's lock for years

with Pulse(2.0), working(Path(sys.argv[1]) / "data", freeze) as queue:
    if len(sys.argv) > 2:
        print(ask(queue, "freeze"), flush=True)
    until(lambda: not queue.jobs.unfinished(), 60)
    print(queue.jobs.counts(), flush=True)
"""


@pytest.mark.slow
def test_a_job_that_froze_the_server_is_begun_twice_and_then_given_up(tmp_path: Path) -> None:
    def start(*more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", FREEZES, str(tmp_path), *more]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)

    first, second = start("ask"), start()
    assert first.returncode == second.returncode == -signal.SIGVTALRM
    assert "in freeze" in first.stderr and "in freeze" in second.stderr
    third = start()
    assert (third.returncode, third.stdout) == (0, "{'failed': 1}\n"), third.stderr
    assert (tmp_path / "begun").read_text() == "xx"


def test_a_cancelled_job_frees_its_thread_between_two_steps(tmp_path: Path) -> None:
    began = threading.Event()

    def steps(words: str, progress: Progress) -> None:
        while words == "long":
            began.set()
            time.sleep(0.05)
            progress("preparing", 0, 1)

    with working(tmp_path, steps) as queue:
        job, other = ask(queue, "long"), ask(queue, "go")
        began.wait(10)
        queue.cancel(job, OWNER)
        until(lambda: state(queue, other) == "succeeded", 10)
        assert state(queue, job) == "cancelled"


def test_a_cancel_is_heard_while_the_longest_text_is_spoken(tmp_path: Path) -> None:
    database, limits = Database(tmp_path), Limits()
    avatar = small_avatar()
    queue = JobQueue(database, FileStore(database, limits), lambda: avatar, limits)
    queue.start()
    try:
        sentence = "Yes, I know that this is a long story, and no, it does not end. "
        job = ask(queue, sentence * (limits.max_text // len(sentence)))
        until(lambda: queue.get(job, OWNER).step.what == "preparing")
        queue.cancel(job, OWNER)
        spent = until(lambda: not queue.crew.at_work())
        busy = os.getloadavg()[0] / (os.cpu_count() or 1)
        print(f"the thread was free after {spent:.2f} s, {busy:.1f} at work on each core")
        assert spent / max(1.0, busy) < 3.0
        assert state(queue, job) == "cancelled"
    finally:
        queue.close()
        database.close()
