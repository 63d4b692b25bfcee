"""What a request must look like before anybody looks at what it asks for."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from app.api.problems import Problem

_ONCE = (
    *("authorization", "content-length", "content-type", "host", "idempotency-key", "origin"),
    *("x-api-key", "x-visavis-session"),
)
_MOST_QUERY, _MOST_PATH, _MOST_COOKIE = 4096, 2048, 8192
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_ESCAPE = re.compile(rb"%(?:[01][0-9A-Fa-f]|7[Ff])")


def misshapen(scope: Scope, headers: Headers) -> Problem | None:
    """Why a request is refused whatever it asks for; None where nothing is wrong."""
    path, query = scope.get("raw_path") or scope["path"].encode(), scope.get("query_string", b"")
    if len(path) > _MOST_PATH or len(query) > _MOST_QUERY:
        return Problem(414, f"wanted at most {_MOST_PATH} bytes of path and {_MOST_QUERY} of query")
    if len(headers.get("cookie", "")) > _MOST_COOKIE:
        return Problem(431, f"wanted at most {_MOST_COOKIE} bytes of cookies")
    for name in _ONCE:
        if len(headers.getlist(name)) > 1:
            return Problem(400, f"got the header {name} more than once")
    if _ESCAPE.search(path) or _CONTROL.search(scope["path"]) or "\ufffd" in scope["path"]:
        return Problem(404, "there is no such address: it is not escaped as it must be")
    if not scope["path"].startswith("/v1/") and _CONTROL_ESCAPE.search(query):
        return Problem(400, "the query has control characters")
    return None


def host_of(headers: Headers) -> str:
    """The name in Host, in small letters; "" where there is none or it is none."""
    found = _HOST.fullmatch(headers.get("host", ""))
    return (found[1] or found[2]).lower() if found else ""


def place_in(origin: str) -> str:
    """The host and port of an origin; "" where it is no origin."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def cookie_of(headers: Headers, name: str) -> str:
    """A cookie's value; "" where it is not there."""
    for part in headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value.strip('"')
    return ""
