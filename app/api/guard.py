"""What every request passes first: its id, who may call, from where, and how much may be sent."""

import hashlib
import hmac
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.budget import Budget, is_stream
from app.api.connections import place_of
from app.api.json_bodies import JsonBounds, check_json
from app.api.metrics import Metrics
from app.api.problems import Problem
from app.api.settings import ServerConfig
from app.api.shape import cookie_of, host_of, misshapen, place_in
from weights.errors import LimitError

ANONYMOUS = "anonymous"
SESSION_HEADER = "X-Visavis-Session"
SESSION_COOKIE = "visavis_session"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SESSION = re.compile(r"[!-:<-~]{8,128}")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
}


class Guard:
    """ASGI middleware. Sets `request_id` and `owner` in the scope's state; `owner` is None where a
    key is needed and none was given, which only addresses with a token of their own let pass.

    Streams and WebSockets have a budget of their own, so that followers leave room for requests.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig, metrics: Metrics) -> None:
        self._app, self._config, self._metrics = app, config, metrics
        limits = config.limits
        self._streams = Budget(limits.max_streams, limits.max_streams_each)
        self._requests = Budget(limits.max_connections, limits.max_connections_each)

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
        problem = misshapen(scope, headers) or self._refusal(scope, headers, owner)
        budget = self._streams if is_stream(scope) else self._requests
        place = place_of((scope.get("client") or ("",))[0])
        taken = problem is None and budget.take(place)
        if problem is None and not taken:
            problem = Problem(429, "too many requests of this address are open", retry_after=5)
        try:
            if scope["type"] == "websocket":
                await self._socket(scope, receive, send, problem)
            else:
                await self._http(scope, receive, send, problem)
        finally:
            if taken:
                budget.give_back(place)

    async def _socket(
        self, scope: Scope, receive: Receive, send: Send, problem: Problem | None
    ) -> None:
        if problem is None:
            await self._app(scope, receive, send)
            return
        await receive()
        await problem.response(scope["state"]["request_id"])(scope, receive, send)

    async def _http(
        self, scope: Scope, receive: Receive, send: Send, problem: Problem | None
    ) -> None:
        started, answer = time.perf_counter(), _Answer(scope, send)
        try:
            if problem is None:
                body = _Body(receive, self._config.limits.max_request_bytes, answer)
                taken = body.receive
                if _has_foreign_json(scope):
                    taken = await body.checked()
                await self._app(scope, taken, answer)
            else:
                await problem.response(answer.request_id)(scope, receive, answer)
        except Problem as found:
            await found.response(answer.request_id)(scope, receive, answer)
        except ClientDisconnect:
            pass  # nobody is there to be told
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(scope["method"], route, str(answer.status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _refusal(self, scope: Scope, headers: Headers, owner: str | None) -> Problem | None:
        path, most = scope["path"], self._config.limits.max_request_bytes
        host = host_of(headers)
        if host not in self._config.known_hosts:
            return Problem(421, "this server is not known under that name")
        if not self._knows_origin(headers):
            return Problem(403, "pages of that origin may not call this server")
        protected = path.startswith("/v1/") or path == "/metrics"
        if owner is None and protected and not _has_own_token(path):
            return Problem(401, "give an API key: Authorization: Bearer KEY")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > most:
            return _too_large(most)
        return None

    def _knows_origin(self, headers: Headers) -> bool:
        """A page in a browser says where it comes from: ours, or one on the list. The same for
        WebSockets, which no CORS protects.
        """
        origin = headers.get("origin")
        if origin is None or origin in self._config.cors:
            return True
        place = place_in(origin)
        return place != "" and place == headers.get("host")


class _Answer:
    """`send` for the app: with our headers, and with another answer where one is known better."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self.request_id: str = scope["state"]["request_id"]
        self.status = 500
        self.instead: Problem | None = None
        """What the request is refused with, whatever else the app makes of it."""
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        """As Send."""
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            if self.instead is not None and message["status"] >= 500:
                problem, self.instead, self._replaced = self.instead, None, True
                await problem.response(self.request_id)(self._scope, _nothing, self._pass)
                return
            self._complete(message)
        await self._send(message)

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._complete(message)
        await self._send(message)

    def _complete(self, message: Message) -> None:
        self.status = message["status"]
        headers = MutableHeaders(scope=message)
        headers["X-Request-ID"] = self.request_id
        for name, value in _SECURITY.items():
            headers.setdefault(name, value)


class _Body:
    """A body that raises LimitError when it grows too long, whatever its header says."""

    def __init__(self, receive: Receive, most: int, answer: _Answer) -> None:
        self._receive, self._most, self._answer, self._taken = receive, most, answer, 0

    async def receive(self) -> Message:
        """As Receive."""
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if self._taken > self._most:
            self._answer.instead = _too_large(self._most)
            raise LimitError(self._answer.instead.detail)
        return message

    async def checked(self) -> Receive:
        """The whole body, which must be small and simple, to be received once more. Raises Problem
        for one that is not, and ClientDisconnect.
        """
        self._most, body, more = min(self._most, JsonBounds().bytes), bytearray(), True
        while more:
            try:
                message = await self.receive()
            except LimitError as error:
                raise _too_large(self._most) from error
            if message["type"] != "http.request":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
        check_json(bytes(body))
        again: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return again.pop() if again else await self._receive()

        return replay


def owner_of(headers: Headers, keys: tuple[str, ...]) -> str | None:
    """Whom a request comes from: its key, or where none is asked for its session; None when a key
    is needed and the one given is wrong.
    """
    if keys:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return owner_of_key(key, keys)
    session = headers.get(SESSION_HEADER.lower()) or cookie_of(headers, SESSION_COOKIE)
    return _named("session", session) if _SESSION.fullmatch(session) else ANONYMOUS


def owner_of_key(given: str, keys: tuple[str, ...]) -> str | None:
    """The owner behind an API key; compared with every key, in the same time whatever is wrong."""
    data = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    right = [hmac.compare_digest(data, hashlib.sha256(key.encode()).digest()) for key in keys]
    return _named("key", given) if any(right) else None


def _named(kind: str, secret: str) -> str:
    return f"{kind}:{hashlib.sha256(secret.encode()).hexdigest()[:32]}"


def _too_large(most: int) -> Problem:
    return Problem(413, f"the request is larger than {most / 1e6:g} MB")


def _has_foreign_json(scope: Scope) -> bool:
    """Whether a body goes to a parser that is not ours: we look at it first."""
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    ours = scope["path"].startswith("/v1/")
    return scope["method"] in _WITH_BODY and not ours and kind != "multipart/form-data"


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _has_own_token(path: str) -> bool:
    """Addresses for players, which send no headers; the socket has the key in a message."""
    return path.endswith(("/content", ".mjpeg")) or path == "/v1/live"
