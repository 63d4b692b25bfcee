"""The ways that WebRTC may take: STUN and TURN servers, and candidates."""

import base64
import hmac
import ipaddress
import re
import time
from importlib.util import find_spec
from typing import Any

from weights.errors import InputError

TURN_SECRET_VARIABLE = "VISAVIS_TURN_SECRET"
_LASTS_S = 6 * 3600
_SERVER = re.compile(
    r"(?:stun:|turns?:)(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?"
    r"(?:\?transport=(?:udp|tcp))?"
)
_MOST_CANDIDATES = 16


def available() -> bool:
    """Whether the extra `webrtc` is installed."""
    return find_spec("aiortc") is not None


def check_servers(urls: tuple[str, ...], secret: str | None) -> None:
    """Raises InputError for what is no address of a STUN or TURN server, or a TURN server without
    a secret.
    """
    for url in urls:
        if not _SERVER.fullmatch(url) or (url.startswith("stun:") and "?" in url):
            raise InputError(
                f"got the server {url!r}; wanted one like stun:stun.example.org:3478 or "
                "turn:turn.example.org:3478?transport=udp"
            )
        if url.startswith("turn") and secret is None:
            raise InputError(
                f"{url} needs the secret that its server shares: set {TURN_SECRET_VARIABLE}"
            )


def servers_for(urls: tuple[str, ...], secret: str | None) -> list[dict[str, Any]]:
    """The servers as browsers take them, with a name and a password that hold for six hours
    ("A REST API for access to TURN services", coturn's use-auth-secret).
    """
    name = f"{int(time.time()) + _LASTS_S}:visavis"
    listed: list[dict[str, Any]] = []
    for url in urls:
        server: dict[str, Any] = {"urls": url}
        if url.startswith("turn") and secret is not None:
            digest = hmac.digest(secret.encode(), name.encode(), "sha1")
            server |= {"username": name, "credential": base64.b64encode(digest).decode()}
        listed.append(server)
    return listed


def without_strange_candidates(sdp: str, caller: str) -> str:
    """An offer whose candidates are places that its sender could reach from where they call: this
    server sends packets to each. Names are left out, and addresses of private networks unless the
    caller is in one.
    """
    near = not _is_global(caller)
    kept, count = [], 0
    for line in sdp.splitlines():
        if line.startswith("a=candidate:"):
            words = line.split()
            address = words[4] if len(words) > 7 else ""
            known = _address(address)
            fits = known is not None and not known.is_multicast and (near or known.is_global)
            count += fits
            if not fits or count > _MOST_CANDIDATES or words[2].lower() != "udp":
                continue
        kept.append(line)
    return "\r\n".join(kept) + "\r\n"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_global(text: str) -> bool:
    known = _address(text)
    return known is not None and known.is_global
