"""STUN and TURN servers, and the places that an offer may make the server send packets to."""

import base64
import hmac
import time
from pathlib import Path

import pytest

from app.api.ice import check_servers, servers_for, without_strange_candidates
from app.api.settings import ServerConfig
from weights.errors import InputError

TURN = "turn:turn.example.org:3478?transport=udp"


def offer(*addresses: str, protocol: str = "udp") -> str:
    lines = ["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 96"]
    lines += [f"a=candidate:1 1 {protocol} 2122 {a} 5000 typ host" for a in addresses]
    return "\r\n".join([*lines, "a=ice-ufrag:abcd", ""])


def places(sdp: str) -> list[str]:
    return [line.split()[4] for line in sdp.splitlines() if line.startswith("a=candidate")]


@pytest.mark.parametrize(
    ("caller", "kept"),
    [
        ("93.184.216.34", ["8.8.8.8", "2001:4860:4860::8888"]),
        ("192.168.1.5", ["8.8.8.8", "192.168.1.7", "127.0.0.1", "2001:4860:4860::8888"]),
        ("", ["8.8.8.8", "192.168.1.7", "127.0.0.1", "2001:4860:4860::8888"]),
    ],
)
def test_who_calls_from_afar_names_no_place_in_a_network_of_the_server(
    caller: str, kept: list[str]
) -> None:
    given = offer(
        "8.8.8.8", "192.168.1.7", "127.0.0.1", "abc.local", "224.0.0.1", "2001:4860:4860::8888"
    )
    left = without_strange_candidates(given, caller)
    assert places(left) == kept
    assert left.startswith("v=0\r\n") and left.endswith("a=ice-ufrag:abcd\r\n")


def test_places_are_few_and_broken_ones_none() -> None:
    many = offer(*(f"8.8.8.{n}" for n in range(100)))
    assert len(places(without_strange_candidates(many, "1.1.1.1"))) == 16
    assert places(without_strange_candidates(offer("8.8.8.8", protocol="tcp"), "1.1.1.1")) == []
    assert places(without_strange_candidates("a=candidate:\r\na=candidate:1 1", "1.1.1.1")) == []


def test_a_password_for_turn_holds_for_hours_and_shows_no_secret() -> None:
    stun, turn = servers_for(("stun:stun.example.org", TURN), "s3cret")
    assert stun == {"urls": "stun:stun.example.org"}
    until, _, who = turn["username"].partition(":")
    assert who and 3600 < int(until) - time.time() < 24 * 3600
    made = hmac.digest(b"s3cret", turn["username"].encode(), "sha1")
    assert turn["credential"] == base64.b64encode(made).decode()
    assert "s3cret" not in repr(ServerConfig(Path(), turn_secret="s3cret"))


@pytest.mark.parametrize(
    "url", ["", "http://x", "turn:", "stun:a b", "stun:a?transport=udp", "turn:a?transport=sctp"]
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="wanted one like stun:"):
        check_servers((url,), "s3cret")


def test_a_turn_server_needs_its_secret() -> None:
    check_servers((TURN,), "s3cret")
    with pytest.raises(InputError, match="VISAVIS_TURN_SECRET"):
        check_servers((TURN,), None)
