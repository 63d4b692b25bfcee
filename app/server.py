"""The server's settings, and running it: `visavis app`. FastAPI itself is known to app/api*.py."""

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from app.memory import Trimmer, limit_heaps
from audio2motion.endpoint import Endpoint
from weights.errors import DependencyError, InputError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from app.pipeline import Avatar

AvatarFactory = Callable[[], "Avatar"]
"""Loads the one Avatar that serves everybody; called once, in a thread."""

KEYS_VARIABLE = "VISAVIS_API_KEYS"
_KEY = re.compile(r"[!-~]{16,256}")  # printable ASCII without spaces: what a header can carry


@dataclass(frozen=True)
class Limits:
    """What one server takes. Bytes, pixels and seconds are of one upload; `max_request_bytes` of a
    whole request body; `quota_bytes` of all files of one owner; `expiry_s` is how long a result
    is kept after its job ended. `max_jobs`, `max_files` and `total_bytes` are of everybody
    together; nothing is taken while the disk has less than `min_free_bytes`; a job without
    progress for `max_stall_seconds` is given up (a language model may be silent for three minutes).

    `max_connections_each` and `max_streams_each` are of one address, streams (WebSockets too) being
    connections; `max_live_each` of one owner. A request's head must be here after `header_s`;
    bodies and answers must move by `min_rate` bytes a second, looked at every `stall_s`.
    Raises InputError for values below 1.
    """

    max_upload_bytes: int = 64 * 10**6
    max_request_bytes: int = 128 * 10**6
    quota_bytes: int = 512 * 10**6
    max_pixels: int = 50 * 10**6
    max_seconds: float = 300.0
    max_size: int = 1024
    max_text: int = 4000
    max_waiting: int = 64
    max_waiting_each: int = 16
    workers: int = 1
    max_live: int = 2
    max_live_seconds: float = 1800.0
    max_connections: int = 512
    expiry_s: float = 3600.0
    max_jobs: int = 10_000
    max_files: int = 20_000
    total_bytes: int = 10 * 10**9
    min_free_bytes: int = 100 * 10**6
    max_stall_seconds: float = 300.0
    max_connections_each: int = 320
    max_streams: int = 256
    max_streams_each: int = 208
    max_live_each: int = 2
    header_s: float = 10.0
    stall_s: float = 20.0
    min_rate: int = 1000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 1:
                raise InputError(f"got the limit {name}={value}; wanted at least 1")


@dataclass(frozen=True)
class ServerConfig:
    """`data_dir` holds jobs, uploads and results, for one server at a time. `keys` are the API
    keys, none = no key is asked for. `cors` are the origins (https://host[:port]) whose pages may
    call, `hosts` the names beside `host` under which this server is reached: requests to others
    are refused, so that no page can reach a server on loopback through a name of its own.
    `endpoint` is a language model that visitors may ask; its key shows nowhere. `proxies` are the
    addresses or networks whose X-Forwarded-For is believed: without them, visitors who come
    through a proxy count as one address.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = field(default=(), repr=False)
    cors: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    limits: Limits = Limits()
    proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key in self.keys:
            if not _KEY.fullmatch(key):
                raise InputError(
                    "got an API key that is too short or has other characters; wanted 16 to 256 "
                    "letters, digits and signs without spaces"
                )
        for origin in self.cors:
            if not re.fullmatch(r"https?://[^/\s*]+", origin):
                raise InputError(
                    f"got the origin {origin!r}; wanted one like https://example.org, no wildcard"
                )
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError as error:
                raise InputError(
                    f"got the proxy {proxy!r}; wanted an address or a network like 10.0.0.0/8"
                ) from error
        if not 0 <= self.port < 65536:
            raise InputError(f"got the port {self.port}; wanted 0 to 65535")

    @property
    def known_hosts(self) -> frozenset[str]:
        """Names that a request's Host may have; loopback is always known."""
        return frozenset({"127.0.0.1", "localhost", "::1", self.host.lower(), *self.hosts})


def read_keys(path: Path | None) -> tuple[str, ...]:
    """API keys, one a line (`#` begins a comment), from a file or the variable KEYS_VARIABLE.

    Raises InputError for a file that is not there or holds no key: a server that was told to ask
    for keys must not open without.
    """
    if path is None:
        return tuple(os.environ.get(KEYS_VARIABLE, "").split())
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the keys file {path} cannot be read") from error
    keys = tuple(word for line in lines if (word := line.partition("#")[0].strip()))
    if not keys:
        raise InputError(f"the keys file {path} holds no key; wanted one a line")
    return keys


def default_data_dir() -> Path:
    """Where a server of this user keeps its jobs and files."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "visavis" / "app"


def uvicorn_settings(app: "FastAPI", config: ServerConfig) -> "uvicorn.Config":
    """How uvicorn shall run the app. Raises DependencyError where it is not installed."""
    try:
        import uvicorn
    except ImportError as error:
        raise DependencyError(
            "the server needs the extra `app`: pip install 'visavis[app]'"
        ) from error
    from app.api_connections import protocols

    over_http, over_socket = protocols(config)
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses of visitors and tokens in URLs are nobody's business
        server_header=False,
        http=over_http,
        proxy_headers=bool(config.proxies),
        forwarded_allow_ips=list(config.proxies),
        timeout_keep_alive=15,
        timeout_graceful_shutdown=1,
        ws=over_socket,
        ws_max_size=8 * 2**20,
        ws_ping_interval=20.0,
        ws_per_message_deflate=False,  # pictures are compressed already
    )


def serve(app: "FastAPI", config: ServerConfig, say: Callable[[str], None]) -> None:
    """Answer requests until Ctrl-C or SIGTERM; then running jobs are put back into the queue.

    `say` is told the address. Raises InputError when it is taken.
    """
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.context.closing.set()  # or streams that never end would be waited for
            super().handle_exit(sig, frame)

    limit_heaps()
    settings = uvicorn_settings(app, config)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listener = socket.create_server((config.host, config.port), family=family, backlog=256)
    except OSError as error:
        raise InputError(
            f"cannot listen on {config.host}, port {config.port}: {error.strerror}"
        ) from error
    with listener:
        host = f"[{config.host}]" if family == socket.AF_INET6 else config.host
        say(f"http://{host}:{listener.getsockname()[1]}")
        trimmer = Trimmer()
        try:
            with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once all is down
                Server(settings).run(sockets=[listener])
        finally:
            trimmer.close()
