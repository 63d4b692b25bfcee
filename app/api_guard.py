"""What every request passes first: its id, who may call, from where, and how much may be sent."""

import hashlib
import hmac
import re
import secrets
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api_metrics import Metrics
from app.api_problems import Problem
from app.server import ServerConfig
from weights.errors import LimitError

ANONYMOUS = "anonymous"
SESSION_HEADER = "X-Visavis-Session"
SESSION_COOKIE = "visavis_session"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SESSION = re.compile(r"[!-:<-~]{8,128}")
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
}


class Guard:
    """ASGI middleware. Sets `request_id` and `owner` in the scope's state; `owner` is None where a
    key is needed and none was given, which only addresses with a token of their own let pass.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig, metrics: Metrics) -> None:
        self._app, self._config, self._metrics = app, config, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        owner = owner_of(headers, self._config.keys)
        scope.setdefault("state", {}).update(request_id=request_id, owner=owner)
        problem = self._refusal(scope, headers, owner)
        if scope["type"] == "websocket":
            if problem is not None:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": problem.detail})
                return
            await self._app(scope, receive, send)
            return
        await self._http(scope, receive, send, request_id, problem)

    async def _http(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        request_id: str,
        problem: Problem | None,
    ) -> None:
        started, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            if problem is not None:
                await problem.response(request_id)(scope, receive, answer)
            else:
                await self._app(scope, self._limited(receive), answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _limited(self, receive: Receive) -> Receive:
        """A body that raises LimitError when it grows too long, whatever its header says."""
        most, taken = self._config.limits.max_request_bytes, 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise LimitError(f"the request is larger than {most / 1e6:g} MB")
            return message

        return limited

    def _refusal(self, scope: Scope, headers: Headers, owner: str | None) -> Problem | None:
        path, most = scope["path"], self._config.limits.max_request_bytes
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if host not in self._config.known_hosts:
            return Problem(421, "this server is not known under that name")
        if not self._knows_origin(headers):
            return Problem(403, "pages of that origin may not call this server")
        protected = path.startswith("/v1/") or path == "/metrics"
        if owner is None and protected and not _has_own_token(path):
            return Problem(401, "give an API key: Authorization: Bearer KEY")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > most:
            return Problem(413, f"the request is larger than {most / 1e6:g} MB")
        return None

    def _knows_origin(self, headers: Headers) -> bool:
        """A page in a browser says where it comes from: ours, or one on the list. The same for
        WebSockets, which no CORS protects.
        """
        origin = headers.get("origin")
        if origin is None or origin in self._config.cors:
            return True
        parts = urlsplit(origin)
        return parts.netloc != "" and parts.netloc == headers.get("host")


def owner_of(headers: Headers, keys: tuple[str, ...]) -> str | None:
    """Whom a request comes from: its key, or where none is asked for its session; None when a key
    is needed and the one given is wrong.
    """
    if keys:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return owner_of_key(key, keys)
    session = headers.get(SESSION_HEADER.lower()) or _cookie(headers)
    return _named("session", session) if _SESSION.fullmatch(session) else ANONYMOUS


def owner_of_key(given: str, keys: tuple[str, ...]) -> str | None:
    """The owner behind an API key; compared with every key, in the same time whatever is wrong."""
    data = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    right = [hmac.compare_digest(data, hashlib.sha256(key.encode()).digest()) for key in keys]
    return _named("key", given) if any(right) else None


def _named(kind: str, secret: str) -> str:
    return f"{kind}:{hashlib.sha256(secret.encode()).hexdigest()[:32]}"


def _cookie(headers: Headers) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[SESSION_COOKIE].value if SESSION_COOKIE in cookies else ""


def _has_own_token(path: str) -> bool:
    """Addresses for players, which send no headers; the socket has the key in a message."""
    return path.endswith(("/content", ".mjpeg")) or path == "/v1/live"
