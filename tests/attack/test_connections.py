"""Nobody keeps others out by holding connections: idle, slow, many, or as a follower of jobs."""

import contextlib
import io
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from PIL import Image

from app.api.budget import Budget, is_stream
from app.api.connections import place_of
from app.api.settings import ServerConfig
from app.intake.limits import Limits
from motion2video.motion import Motion
from tests.attack.loopback import HEAD, Loopback, is_closed, listening, status_of, wait_closed
from weights.errors import InputError

pytestmark = pytest.mark.network

OTHER = "127.0.0.2"
HALF = b"GET /healthz HTTP/1.1\r\nHost: 127.0"
SLOW = (
    b"POST /v1/videos "
    + HEAD
    + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\n"
)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as it:
        yield it


def held(
    served: Loopback, stack: ExitStack, count: int, data: bytes, source: str = "127.0.0.1"
) -> list[socket.socket]:
    """So many connections that have sent `data` and no more."""
    connections = []
    for _ in range(count):
        connection = stack.enter_context(served.connect(source))
        if data:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
        connections.append(connection)
    return connections


@pytest.mark.slow
def test_600_idle_and_half_connections_do_not_keep_another_address_waiting(
    tmp_path: Path, stack: ExitStack
) -> None:
    with listening(tmp_path / "data", Limits(header_s=4.0)) as served:
        idle = held(served, stack, 300, b"")
        half = held(served, stack, 300, HALF)
        time.sleep(0.5)  # until all were accepted
        other, same = served.healthz_ms(OTHER), served.healthz_ms()
        print(f"600 held: /healthz in {other:.1f} ms from another address, {same:.1f} from theirs")
        assert other < 100 and same < 100
        began = time.monotonic()
        assert wait_closed(idle + half, 15) == 600
        print(f"all closed {time.monotonic() - began:.1f} s later")
    assert served.log.tracebacks == []


def queued(served: Loopback, tmp_path: Path) -> str:
    """The address of a job that waits for the networks."""
    photo = io.BytesIO()
    Image.new("RGB", (64, 64)).save(photo, "JPEG")
    motion = Motion.neutral(5).save(tmp_path / "still.npz").read_bytes()
    files = {"portrait": photo.getvalue(), "motion": motion}
    job = httpx.post(f"{served.url}/v1/videos", files=files, timeout=60)
    assert job.status_code == 202, job.text
    return f"/v1/videos/{job.json()['id']}/events"


def test_200_event_streams_leave_the_server_idle_and_room_for_requests(
    tmp_path: Path, stack: ExitStack
) -> None:
    with listening(tmp_path / "data", Limits(max_streams=210, max_streams_each=205)) as served:
        request = b"GET " + queued(served, tmp_path).encode() + b" " + HEAD + b"\r\n"
        streams = held(served, stack, 200, request)
        for stream in streams:
            assert status_of(stream.recv(65536)) == 200
        spent = time.process_time()
        time.sleep(2)
        spent = (time.process_time() - spent) / 2
        same, other = served.healthz_ms(), served.healthz_ms(OTHER)
        print(f"200 streams: {100 * spent:.0f}% of a core; /healthz {same:.1f} and {other:.1f} ms")
        assert same < 100 and other < 100 and spent < 0.5
        more = [s.recv(65536) for s in held(served, stack, 6, request)]
        assert [status_of(answer) for answer in more] == [200] * 5 + [429]
        assert not any(is_closed(stream) for stream in streams)
        for stream in streams[:100]:
            stream.close()
        end = time.monotonic() + 10
        while served.status(request) != 200:
            assert time.monotonic() < end, "streams that were left must make room"
            time.sleep(0.1)
    assert served.log.tracebacks == []


