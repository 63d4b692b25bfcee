"""Requests made to hold the event loop, to break a parser or to fill the log: 4xx, at once."""

import base64
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from PIL import Image

from app.api.json_bodies import JsonBody, JsonBounds, LongText, check_json
from app.api.problems import Problem
from tests.attack.loopback import HEAD, Loopback, listening

pytestmark = pytest.mark.network

HELD_S = 1.0
"""Longest that another request may wait; the machine may be busy with much else."""
JSON = {"Content-Type": "application/json"}
UPGRADE = (
    HEAD
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """With a foreign app at /studio, which parses whatever reaches it, as gradio's does."""
    with listening(tmp_path_factory.mktemp("data")) as it:
        foreign = FastAPI()

        @foreign.post("/gradio_api/queue/join")
        async def join(request: Request) -> int:
            return len(await request.json())

        @foreign.post("/gradio_api/upload")
        async def upload(request: Request) -> int:
            async with request.form() as form:
                return len(form)

        it.app.mount("/studio", foreign)
        yield it


class Watch:
    """Asks /healthz again and again; `longest` is how long it waited, in seconds."""

    def __init__(self, served: Loopback) -> None:
        self._served, self._stop, self.longest = served, threading.Event(), 0.0
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            began = time.perf_counter()
            assert self._served.status(b"GET /healthz " + HEAD + b"\r\n", "127.0.0.2") == 200
            self.longest = max(self.longest, time.perf_counter() - began)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def keys(count: int) -> bytes:
    return b"{" + b",".join(b'"k%d":1' % n for n in range(count)) + b"}"


BODIES: dict[str, Callable[[], bytes]] = {
    "unknown keys": lambda: keys(500_000),
    "regions": lambda: b'{"portrait": "aGk=", "regions": ' + keys(1_000_000) + b"}",
    "list": lambda: b'{"gestures": [' + b",".join([b'""'] * 1_000_000) + b"]}",
    "depth": lambda: b'{"regions": ' + b"[" * 2_000_000,
    "long text": lambda: b'{"text": "' + b"a" * 20_000_000 + b'"}',
    "escapes": lambda: b'{"text": "' + b'\\"' * 5_000_000 + b'"}',
    "backslashes": lambda: b'{"text": "' + b"\\\\" * 5_000_000,
    "blanks": lambda: b" " * 5_000_000 + b"{}",
    "digits": lambda: b'{"seed": ' + b"1" * 200_000 + b"}",
    "many files": lambda: b"[" + b",".join([b'"' + b"A" * 70_000 + b'"'] * 100) + b"]",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/v1/videos", "/v1/motion", "/studio/gradio_api/queue/join"])
def test_json_that_is_costly_to_parse_holds_nobody(served: Loopback, path: str, name: str) -> None:
    body = BODIES[name]()
    with Watch(served) as watch, httpx.Client(timeout=60) as http:
        began = time.perf_counter()
        status = http.post(served.url + path, content=body, headers=JSON).status_code
        spent = time.perf_counter() - began
    print(f"{path}: {len(body) / 1e6:.1f} MB in {spent:.2f} s, others {watch.longest:.3f} s")
    assert 400 <= status < 500 or (b"1" * 999 in body and "studio" in path)
    assert watch.longest < HELD_S and spent < 5


@pytest.mark.parametrize(
    "data",
    [
        {"regions": keys(100_000).decode()},
        {"regions": "[" * 900_000},
        {"text": "a" * 900_000},
        {f"f{n}": "1" for n in range(5000)},
    ],
    ids=["keys", "depth", "long", "fields"],
)
def test_forms_that_are_costly_to_parse_hold_nobody(served: Loopback, data: dict[str, str]) -> None:
    with Watch(served) as watch, httpx.Client(timeout=60) as http:
        files = {"portrait": b"x"}
        answer = http.post(f"{served.url}/v1/videos", data=data, files=files)
    assert answer.status_code in (400, 413, 422)
    assert watch.longest < HELD_S


def test_a_large_photo_in_base64_is_still_taken_and_holds_nobody(served: Loopback) -> None:
    noise = Image.effect_noise((3000, 2500), 90)
    file = io.BytesIO()
    noise.save(file, "PNG")
    photo = file.getvalue()
    text = json.dumps({"portrait": base64.b64encode(photo).decode(), "text": "Hi"})
    assert len(text) > 5_000_000
    with Watch(served) as watch, httpx.Client(timeout=60) as http:
        for body in (text, text.replace("/", "\\/")):  # some writers escape every slash
            answer = http.post(f"{served.url}/v1/videos", content=body, headers=JSON)
            assert answer.status_code == 202, answer.text
    print(f"{len(text) / 1e6:.1f} MB of base64: others waited {watch.longest:.3f} s")
    assert watch.longest < HELD_S
    kept = [path.read_bytes() for path in served.app.state.context.store.folder.iterdir()]
    assert kept.count(photo) == 2


@pytest.mark.slow
def test_json_is_the_same_however_it_is_cut() -> None:
    long = base64.b64encode(bytes(range(256)) * 200).decode()
    whole = json.dumps({"a": 'x"\\', "file": long, "b": [1, {"c": "\n"}]}).replace("/", "\\/")
    for size in (1, 2, 3, 7, 1000, 65536, len(whole)):
        with closing(JsonBody(JsonBounds(texts=1))) as body:
            for at in range(0, len(whole), size):
                body.feed(whole[at : at + size].encode())
            values = body.values()
            assert isinstance(values["file"], LongText)
            assert values["file"].file.read() == base64.b64decode(long)
            assert (values["a"], values["b"]) == ('x"\\', [1, {"c": "\n"}])


@pytest.mark.parametrize("cut", ["AAA=" + "A" * 70_000, "A" * 70_001, "é" * 70_000, "A b" * 30_000])
def test_a_long_text_that_is_no_base64_is_refused(cut: str) -> None:
    with closing(JsonBody(JsonBounds(texts=1))) as body, pytest.raises(Problem, match="base64"):
        body.feed(json.dumps({"file": cut}, ensure_ascii=False).encode())
        body.values()


def test_a_long_text_where_none_belongs_is_refused() -> None:
    long = "A" * 70_000
    for given in ([[long]], {"a": {"b": long}}, {"of": [long]}, {"of": {"c": {"d": long}}}):
        bounds = JsonBounds(texts=1, within="of")
        with closing(JsonBody(bounds)) as body, pytest.raises(Problem, match="longer"):
            body.feed(json.dumps(given).encode())
            body.values()
    with closing(JsonBody(bounds)) as body:
        body.feed(json.dumps({"of": {"c": long}}).encode())
        assert isinstance(body.values()["of"]["c"], LongText)
    with pytest.raises(Problem, match="longer"):
        check_json(json.dumps({"a": "A" * 70_000}).encode())


REFUSED = {
    "host bracket": b"GET /healthz HTTP/1.1\r\nHost: [\r\n\r\n",
    "host port": b"GET /healthz HTTP/1.1\r\nHost: [::1]:99999999A\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "origin": b"GET /healthz " + HEAD + b"Origin: http://[::1\r\n\r\n",
    "origin null": b"GET /healthz " + HEAD + b"Origin: null\r\n\r\n",
    "two hosts": b"GET /healthz " + HEAD + b"Host: 127.0.0.1\r\n\r\n",
    "two keys": b"GET /healthz " + HEAD + b"X-API-Key: a\r\nX-API-Key: b\r\n\r\n",
    "two origins": b"GET /healthz " + HEAD + b"Origin: http://127.0.0.1\r\n" * 2 + b"\r\n",
    "nul": b"GET /studio/gradio_api/file=%00 " + HEAD + b"\r\n",
    "nul in query": b"GET /studio/gradio_api/queue/data?session_hash=%00 " + HEAD + b"\r\n",
    "newline": b"GET /studio/gradio_api/file=a%0d%0aX:1 " + HEAD + b"\r\n",
    "half escape": b"GET /studio/%4 " + HEAD + b"\r\n",
    "no escape": b"GET /studio/%zz " + HEAD + b"\r\n",
    "no utf-8": b"GET /studio/%ff%fe " + HEAD + b"\r\n",
    "raw utf-8": "GET /é ".encode() + HEAD + b"\r\n",
    "path": b"GET /studio/" + b"a" * 3000 + b" " + HEAD + b"\r\n",
    "target": b"GET /" + b"a" * 60_000 + b" " + HEAD + b"\r\n",
    "query": b"GET /healthz?" + b"a" * 6000 + b" " + HEAD + b"\r\n",
    "header": b"GET /healthz " + HEAD + b"X: " + b"a" * 60_000 + b"\r\n\r\n",
    "endless header": b"GET /healthz " + HEAD + b"X: " + b"a" * 60_000,
    "headers": b"GET /healthz " + HEAD + b"X: a\r\n" * 300 + b"\r\n",
    "cookie": b"GET /healthz " + HEAD + b"Cookie: " + b'a="\\' * 4000 + b"\r\n\r\n",
    "connect": b"CONNECT a:80 " + HEAD + b"\r\n",
    "address": b"GET http://[ " + HEAD + b"\r\n",
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "two lengths": b"POST /v1/videos "
    + HEAD
    + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "length": b"POST /v1/videos " + HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "chunk": b"POST /v1/videos " + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    "trailers": b"POST /v1/videos "
    + HEAD
    + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    + b"X: a\r\n" * 300
    + b"\r\n",
    "no boundary": b"POST /v1/videos "
    + HEAD
    + b"Content-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\nabc",
    "socket origin": b"GET /v1/live " + UPGRADE + b"Origin: http://[\r\n\r\n",
    "socket cookie": b"GET /v1/live " + UPGRADE + b"Cookie: " + b"a" * 10_000 + b"\r\n\r\n",
    "socket nul": b"GET /v1/live%00 " + UPGRADE + b"\r\n",
    "socket elsewhere": b"GET /v1/nothing " + UPGRADE + b"\r\n",
    "socket without key": b"GET /v1/live "
    + HEAD
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "socket by post": b"POST /v1/live " + UPGRADE + b"\r\n",
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_malformed_is_refused_and_leaves_no_traceback(
    served: Loopback, request_: bytes
) -> None:
    served.log.tracebacks.clear()
    assert 400 <= served.status(request_) < 500
    assert served.log.tracebacks == []


def test_clients_that_leave_at_any_moment_leave_no_traceback(
    served: Loopback, tmp_path: Path
) -> None:
    photo = io.BytesIO()
    Image.new("RGB", (64, 64)).save(photo, "JPEG")
    text = {"portrait": base64.b64encode(photo.getvalue()).decode(), "text": "Hi"}
    job = httpx.post(f"{served.url}/v1/videos", json=text, timeout=60).json()["id"].encode()
    served.log.tracebacks.clear()
    length = b"Content-Length: 900000\r\n\r\n"
    cut = [
        b"GET /heal",
        b"POST /v1/videos " + HEAD + b"Content-Type: application/json\r\n" + length + b'{"',
        b"POST /v1/videos "
        + HEAD
        + b"Content-Type: multipart/form-data; boundary=x\r\n"
        + length
        + b'--x\r\nContent-Disposition: form-data; name="portrait"; filename="a"\r\n\r\nabc',
        b"POST /studio/gradio_api/queue/join "
        + HEAD
        + b"Content-Type: application/json\r\n"
        + length
        + b"[",
        b"POST /studio/gradio_api/upload "
        + HEAD
        + b"Content-Type: multipart/form-data; boundary=x\r\n"
        + length
        + b"--x",
        b"GET /v1/videos/" + job + b"/events " + HEAD + b"\r\n",
        b"GET /openapi.json " + HEAD + b"\r\n",
        b"GET /v1/live " + UPGRADE + b"\r\n",
        b"GET /v1/live " + UPGRADE + b"\r\n" + b"\x81\xfe",
    ]
    with ExitStack() as stack:
        for data in cut:
            for abrupt in (False, True):
                connection = stack.enter_context(served.connect())
                if abrupt:  # a reset instead of a goodbye
                    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.sendall(data)
                time.sleep(0.1)
                connection.close()
    time.sleep(1)
    assert served.status(b"GET /healthz " + HEAD + b"\r\n") == 200
    assert served.log.tracebacks == []


def test_a_foreign_route_gets_its_small_json_and_its_large_files(served: Loopback) -> None:
    join = f"{served.url}/studio/gradio_api/queue/join"
    assert httpx.post(join, json=list(range(1000)), timeout=20).json() == 1000
    files = {"files": b"x" * 3_000_000}
    upload = f"{served.url}/studio/gradio_api/upload"
    assert httpx.post(upload, files=files, timeout=20).json() == 1
    assert httpx.post(join, content=b"x" * 300_000, timeout=20).status_code == 413


def test_a_body_beyond_the_limit_is_413_also_where_a_foreign_route_would_say_500(
    served: Loopback,
) -> None:
    most = served.app.state.context.config.limits.max_request_bytes
    piece = b"x" * (1 << 20)

    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
        for _ in range(most // len(piece) + 2):
            yield piece

    head = {"Content-Type": "multipart/form-data; boundary=x"}
    upload = f"{served.url}/studio/gradio_api/upload"
    answer = httpx.post(upload, content=endless(), headers=head, timeout=60)
    assert answer.status_code == 413 and re.search("larger than", answer.text)
