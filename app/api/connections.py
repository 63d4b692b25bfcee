"""Connections as uvicorn serves them, with an end to waiting: nobody can fill the server by being
slow, and who has many makes room for who has none.

A place goes, in this order: to whoever comes while there are free ones; from the connection of the
same address that has been idle for longest; from an idle one of the address that has most; at last
from a busy one of that address, if the newcomer's has fewer. An address of IPv6 is its /64.
"""

import http
import ipaddress
import socket
import time
from asyncio import AbstractEventLoop
from functools import partial
from typing import Any, Protocol, runtime_checkable

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from app.api.settings import ServerConfig
from app.intake.limits import Limits

Transport = Any
"""As asyncio.Transport; those of uvloop are not registered as such."""

_LOOK_S = 0.5
_MOST_HEAD = 48 * 1024
_MOST_TARGET = 8 * 1024
_MOST_HEADERS = 100
_MOST_PIECES = 4096
"""Parts of one WebSocket message: empty ones cost no bytes."""
_MOST_UNSENT = 32 * 2**20


def place_of(address: str) -> str:
    """Whom connections from an address are counted for."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


@runtime_checkable
class Line(Protocol):
    """A connection, as Connections knows it. Times are of time.monotonic()."""

    place: str
    since: float

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        ...

    @property
    def sending(self) -> bool:
        """Whether a request's body is still to come."""
        ...

    def look(self, now: float) -> None:
        """End the connection where its client lets it wait for too long."""
        ...

    def end(self, at_once: bool) -> None:
        """Close it, with or without what is still to be sent."""
        ...


class Connections:
    """All connections of one server. Not safe for threads: it lives in the event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self.limits: Limits = config.limits
        self._proxies = tuple(ipaddress.ip_network(p, strict=False) for p in config.proxies)
        self._lines: set[Line] = set()
        self._looking = False

    def admit(self, line: Line, loop: AbstractEventLoop) -> bool:
        """Give a new connection a place, maybe another's; False when there is none."""
        each = self.limits.max_connections_each
        mine = [other for other in self._lines if other.place == line.place]
        if len(mine) >= each and not self._is_proxy(line.place):
            if not self._end_idle(mine):
                return False
        elif len(self._lines) >= self.limits.max_connections and not self._make_room(len(mine)):
            return False
        self._lines.add(line)
        if not self._looking:
            self._looking = True
            loop.call_later(_LOOK_S, self._look, loop)
        return True

    def drop(self, line: Line) -> None:
        """The connection has ended; harmless when it was dropped before."""
        self._lines.discard(line)

    def _make_room(self, mine: int) -> bool:
        held: dict[str, list[Line]] = {}
        for line in self._lines:
            held.setdefault(line.place, []).append(line)
        holders = sorted(held.items(), key=lambda item: len(item[1]), reverse=True)
        for _, lines in holders:
            if self._end_idle(lines):
                return True
        for place, lines in holders:
            if len(lines) > mine + 1 and not self._is_proxy(place):
                self._end(max(lines, key=lambda line: (line.sending, line.since)), at_once=True)
                return True
        return False

    def _end_idle(self, lines: list[Line]) -> bool:
        idle = [line for line in lines if line.idle]
        if idle:
            self._end(min(idle, key=lambda line: line.since), at_once=False)
        return bool(idle)

    def _end(self, line: Line, at_once: bool) -> None:
        self._lines.discard(line)
        line.end(at_once)

    def _is_proxy(self, place: str) -> bool:
        if not self._proxies:
            return False
        network = ipaddress.ip_network(place)
        return any(
            network.version == proxy.version and network.overlaps(proxy) for proxy in self._proxies
        )

    def _look(self, loop: AbstractEventLoop) -> None:
        now = time.monotonic()
        for line in list(self._lines):
            line.look(now)
        self._looking = bool(self._lines)
        if self._looking:
            loop.call_later(_LOOK_S, self._look, loop)