def test_sockets_that_say_nothing_are_streams_too(tmp_path: Path, stack: ExitStack) -> None:
    ask = (
        b"GET /v1/live "
        + HEAD
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with listening(tmp_path / "data", Limits(max_streams=4, max_streams_each=3)) as served:
        answers = [status_of(s.recv(65536)) for s in held(served, stack, 4, ask)]
        answers += [status_of(s.recv(65536)) for s in held(served, stack, 2, ask, OTHER)]
        assert answers == [101, 101, 101, 429, 101, 429]
        assert served.status(b"GET /healthz " + HEAD + b"\r\n") == 200


@pytest.mark.slow
def test_a_full_server_of_busy_connections_takes_in_who_has_none(
    tmp_path: Path, stack: ExitStack
) -> None:
    limits = Limits(max_connections=20, max_connections_each=15)
    with listening(tmp_path / "data", limits) as served:
        many = held(served, stack, 15, SLOW) + held(served, stack, 5, SLOW, "127.0.0.3")
        time.sleep(0.3)
        assert served.status(b"GET /healthz " + HEAD + b"\r\n", OTHER) == 200
        closed = [is_closed(connection) for connection in many]
        assert sum(closed) == 1 and closed.index(True) < 15, "the one with most gives way"
        refused = served.send(b"GET /healthz " + HEAD + b"\r\n", seconds=2.0)
        assert status_of(refused) in (0, 200, 503)
    assert served.log.tracebacks == []


def test_beyond_its_own_places_an_address_is_refused(tmp_path: Path, stack: ExitStack) -> None:
    with listening(tmp_path / "data", Limits(max_connections_each=5)) as served:
        held(served, stack, 5, SLOW)
        time.sleep(0.3)
        answer = served.send(b"")
        assert status_of(answer) == 503 and b"retry-after" in answer
        assert served.status(b"GET /healthz " + HEAD + b"\r\n", OTHER) == 200


DRIPS = {
    "line": (b"GET /", b"a", 408),
    "header": (b"GET /healthz " + HEAD + b"X: ", b"a", 408),
    "second": (b"GET /healthz " + HEAD + b"\r\n" + HALF, b"a", 200),  # a second request
    "body": (SLOW, b"a", 408),
    "chunk": (
        SLOW.partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1",
        408,
    ),
    "answered": (b"GET /healthz " + HEAD + b"Content-Length: 99999\r\n\r\n", b"a", 200),
}
"""What somebody begins with, the byte that they then send again and again, and the answer."""


def dripped(served: Loopback, begin: bytes, drip: bytes) -> tuple[int, float]:
    """The status that comes, and the seconds until the server closes."""
    began, answer = time.monotonic(), b""
    with served.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(begin)
        connection.settimeout(0.2)
        while time.monotonic() - began < 12:
            connection.sendall(drip)
            with contextlib.suppress(TimeoutError):
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
    return status_of(answer), time.monotonic() - began


def test_who_sends_a_byte_at_a_time_is_cut_off(tmp_path: Path) -> None:
    """Each in their own way, all at the same time."""
    with (
        listening(tmp_path / "data", Limits(header_s=1.5, stall_s=1.5)) as served,
        ThreadPoolExecutor(len(DRIPS)) as pool,
    ):
        ways = [pool.submit(dripped, served, begin, drip) for begin, drip, _ in DRIPS.values()]
        found = {name: way.result() for name, way in zip(DRIPS, ways, strict=True)}
    assert {name: status for name, (status, _) in found.items()} == {
        name: status for name, (_, _, status) in DRIPS.items()
    }
    assert all(seconds < 10 for _, seconds in found.values()), found
    assert served.log.tracebacks == []


def test_who_does_not_read_is_cut_off(tmp_path: Path) -> None:
    with (
        listening(tmp_path / "data", Limits(stall_s=1.0)) as served,
        socket.socket() as connection,
    ):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", served.port))
        connection.sendall((b"GET /openapi.json " + HEAD + b"\r\n") * 500)
        time.sleep(3)
        assert wait_closed([connection], 5) == 1
    assert served.log.tracebacks == []


def test_a_slow_but_steady_upload_is_let_through(tmp_path: Path) -> None:
    body = b"{" + b" " * 6000 + b"}"
    head = b"POST /v1/videos " + HEAD + b"Content-Type: application/json\r\n"
    limits = Limits(stall_s=1.0)
    with listening(tmp_path / "data", limits) as served, served.connect() as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 1200):
            connection.sendall(body[at : at + 1200])
            time.sleep(0.3)
        assert status_of(connection.recv(65536)) == 422


def test_only_a_named_proxy_is_believed(tmp_path: Path, stack: ExitStack) -> None:
    """Visitors behind a proxy are counted each; a stranger cannot say who they are."""
    limits = Limits(max_streams_each=1, max_connections_each=3)
    for proxies, answers in (((), [200, 429, 429]), (("127.0.0.0/8",), [200, 200, 429])):
        with listening(tmp_path / f"data{len(proxies)}", limits, proxies) as served:
            path = queued(served, tmp_path).encode()
            seen = []
            for name in (b"10.0.0.1", b"10.0.0.2", b"10.0.0.2"):
                asked = b"GET " + path + b" " + HEAD + b"X-Forwarded-For: " + name + b"\r\n\r\n"
                seen.append(status_of(held(served, stack, 1, asked)[0].recv(65536)))
            assert seen == answers
    with pytest.raises(InputError, match="wanted an address or a network"):
        ServerConfig(tmp_path, proxies=("everybody",))


def test_addresses_of_one_household_are_one_place() -> None:
    assert place_of("2001:db8::1") == place_of("2001:db8::ffff") != place_of("2001:db8:0:1::1")
    assert place_of("::ffff:10.0.0.1") == place_of("10.0.0.1") != place_of("10.0.0.2")
    assert place_of("unix") == "unix"


def test_a_budget_counts_in_all_and_for_each() -> None:
    budget = Budget(3, 2)
    assert [budget.take(place) for place in "aaabb"] == [True, True, False, True, False]
    budget.give_back("a")
    assert budget.taken == 2 and budget.take("b")


@pytest.mark.parametrize(
    ("path", "yes"),
    [
        ("/v1/live", True),
        ("/v1/live/abc.mjpeg", True),
        ("/v1/videos/abc/events", True),
        ("/studio/gradio_api/queue/data", True),
        ("/studio/gradio_api/heartbeat/abc", True),
        ("/v1/videos/abc", False),
        ("/healthz", False),
        ("/studio/", False),
    ],
)
def test_what_goes_on_is_a_stream(path: str, yes: bool) -> None:
    assert is_stream({"type": "http", "method": "GET", "path": path}) is yes
    assert not is_stream({"type": "http", "method": "POST", "path": path})
