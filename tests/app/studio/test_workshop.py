"""Runs, their queue and visitors: what everybody shares and what is theirs alone."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.intake.limits import Limits
from app.render.pipeline import Avatar
from app.studio.workshop import Run, Workshop
from weights.errors import BusyError, MediaError


def no_avatar() -> Avatar:
    raise AssertionError("no test here needs the networks")


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    """One with room for three runs, two of them one visitor's."""
    limits = Limits(max_waiting=3, max_waiting_each=2, expiry_s=100.0)
    shop = Workshop(tmp_path / "visitors", no_avatar, limits)
    yield shop
    shop.close()
    assert not (tmp_path / "visitors").exists()


def until(gate: threading.Event):
    """Work that goes on until the gate opens, and can be cancelled."""

    def work(run: Run) -> str:
        while not gate.wait(0.01):
            run.progress("waiting", 1, 2)
        return "made"

    return work


def test_one_at_a_time_in_the_order_of_asking(workshop: Workshop):
    gate = threading.Event()
    one, two = workshop.session("one"), workshop.session("two")
    first = workshop.submit(one, until(gate))
    while first.state == "waiting":
        time.sleep(0.01)
    second = workshop.submit(two, lambda run: "second")
    third = workshop.submit(one, lambda run: "third")
    assert [workshop.position(run) for run in (second, third)] == [0, 1]
    with pytest.raises(BusyError, match="2 of your videos"):
        workshop.submit(one, lambda run: "too many")
    workshop.submit(two, lambda run: "fourth")
    with pytest.raises(BusyError, match="3 videos are waiting"):
        workshop.submit(workshop.session("three"), lambda run: "fifth")
    gate.set()
    assert third.wait(5.0)
    assert (first.result, second.result, third.result) == ("made", "second", "third")
    assert workshop.position(third) == 0 or third.ended


def test_cancel_stops_what_runs_and_what_waits(workshop: Workshop):
    session = workshop.session("one")
    running = workshop.submit(session, until(threading.Event()))
    waiting = workshop.submit(session, lambda run: pytest.fail("it was cancelled"))
    while running.state == "waiting":
        time.sleep(0.01)
    waiting.cancel()
    assert waiting.state == "cancelled"
    running.cancel()
    assert running.wait(1.0)
    assert running.state == "cancelled"
    after = workshop.submit(session, lambda run: "still at work")
    assert after.wait(5.0)
    assert after.result == "still at work"


def test_an_error_is_a_sentence_and_a_fault_shows_no_paths(workshop: Workshop):
    def bad(run: Run) -> None:
        raise MediaError("there is no picture cat.jpg")

    def broken(run: Run) -> None:
        raise RuntimeError("/secret/path")

    session = workshop.session("one")
    runs = [workshop.submit(session, work) for work in (bad, broken)]
    assert all(run.wait(5.0) for run in runs)
    assert runs[0].error == "there is no picture cat.jpg"
    assert "fault of visavis" in runs[1].error
    assert "/secret" not in runs[1].error


def test_a_visitor_who_leaves_is_forgotten_with_their_files(workshop: Workshop):
    session = workshop.session("one")
    (session.new_folder() / "video.mp4").touch()
    run = workshop.submit(session, until(threading.Event()))
    assert workshop.session("one") is session
    assert workshop.session("two").folder != session.folder
    workshop.leave("one")
    assert run.wait(1.0)
    assert not session.folder.exists()
    assert workshop.session("one") is not session


def test_who_does_nothing_for_long_is_forgotten_unless_something_runs(workshop: Workshop):
    idle, busy = workshop.session("idle"), workshop.session("busy")
    idle.new_folder(), busy.new_folder()
    run = workshop.submit(busy, until(threading.Event()))
    workshop.sweep(time.monotonic() + 99)
    assert idle.folder.exists()
    workshop.sweep(time.monotonic() + 101)
    assert not idle.folder.exists()
    assert busy.folder.exists()
    run.cancel()


def test_the_preview_grows_and_stays_small():
    run = Run(lambda run: None)
    frame = np.zeros((64, 48, 3), np.uint8)
    for _ in range(25 * 100):
        run.show(frame)
    assert 20 <= len(run.strip) <= 40
    assert run.look[:2] == b"\xff\xd8"


def test_a_failed_load_is_tried_again(tmp_path: Path):
    asked: list[int] = []

    def load() -> Avatar:
        asked.append(1)
        raise MediaError("not yet")

    shop = Workshop(tmp_path / "visitors", load)
    for _ in range(2):
        with pytest.raises(MediaError, match="not yet"):
            shop.avatar()
    assert len(asked) == 2
    shop.close()
