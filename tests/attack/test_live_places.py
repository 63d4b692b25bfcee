"""Places for live conversations: nobody keeps one that they do not use, and nobody has many."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import app.live.framing as framing
import app.live.rooms as live_rooms
from app.intake.limits import Limits
from app.render.pipeline import Avatar
from tests.app.serving import Served, running, small_avatar

pytestmark = pytest.mark.network

SILENCE = bytes([framing.SOUND]) + framing.to_bytes(np.zeros(3200, np.float32))


@pytest.fixture(scope="module")
def small() -> Avatar:
    return small_avatar()


@pytest.fixture(scope="module")
def served(small: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(small, tmp_path_factory.mktemp("data")) as it:
        yield it


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as it:
        yield it


def connected(served: Served, who: str) -> ClientConnection:
    url = served.url.replace("http", "ws") + "/v1/live"
    headers = {"X-Visavis-Session": f"somebody-{who}"}
    return connect(url, additional_headers=headers, close_timeout=1)


def begin(
    served: Served, stack: ExitStack, who: str | None = None, **first: object
) -> tuple[ClientConnection, dict]:
    """A new connection of somebody's, and what the server answers to its first message."""
    headers = {} if who is None else {"X-Visavis-Session": f"somebody-{who}"}
    url = served.url.replace("http", "ws") + "/v1/live"
    socket = stack.enter_context(connect(url, additional_headers=headers, close_timeout=1))
    socket.send(json.dumps({"type": "start", "size": 64, **first}))
    return socket, json.loads(socket.recv(60))


def left(served: Served, identity: str) -> None:
    """Until the server has noticed that a visitor has gone."""
    end = time.monotonic() + 10
    while (room := served.app.state.rooms.look_up(identity)) is not None and room.attached:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_ten_starts_that_nobody_ends_are_all_let_in_and_the_first_goes_on(
    small: Avatar, tmp_path: Path, stack: ExitStack
) -> None:
    with running(small, tmp_path / "data", Limits(max_live=2)) as served:
        names, slowest = [], 0.0
        for number in range(10):
            began = time.monotonic()
            socket, ready = begin(served, stack, str(number))
            slowest = max(slowest, time.monotonic() - began)
            assert ready["type"] == "ready", (number, ready)
            socket.close()
            left(served, ready["session"])
            names.append(ready["session"])
        print(f"10 starts in 2 places: {slowest:.2f} s for the slowest")
        assert served.app.state.rooms.count == 2
        for number in (9, 0):
            socket = stack.enter_context(connected(served, str(number)))
            socket.send(json.dumps({"type": "resume", "session": names[number]}))
            ready = json.loads(socket.recv(60))
            assert ready["type"] == "ready" and ready["session"] == names[number]


def test_the_place_that_was_left_first_goes_first_and_a_used_one_stays(
    small: Avatar, tmp_path: Path, stack: ExitStack
) -> None:
    with running(small, tmp_path / "data", Limits(max_live=3)) as served:
        talks, used = begin(served, stack, "talks")
        first, one = begin(served, stack, "one")
        second, two = begin(served, stack, "two")
        for socket, ready in ((second, two), (first, one)):
            socket.close()
            left(served, ready["session"])
        assert begin(served, stack, "three")[1]["type"] == "ready"
        rooms = served.app.state.rooms
        assert rooms.look_up(two["session"]) is None
        assert rooms.look_up(one["session"]) is not None
        assert begin(served, stack, "four")[1]["type"] == "ready"
        refused = begin(served, stack, "five")[1]
        assert refused["status"] == 429 and "too many" in refused["detail"]
        talks.send(SILENCE)
        assert talks.recv(60) and rooms.look_up(used["session"]) is not None


def test_nobody_has_more_than_their_share_by_session_or_by_address(
    small: Avatar, tmp_path: Path, stack: ExitStack
) -> None:
    with running(small, tmp_path / "data", Limits(max_live=4, max_live_each=1)) as served:
        mine, ready = begin(served, stack, "mine")
        assert ready["type"] == "ready"
        refused = begin(served, stack, "mine")[1]
        assert refused["status"] == 429 and "end one first" in refused["detail"]
        assert begin(served, stack)[1]["type"] == "ready"
        assert begin(served, stack)[1]["status"] == 429, "nameless, but of the same address"
        mine.close()
        left(served, ready["session"])
        assert begin(served, stack, "mine")[1]["type"] == "ready", "one's own place is free"


def test_who_is_silent_for_long_makes_room_when_it_is_needed_and_can_resume(
    small: Avatar, tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_rooms, "_SILENT_S", 0.5)
    with running(small, tmp_path / "data", Limits(max_live=1)) as served:
        silent, ready = begin(served, stack, "silent")
        time.sleep(0.6)
        new, taken = begin(served, stack, "new")
        assert taken["type"] == "ready"
        told = json.loads(silent.recv(10))
        assert told["status"] == 429 and "silent" in told["detail"]
        with pytest.raises(ConnectionClosed):
            silent.recv(10)
        new.send(json.dumps({"type": "end"}))
        with pytest.raises(ConnectionClosed):
            new.recv(10)
        socket = stack.enter_context(connected(served, "silent"))
        socket.send(json.dumps({"type": "resume", "session": ready["session"]}))
        assert json.loads(socket.recv(60))["type"] == "ready"


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "say", "text": "' + "a" * 5_000_000 + '"}',
        '{"type": "stop", ' + ",".join(f'"k{n}": 1' for n in range(300_000)) + "}",
        '{"type": "say", "text": ' + "[" * 1000 + "]" * 1000 + "}",
        "[" * 60_000,
    ],
    ids=["long", "keys", "nested", "open"],
)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_messages_that_would_hold_the_server_are_refused_at_once(
    served: Served, stack: ExitStack, message: str, first: bool
) -> None:
    if first:
        socket = stack.enter_context(connected(served, "first"))
    else:
        socket, _ = begin(served, stack, "later")
    began = time.monotonic()
    socket.send(message)
    answer = json.loads(socket.recv(20))
    assert answer["status"] in (413, 422) and time.monotonic() - began < 2
