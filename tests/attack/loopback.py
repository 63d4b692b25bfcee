"""A server on loopback whose networks never load, to attack its edge, and raw sockets at it."""

import contextlib
import logging
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from app.api.app import create_app
from app.api.run import uvicorn_settings
from app.api.settings import ServerConfig
from app.intake.limits import Limits
from app.render.pipeline import Avatar
from weights.errors import StateError

HOST = "127.0.0.1"
HEAD = b"HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Log(logging.Handler):
    """What the server has logged with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.tracebacks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.tracebacks.append(f"{record.name}: {record.getMessage()} {record.exc_info[1]!r}")


@dataclass(frozen=True)
class Loopback:
    """A server that answers at `port`."""

    port: int
    app: FastAPI
    log: Log

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def connect(self, source: str = HOST, seconds: float = 10.0) -> socket.socket:
        """A connection from an address of the loopback."""
        return socket.create_connection((HOST, self.port), seconds, (source, 0))

    def send(self, data: bytes, source: str = HOST, seconds: float = 10.0) -> bytes:
        """What comes back until the server closes, or for so many seconds at a time."""
        with self.connect(source, seconds) as connection:
            connection.sendall(data)
            return read_all(connection)

    def status(self, data: bytes, source: str = HOST) -> int:
        """The status of the first answer."""
        with self.connect(source) as connection:
            connection.sendall(data)
            return status_of(connection.recv(65536))

    def healthz_ms(self, source: str = HOST) -> float:
        """Median of eleven new connections; milliseconds."""
        times = []
        for _ in range(11):
            began = time.perf_counter()
            assert self.status(b"GET /healthz " + HEAD + b"\r\n", source) == 200
            times.append(1000 * (time.perf_counter() - began))
        return statistics.median(times)


def status_of(answer: bytes) -> int:
    """The number in `HTTP/1.1 200 OK`; 0 where there is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def read_all(connection: socket.socket) -> bytes:
    """Until the other end closes, or is silent for the connection's time limit."""
    data = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while piece := connection.recv(1 << 16):
            data += piece
    return data


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end has closed."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def wait_closed(connections: list[socket.socket], seconds: float) -> int:
    """How many are closed, as soon as all are or so many seconds have passed."""
    end = time.monotonic() + seconds
    while (closed := sum(map(is_closed, connections))) < len(connections):
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return closed


@contextlib.contextmanager
def listening(
    folder: Path, limits: Limits | None = None, proxies: tuple[str, ...] = ()
) -> Iterator[Loopback]:
    """A server in a thread, gone at the end of the block. Its jobs wait for the networks."""
    end = threading.Event()

    def load() -> Avatar:
        end.wait()
        raise StateError("the test is over")

    config = ServerConfig(folder, port=0, limits=limits or Limits(), proxies=proxies)
    app, log = create_app(load, config), Log()
    server = uvicorn.Server(uvicorn_settings(app, config))
    names = ("uvicorn.error", "asyncio", "visavis")
    for name in names:
        logging.getLogger(name).addHandler(log)
    with socket.create_server((HOST, 0), backlog=256) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.02)
            yield Loopback(listener.getsockname()[1], app, log)
        finally:
            end.set()
            app.state.context.closing.set()
            server.should_exit = True
            thread.join(30)
            for name in names:
                logging.getLogger(name).removeHandler(log)
    assert not thread.is_alive()
