"""The server's settings: where it listens, who may call, what it takes."""

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs.unix import Unix

import app.api.ice as ice
from app.intake.limits import Limits
from app.provenance.origin import Provenance
from audio2motion.voice.endpoint import Endpoint
from motion2video.reference.settings import ReferenceConfig
from weights.errors import DependencyError, InputError, OutputError
from weights.installation import how_to_add

KEYS_VARIABLE = "VISAVIS_API_KEYS"

AI_NOTICE = "You are talking to an AI: the person in the picture is not real."
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_KEY = re.compile(r"[!-~]{16,256}")  # printable ASCII without spaces: what a header can carry


@dataclass(frozen=True)
class ServerConfig:
    """`data_dir` holds jobs, uploads and results, for one server at a time. `keys` are the API
    keys, none = no key is asked for. `cors` are the origins (https://host[:port]) whose pages may
    call, `hosts` the names beside `host` under which this server is reached: requests to others
    are refused, so that no page can reach a server on loopback through a name of its own.
    `endpoint` is a language model that visitors may ask; its key shows nowhere. `proxies` are the
    addresses or networks whose X-Forwarded-For is believed: without them, visitors who come
    through a proxy count as one address. `live_notice` is shown to who talks to a portrait, empty
    for nothing; `provenance` is whose videos `verify` knows. `ice_servers` are STUN and TURN
    servers for WebRTC,
    `turn_secret` what TURN servers share with this one; `webrtc` None offers WebRTC where the extra
    is installed and others can reach this server: it opens UDP ports on every network. `drawing` is
    how public checkpoints draw, which plans are told from.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = field(default=(), repr=False)
    cors: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    limits: Limits = field(default_factory=Limits)
    proxies: tuple[str, ...] = ()
    live_notice: str = AI_NOTICE
    provenance: Provenance = field(default_factory=Provenance)
    ice_servers: tuple[str, ...] = ()
    turn_secret: str | None = field(default=None, repr=False)
    webrtc: bool | None = None
    drawing: ReferenceConfig = field(default_factory=ReferenceConfig)

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
        ice.check_servers(self.ice_servers, self.turn_secret)
        if self.webrtc and not ice.available():
            raise DependencyError(f"WebRTC needs the extra `webrtc`: {how_to_add('webrtc')}")

    @property
    def offers_webrtc(self) -> bool:
        """Whether sound and pictures of a conversation may travel over WebRTC."""
        if self.webrtc is not None:
            return self.webrtc
        open_to_others = self.host not in _LOOPBACK or bool(self.ice_servers)
        return open_to_others and ice.available()

    @property
    def known_hosts(self) -> frozenset[str]:
        """Names that a request's Host may have; loopback is always known."""
        return frozenset({*_LOOPBACK, self.host.lower(), *self.hosts})


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
    """Where a server of this user keeps its jobs and files. Raises OutputError without a home."""
    try:
        return Unix("visavis").user_data_path / "app"
    except RuntimeError as error:
        raise OutputError("there is no home folder to keep videos in: give --data-dir") from error
