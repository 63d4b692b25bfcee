"""A small OpenAI-compatible endpoint on 127.0.0.1 for tests: streams, and fails in every way."""

import io
import json
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from audio2motion.voice.endpoint import Endpoint

RATE = 24_000
CANARY = "sk-canary-0123456789abcdef"


def wav(seconds: float, rate: int = RATE, unknown_length: bool = True) -> bytes:
    """A tone in 16 bits; with the header of a file that is still being made, if wanted."""
    t = np.arange(round(seconds * rate)) / rate
    samples = (12_000 * np.sin(2 * np.pi * 220 * t)).astype("<i2")
    with io.BytesIO() as file:
        with wave.open(file, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(rate)
            writer.writeframes(samples.tobytes())
        data = file.getvalue()
    return data[:40] + b"\xff\xff\xff\xff" + data[44:] if unknown_length else data


def event(text: str | None, finish: str | None = None) -> str:
    """A server-sent event of a chat completion."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n"


@dataclass
class Server:
    """What it shall do, and what it was asked. `chat` and `speech` modes: see Handler."""

    pieces: list[str] = field(default_factory=lambda: ["Hello there."])
    chat: str = "ok"
    speech: str = "ok"
    voice: Callable[[str], bytes] = lambda text: wav(len(text) / 15)
    asked: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list, repr=False)
    go_on: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def endpoint(self, **changes: Any) -> Endpoint:
        """This server, with short patience."""
        fields: dict[str, Any] = {"speech_model": "tts", "backoff": 0.01, "silence_timeout": 5.0}
        return Endpoint(self.url, "chat", **(fields | changes))

    def count(self, path: str) -> int:
        return sum(p.endswith(path) for p, _, _ in self.asked)


class Handler(BaseHTTPRequestHandler):
    """Modes: ok, a status ("401"), "503 then ok", hang, cut, garbage, json, error, silent, wait."""

    protocol_version = "HTTP/1.1"
    plan: Server

    def log_message(self, format: str, *args: object) -> None:
        """The base class prints every request."""

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        body = json.loads(self.rfile.read(length))
        key = self.headers.get("authorization")
        self.plan.asked.append((self.path, body, key))
        chat = self.path == "/v1/chat/completions"
        mode = self.plan.chat if chat else self.plan.speech
        if mode == "hang":
            self.plan.go_on.wait(30)
            return
        tried = self.plan.count(self.path)
        if mode[:3].isdecimal() and (not mode.endswith("then ok") or tried < 3):
            # As careless as a server can be: it repeats the key.
            said = json.dumps({"error": {"message": f"no, not with {key}"}}).encode()
            self.send_response(int(mode[:3]))
            self.send_header("Location", "http://127.0.0.1:9/")
            self._whole("application/json", said)
        elif chat:
            self._chat(mode)
        else:
            self._speech(mode, body["input"])

    def _whole(self, kind: str, data: bytes) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _send(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _chat(self, mode: str) -> None:
        key = self.headers.get("authorization")
        if mode in ("json", "html"):
            self.send_response(200)
            message = {"content": "".join(self.plan.pieces)}
            data = {"choices": [{"message": message, "finish_reason": "stop"}]}
            if mode == "json":
                self._whole("application/json", json.dumps(data).encode())
            else:
                self._whole("text/html", f"<p>Welcome to the proxy, {key}".encode())
            return
        self._begin("text/event-stream")
        self._send(b": keep-alive\n\n" + event(None).encode())
        for i, piece in enumerate(self.plan.pieces):
            if mode == "wait" and i == len(self.plan.pieces) - 1:
                self._watch()
            self._send(event(piece).encode())
        if mode == "cut":
            self.close_connection = True
            return
        if mode == "drip":
            self._send(b"data: {")
            self._watch()
        last = {"garbage": f"data: {{{key}\n\n", "error": f'data: {{"error": "lost {key}"}}\n\n'}
        self._send(last.get(mode, event("", "length" if mode == "length" else "stop")).encode())
        if mode != "silent":
            self._send(b"data: [DONE]\n\n")
        self._send(b"")

    def _watch(self) -> None:
        """Wait until the test says so; notice when the client has gone."""
        self.connection.settimeout(0.02)
        deadline = time.monotonic() + 30
        while not self.plan.go_on.is_set() and time.monotonic() < deadline:
            try:
                if not self.connection.recv(1):
                    self.plan.gone.set()
                    break
            except TimeoutError:
                continue
            except OSError:
                self.plan.gone.set()
                break
        self.connection.settimeout(None)

    def _speech(self, mode: str, text: str) -> None:
        if mode in ("json", "noise", "empty"):
            self.send_response(200)
            kinds = {"json": "application/json", "noise": "audio/mpeg", "empty": "audio/wav"}
            bodies = {"json": b'{"audio": "no"}', "noise": b"ID3 not a wav" * 9, "empty": b""}
            self._whole(kinds[mode], bodies[mode])
            return
        data = self.plan.voice(text)
        if mode == "pcm":
            self._begin("audio/pcm")
            data = data[44:]
        else:
            self._begin("audio/wav")
        for at in range(0, len(data), 3333):  # an odd number: samples are cut in two
            self._send(data[at : at + 3333])
            if mode == "wait" and at:
                self._watch()
            if mode == "cut":
                self.close_connection = True
                return
        self._send(b"")


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are what some tests are about."""


@contextmanager
def serve() -> Iterator[Server]:
    """The server, while the block runs."""
    plan = Server()
    http = _Quiet(("127.0.0.1", 0), type("Planned", (Handler,), {"plan": plan}))
    plan.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield plan
    finally:
        plan.go_on.set()
        http.shutdown()
        http.server_close()
        thread.join()
