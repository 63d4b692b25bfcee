"""Work of this process in the one queue: its turn, its places, its end and what its owner hears."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.intake.limits import Limits
from app.jobs.crew import Running
from app.jobs.database import Database
from app.jobs.errand import Errand
from app.jobs.queue import JobQueue
from app.jobs.store import FileStore
from app.jobs.table import LOST
from tests.attack.jobs import OWNER, ask, state, until, working
from weights.errors import BusyError, MediaError, NotFoundError


def held(gate: threading.Event) -> Callable[[Running], str]:
    """Work that goes on until the gate opens, and can be cancelled."""

    def work(run: Running) -> str:
        while not gate.wait(0.01):
            run.progress("waiting", 1, 2)
        return "made"

    return work


def begun(errand: Errand) -> Errand:
    until(lambda: errand.state != "queued")
    return errand


def test_one_at_a_time_in_the_order_of_asking_and_no_more_than_may_wait(tmp_path: Path):
    gate, limits = threading.Event(), Limits(max_waiting=4, max_waiting_each=2)
    with working(tmp_path, lambda words, progress: None, limits) as queue:
        first = begun(queue.run(held(gate), "one"))
        second = queue.run(lambda run: "second", "two")
        third = queue.run(lambda run: "third", "one")
        assert [errand.look().position for errand in (second, third)] == [0, 1]
        with pytest.raises(BusyError, match="2 of yours, of at most 2"):
            queue.run(lambda run: "too many", "one")
        queue.run(lambda run: "fourth", "two")
        with pytest.raises(BusyError, match="waiting: 4 of at most 4"):
            queue.run(lambda run: "fifth", "three")
        gate.set()
        assert third.wait(5.0)
        assert (first.result, second.result, third.result) == ("made", "second", "third")
        assert third.state == "succeeded"


def test_requests_and_errands_have_their_turns_in_one_queue_with_one_worker(tmp_path: Path):
    gate, done = threading.Event(), []
    with working(tmp_path, lambda words, progress: done.append(words)) as queue:
        begun(queue.run(held(gate), "other"))
        request = ask(queue, "request")
        last = queue.run(lambda run: done.append("errand"), "third")
        assert state(queue, request) == "queued"
        assert last.look().position == 1
        assert len(queue.crew.at_work()) == 1
        gate.set()
        assert last.wait(10.0)
        assert done == ["request", "errand"]


def test_the_videos_of_an_errand_take_their_places_while_they_wait(tmp_path: Path):
    gate = threading.Event()
    with working(tmp_path, lambda words, progress: None, Limits(max_waiting=4)) as queue:
        begun(queue.run(held(gate), "a", 4))
        queue.run(lambda run: None, "b", 2)
        with pytest.raises(BusyError, match="3 of at most 4"):
            queue.run(lambda run: None, "c", 2)
        ask(queue, "the last place")
        with pytest.raises(BusyError, match="4 of at most 4"):
            ask(queue, "one too many")
        gate.set()


def test_as_many_run_at_a_time_as_there_are_workers(tmp_path: Path):
    gate = threading.Event()
    with working(tmp_path, lambda words, progress: None, Limits(workers=2)) as queue:
        errands = [queue.run(held(gate), str(number)) for number in range(3)]
        until(lambda: [e.state for e in errands] == ["running", "running", "queued"])
        gate.set()
        assert all(errand.wait(5.0) for errand in errands)


def test_cancel_stops_what_runs_and_what_waits(tmp_path: Path):
    with working(tmp_path, lambda words, progress: None) as queue:
        running = begun(queue.run(held(threading.Event()), OWNER))
        waiting = queue.run(lambda run: pytest.fail("it was cancelled"), OWNER)
        waiting.cancel()
        assert waiting.ended and waiting.state == "cancelled"
        running.cancel()
        assert running.wait(1.0)
        assert (running.state, running.result) == ("cancelled", None)
        after = queue.run(lambda run: "still at work", OWNER)
        assert after.wait(5.0)
        assert after.result == "still at work"


def test_an_error_is_a_sentence_and_a_fault_shows_no_paths(tmp_path: Path):
    def bad(run: Running) -> None:
        raise MediaError("there is no picture cat.jpg")

    def broken(run: Running) -> None:
        raise RuntimeError("/secret/path")

    with working(tmp_path, lambda words, progress: None) as queue:
        errands = [queue.run(work, OWNER) for work in (bad, broken)]
        assert all(errand.wait(5.0) for errand in errands)
        jobs = [errand.look() for errand in errands]
    assert [job.state for job in jobs] == ["failed", "failed"]
    assert jobs[0].error == "there is no picture cat.jpg"
    assert "fault of the server" in (jobs[1].error or "")
    assert "/secret" not in (jobs[1].error or "")


def test_an_errand_that_stands_still_fails_and_the_next_is_done(tmp_path: Path):
    go = threading.Event()
    with working(tmp_path, lambda words, progress: None, Limits(max_stall_seconds=1.0)) as queue:
        frozen, other = queue.run(lambda run: go.wait(60), OWNER), queue.run(lambda run: 1, OWNER)
        assert other.wait(10.0) and frozen.wait(1.0)
        job = frozen.look()
        assert (job.state, job.error) == (
            "failed",
            "this made no progress for 1 s, and was given up",
        )
        go.set()
        until(lambda: queue.crew.frozen == 0)


def test_after_a_restart_the_owner_hears_that_nothing_is_left(tmp_path: Path):
    with working(tmp_path, lambda words, progress: None) as queue:
        running = begun(queue.run(held(threading.Event()), OWNER))
        waiting = queue.run(lambda run: None, OWNER)
    assert running.ended and waiting.ended, "whoever follows them waits no longer"
    with working(tmp_path, lambda words, progress: None) as queue:
        until(lambda: queue.jobs.counts() == {"failed": 2})
        rows = queue._database.rows("select error from jobs")
        assert {row["error"] for row in rows} == {LOST}


def test_an_errand_is_no_job_of_the_api(tmp_path: Path):
    database, limits = Database(tmp_path), Limits()
    queue = JobQueue(database, FileStore(database, limits), lambda: pytest.fail("no"), limits)
    errand = queue.run(lambda run: None, OWNER)
    for asked in (queue.get, queue.cancel):
        with pytest.raises(NotFoundError):
            asked(errand.running.id, OWNER)
    assert errand.state == "queued"
    database.close()
