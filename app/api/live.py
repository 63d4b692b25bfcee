"""The routes of live conversations: the WebSocket, and pictures as motion JPEG for players."""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, WebSocket
from fastapi.responses import Response, StreamingResponse

from app.api.context import ServerContext
from app.api.live_connection import Connection, listening, token_of
from app.api.metrics import Metrics
from app.api.problems import Problem, responses
from app.live.rooms import LiveRooms, Room

_LOOK_S = 1.0
_BOUNDARY = "visavis"


def make_live_router(context: ServerContext, rooms: LiveRooms, metrics: Metrics) -> APIRouter:
    """The routes of live conversations."""
    router = APIRouter(prefix="/v1", tags=["live"])

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await Connection(socket, context, rooms, metrics).run()

    @router.get(
        "/live/{id}.mjpeg",
        summary="A conversation's pictures as motion JPEG, for OBS or ffmpeg",
        response_class=StreamingResponse,
        responses={
            **responses(404, 422, 429),
            200: {
                "description": "JPEG pictures, each when it is made.",
                "content": {"multipart/x-mixed-replace": {"schema": {"type": "string"}}},
            },
        },
    )
    async def pictures(
        request: Request,
        id: Annotated[str, Path(pattern="^[A-Za-z0-9_-]{22}$")],
        token: Annotated[str, Query(max_length=128, description="From the `ready` message.")],
    ) -> Response:
        room = rooms.look_up(id)
        right = hmac.compare_digest(token.encode(), token_of(context, id).encode())
        if room is None or not right:
            raise Problem(404, "there is no such conversation")
        return StreamingResponse(
            _pictures(room, rooms, context),
            media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}",
            headers={"Cache-Control": "no-store"},
        )

    return router


async def _pictures(room: Room, rooms: LiveRooms, context: ServerContext) -> AsyncIterator[bytes]:
    """The room's pictures, as long as it is there."""
    seen, news = 0, asyncio.Event()
    with listening(room, news), room.watched():
        while rooms.look_up(room.id) is room and not context.closing.is_set():
            news.clear()
            if room.looked != seen:
                seen, data = room.looked, room.look
                head = (
                    f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n"
                )
                yield head.encode() + b"\r\n" + data + b"\r\n"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await news.wait()