class _Rate:
    """Whether bytes move as fast as they must: `min_rate` bytes a second, over `stall_s`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began: float | None = None
        self._moved = 0

    def forget(self) -> None:
        """Nobody waits for bytes now."""
        self._began = None

    def too_slow(self, moved: int, now: float) -> bool:
        """Told how many bytes have moved in all."""
        if self._began is None:
            self._began, self._moved = now, moved
        elif now - self._began >= self._limits.stall_s:
            if moved - self._moved < self._limits.min_rate * self._limits.stall_s:
                return True
            self._began, self._moved = now, moved
        return False


class _Out:
    """What waits to be sent: a client that does not read it loses its connection."""

    def __init__(self, limits: Limits) -> None:
        self._rate, self._last, self._sent = _Rate(limits), 0, 0

    def stuck(self, transport: Transport, now: float) -> bool:
        """Whether the client reads too slowly, or much too much waits for it."""
        waiting = transport.get_write_buffer_size()
        self._sent += max(0, self._last - waiting)
        self._last = waiting
        if not waiting:
            self._rate.forget()
            return False
        return self._rate.too_slow(self._sent, now) or waiting > _MOST_UNSENT


class GuardedHttp(HttpToolsProtocol):
    """HTTP/1.1 with time limits for heads, bodies and readers, and bounds for heads."""

    def __init__(
        self,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._places, self._limits = connections, connections.limits
        self.place, self.since = "", time.monotonic()
        self._head_bytes, self._head_began = 0, self.since
        self._reading_head, self._body_bytes = True, 0
        self._in, self._out = _Rate(self._limits), _Out(self._limits)
        self._refusal = 400

    def connection_made(self, transport: Transport) -> None:
        """As uvicorn's, if there is a place."""
        super().connection_made(transport)
        self.place = place_of(self.client[0] if self.client else "")
        _end_when_gone(transport, self._limits.stall_s)
        if not self._places.admit(self, self.loop):
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's; the place is free."""
        self._places.drop(self)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """As uvicorn's; the socket takes the place over."""
        self._places.drop(self)
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, for a head that is not too long."""
        if self.transport.is_closing():
            return
        if self._reading_head:
            if not self._head_bytes:
                self._head_began = time.monotonic()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._reading_head and self._head_bytes > _MOST_HEAD and not self.transport.is_closing():
            self._refuse(431)

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        super().on_url(url)
        if len(self.url) > _MOST_TARGET:
            self._refusal = 414
            raise ValueError("the target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or trailer."""
        super().on_header(name, value)
        size = sum(len(name) + len(value) for name, value in self.headers)
        if len(self.headers) > _MOST_HEADERS or size > _MOST_HEAD:
            self._refusal = 431
            raise ValueError("the headers are too many or too long")

    def on_headers_complete(self) -> None:
        """The request begins."""
        self._reading_head, self._body_bytes = False, 0
        self._in.forget()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the request's body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here as a whole; another one may follow."""
        self._reading_head, self._head_bytes = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer was written."""
        self.since = time.monotonic()
        self._in.forget()
        super().on_response_complete()

    def shutdown(self) -> None:
        """As uvicorn's, which would wait for uploads that nobody will use."""
        if self.sending and not self.idle:
            self._refuse(503)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """The answer to what cannot be parsed."""
        self._refuse(self._refusal)

    @property
    def idle(self) -> bool:
        """As Line."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    @property
    def sending(self) -> bool:
        """As Line."""
        return not self._reading_head

    def look(self, now: float) -> None:
        """As Line."""
        if self._out.stuck(self.transport, now):
            self.end(at_once=True)
        if self.transport.is_closing():
            return
        if self._reading_head:
            waits = self._head_bytes > 0 or self.cycle is None
            if self.idle and waits and now - self._head_began > self._limits.header_s:
                self._refuse(408)
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._in.forget()  # it is us who do not read
        elif self._in.too_slow(self._body_bytes, now):
            self._refuse(408)

    def end(self, at_once: bool) -> None:
        """As Line. The app must not write to what is closed: uvloop would raise."""
        for cycle in (self.cycle, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.flow.resume_writing()
        if at_once:
            self.transport.abort()
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        """Answer, where no answer was begun, and close."""
        if self.idle or not self.cycle.response_started:
            words = http.HTTPStatus(status).phrase.encode()
            again = b"retry-after: 5\r\n" if status == 503 else b""
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: text/plain\r\n%bconnection: close\r\n"
                b"content-length: %d\r\n\r\n%b" % (status, words, again, len(words), words)
            )
        self.end(at_once=False)


class GuardedSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose client must read, and may not send endless messages."""

    def __init__(
        self,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._places = connections
        self.place, self.since = "", time.monotonic()
        self._out = _Out(connections.limits)
        self.idle = self.sending = False

    def connection_made(self, transport: Transport) -> None:
        """As uvicorn's; HTTP has given its place away for it."""
        super().connection_made(transport)
        self.place = place_of(self.client[0] if self.client else "")
        if not self._places.admit(self, self.loop):
            self.end(at_once=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's; the place is free."""
        self._places.drop(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's; a request that is none is answered."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._refuse()

    async def send(self, message: Any) -> None:
        """As uvicorn's, which takes an answer other than a socket for none."""
        await super().send(message)
        whole = not message.get("more_body", False)
        if message["type"] == "websocket.http.response.body" and whole:
            self.handshake_complete = True

    def handle_cont(self, event: Any) -> None:
        """A further part of a message."""
        super().handle_cont(event)
        if len(self.frames) > _MOST_PIECES:
            self.conn.fail(1009, "too many parts")
            self.handle_parser_exception()

    def _refuse(self) -> None:
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        )
        self.handshake_complete = self.close_sent = True
        self.transport.close()

    def look(self, now: float) -> None:
        """As Line."""
        if self._out.stuck(self.transport, now):
            self.end(at_once=True)

    def end(self, at_once: bool) -> None:
        """As Line."""
        self.disconnected = True
        self.writable.set()
        self.transport.abort()


def protocols(config: ServerConfig) -> tuple[Any, Any]:
    """The classes that uvicorn shall make connections of: for HTTP and for WebSockets."""
    connections = Connections(config)
    return partial(GuardedHttp, connections), partial(GuardedSocket, connections)


def _end_when_gone(transport: Transport, seconds: float) -> None:
    """A client whose machine is gone says no goodbye: the system asks for it, and gives up."""
    connected, idle = transport.get_extra_info("socket"), max(1, round(seconds))
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, idle)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000 * idle)
