"""The WebSocket of live conversations, and their pictures as motion JPEG for players."""

import asyncio
import contextlib
import hmac
import io
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from fastapi import APIRouter, Path, Query, Request, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError
from starlette.websockets import WebSocketDisconnect

import app.live.framing as framing
from app.api.connections import place_of
from app.api.context import ServerContext
from app.api.guard import ANONYMOUS, owner_of_key
from app.api.json_bodies import JsonBody, JsonBounds, LongText, check_json
from app.api.metrics import Metrics
from app.api.problems import Problem, responses
from app.api.schema import decoded
from app.live.rooms import LiveRooms, Room
from app.live.session import (
    CHUNK_SAMPLES,
    Ear,
    LiveChunk,
    LiveConfig,
    LiveSession,
    pictures_for,
)
from app.render.knobs import by_name
from app.render.request import RenderRequest
from audio2motion.gestures.controls import Controls
from audio2motion.gestures.text_limits import MAX_NAME
from audio2motion.hearing.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, Waveform
from audio2motion.voice.agent_voice import TextVoice
from audio2motion.voice.speakers import QUICK_VOICE, find_speaker
from audio2motion.voice.synthesis import check_text
from motion2video.media.live_encoder import LiveEncoder
from motion2video.media.pictures import open_picture
from motion2video.motion import FPS
from weights.errors import MediaError, VisavisError

_START_S = 10.0
_LOOK_S = 1.0
_MOST_TEXT = 64 * 1024
"""Bytes of a message of JSON, but for the first, whose photo may be larger."""
_MOST_WAITING = 10 * SAMPLE_RATE
_QUALITY = 80
_BOUNDARY = "visavis"


def _setting(name: str, **changes: Any) -> Any:
    """A field with the default and the range that a video's request has, but for `changes`."""
    setting = by_name(RenderRequest)[name]
    known: dict[str, Any] = {
        "default": setting.default,
        "ge": setting.knob.low,
        "le": setting.knob.high,
    }
    return Field(**(known | changes))


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Start(_Message):
    """Begin a conversation. `portrait` is a photo in base64, the embedded one when missing."""

    type: Literal["start"]
    api_key: str | None = None
    portrait: str | None = None
    size: int = _setting("size", default=256, le=1024)
    video: framing.Video = "jpeg"
    seed: int = _setting("seed")
    emotion: str = _setting("emotion", max_length=MAX_NAME)
    expressivity: float = _setting("expressivity")
    barge_in: bool = LiveConfig.barge_in
    consent: str | None = _setting("consent", max_length=400)


class Resume(_Message):
    """Go on with a conversation that was left, with its id."""

    type: Literal["resume"]
    session: str = Field(pattern="^[A-Za-z0-9_-]{22}$")
    api_key: str | None = None
    video: framing.Video = "jpeg"


class Say(_Message):
    """Words for the agent to say, in one of `GET /v1/voices`."""

    type: Literal["say"]
    text: str = Field(min_length=1, max_length=4000)
    voice: str = Field(QUICK_VOICE, max_length=64)


class Ask(_Message):
    """The visitor's words; a language model answers them, where the server has one."""

    type: Literal["ask"]
    text: str = Field(min_length=1, max_length=4000)
    voice: str = Field(QUICK_VOICE, max_length=64)


class Stop(_Message):
    """The agent says nothing more of what is waiting."""

    type: Literal["stop"]


class End(_Message):
    """The conversation is over and shall not be kept."""

    type: Literal["end"]


class _First(RootModel[Annotated[Start | Resume, Field(discriminator="type")]]):
    """What a conversation begins with."""


class _Later(RootModel[Annotated[Say | Ask | Stop | End, Field(discriminator="type")]]):
    """What may come afterwards."""


def make_live_router(context: ServerContext, rooms: LiveRooms, metrics: Metrics) -> APIRouter:
    """The routes of live conversations."""
    router = APIRouter(prefix="/v1", tags=["live"])

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await _Connection(socket, context, rooms, metrics).run()

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
        right = hmac.compare_digest(token.encode(), _token(context, id).encode())
        if room is None or not right:
            raise Problem(404, "there is no such conversation")
        return StreamingResponse(
            _pictures(room, rooms, context),
            media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}",
            headers={"Cache-Control": "no-store"},
        )

    return router


def _token(context: ServerContext, identity: str) -> str:
    return hmac.digest(context.secret, b"live " + identity.encode(), "sha256").hex()[:40]


async def _pictures(room: Room, rooms: LiveRooms, context: ServerContext) -> AsyncIterator[bytes]:
    """The room's pictures, as long as it is there."""
    seen, news = 0, asyncio.Event()
    with _listening(room, news):
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


@contextlib.contextmanager
def _listening(room: Room, news: asyncio.Event) -> Iterator[None]:
    """`news` is set, in this loop, whenever there is some of the room."""
    loop = asyncio.get_running_loop()

    def listener() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before the room's thread
            loop.call_soon_threadsafe(news.set)

    room.told.add(listener)
    try:
        yield
    finally:
        room.told.discard(listener)


class _Connection:
    """One visitor's WebSocket: one task reads, the other makes chunks of what was read."""

    def __init__(
        self, socket: WebSocket, context: ServerContext, rooms: LiveRooms, metrics: Metrics
    ) -> None:
        self._socket, self._context, self._rooms, self._metrics = socket, context, rooms, metrics
        self._sound: list[np.ndarray] = []
        self._waiting = 0
        self._picture: bytes | None = None
        self._news = asyncio.Event()
        self._ended = False
        self._encoder: LiveEncoder | None = None
        self._ear: Ear | None = None

    async def run(self) -> None:
        """The conversation from its first message to its end."""
        await self._socket.accept()
        room = None
        try:
            async with asyncio.timeout(_START_S):
                first = await self._socket.receive()
            if first["type"] == "websocket.disconnect":
                return
            message, photo = await run_in_threadpool(_beginning, first.get("text"))
            owner = self._owner(message.api_key)
            room = await run_in_threadpool(self._enter, message, photo, owner)
            if message.video == "h264":
                self._encoder = LiveEncoder(room.session.size)
            self._metrics.live.inc()
            await self._welcome(room)
            await self._converse(room)
        except (WebSocketDisconnect, TimeoutError):
            pass
        except Problem as problem:
            await self._refuse(problem)
        except VisavisError as error:
            await self._refuse(Problem.of(error))
        finally:
            if room is not None:
                self._metrics.live.dec()
                await run_in_threadpool(self._rooms.end if self._ended else self._rooms.leave, room)

    def _owner(self, key: str | None) -> str:
        owner = self._socket.scope["state"]["owner"]
        if owner is None and key is not None:
            owner = owner_of_key(key, self._context.config.keys)
        if owner is None:
            raise Problem(401, "give an API key: `api_key` in the first message")
        return owner

    def _enter(self, message: Start | Resume, photo: bytes | None, owner: str) -> Room:
        client = self._socket.client
        place = place_of(client.host if client else "") if owner == ANONYMOUS else owner
        if isinstance(message, Resume):
            return self._rooms.resume(message.session, owner, place)
        portrait = None
        if photo is not None:
            data = io.BytesIO(photo)
            portrait = self._context.store.add(owner, data, ("picture",), "portrait").id
        controls = Controls(emotion=message.emotion, expressivity=message.expressivity)
        config = LiveConfig(seed=message.seed, controls=controls, barge_in=message.barge_in)
        return self._rooms.open(owner, place, portrait, message.size, config, message.consent)

    async def _welcome(self, room: Room) -> None:
        width, height = room.session.size
        await self._tell(
            "ready",
            session=room.id,
            width=width,
            height=height,
            fps=FPS,
            sample_rate=SAMPLE_RATE,
            chunk_samples=CHUNK_SAMPLES,
            notice=self._context.config.live_notice,
            provenance={"watermark": False} if room.origin is None else room.origin.told(),
            pictures_url=f"/v1/live/{room.id}.mjpeg?token={_token(self._context, room.id)}",
        )

    async def _converse(self, room: Room) -> None:
        reader = asyncio.create_task(self._read(room))
        worker = asyncio.create_task(self._work(room))
        limit = self._context.config.limits.max_live_seconds
        try:
            with _listening(room, self._news):
                done, _ = await asyncio.wait(
                    (reader, worker), timeout=limit, return_when=asyncio.FIRST_COMPLETED
                )
            if not done:
                self._ended = True
                raise Problem(413, f"a conversation lasts at most {limit:g} s")
            for task in done:
                task.result()
        finally:
            for task in (reader, worker):
                task.cancel()
            await asyncio.gather(reader, worker, return_exceptions=True)

    # -- what comes in ---------------------------------------------------------------------

    async def _read(self, room: Room) -> None:
        while not self._ended:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            room.heard = time.monotonic()
            if (data := message.get("bytes")) is not None:
                if (told := self._take(data, room)) is not None:
                    await self._socket.send_text(json.dumps(told))
            else:
                await self._obey(_parsed(message.get("text")), room)

    def _take(self, data: bytes, room: Room) -> dict[str, Any] | None:
        """Put it where the worker finds it; a message for the visitor when they begin to talk into
        the agent's words. The worker may be drawing: it would notice that too late.
        """
        what, rest = data[:1], data[1:]
        if what == bytes([framing.SOUND]):
            samples = framing.to_samples(rest)
            self._waiting += len(samples)
            if self._waiting > _MOST_WAITING:
                raise Problem(
                    429, "sound comes faster than it is spoken; send it as it is recorded"
                )
            self._sound.append(samples)
            self._news.set()
            return self._notice(samples, room.session)
        if what == bytes([framing.PICTURE]):
            self._picture = rest
        elif what == bytes([framing.VOICE]):
            room.session.say(Waveform(framing.to_samples(rest)))
        else:
            raise Problem(422, "got a binary message of an unknown kind")
        return None

    def _notice(self, samples: np.ndarray, session: LiveSession) -> dict[str, Any] | None:
        if self._ear is None:
            self._ear = session.ear.copy()
        ear = self._ear
        if not (ear.hear(samples) and session.config.barge_in and session.agent_speaks):
            return None
        session.stop()
        seconds = (ear.received - ear.onset_at) / SAMPLE_RATE
        self._metrics.barge_in_seconds.observe(seconds)
        return {
            "type": "interrupt",
            "onset": ear.onset_at,
            "heard": ear.received,
            "milliseconds": round(1000 * seconds),
        }

    async def _obey(self, message: Say | Ask | Stop | End, room: Room) -> None:
        if isinstance(message, Say):
            speaker = find_speaker(message.voice)
            if speaker.natural is None:
                sound, _ = await run_in_threadpool(speaker.say, message.text)
                room.session.say(sound)
            else:  # it begins with the first sentence, while the next is not there yet
                check_text(message.text)
                room.session.say_from(TextVoice(message.text, message.voice))
        elif isinstance(message, Ask):
            room.session.say_from(self._rooms.reply(message.text, room, message.voice))
        elif isinstance(message, Stop):
            room.session.stop()
        else:
            self._ended = True

    # -- what goes out ---------------------------------------------------------------------

    async def _work(self, room: Room) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if room.taken_over:
                raise Problem(429, "you were silent for long, and somebody needed the place", 30)
            sound, self._sound, self._waiting = self._sound, [], 0
            picture, self._picture = self._picture, None
            if sound:
                for data in await run_in_threadpool(self._push, room, sound, picture):
                    if isinstance(data, bytes):
                        await self._socket.send_bytes(data)
                    else:
                        await self._socket.send_text(json.dumps(data))
            while room.session.problems:
                room.session.problems.pop(0)
                await self._tell("problem", status=503, detail="the agent's voice broke off")

    def _push(
        self, room: Room, sound: list[np.ndarray], picture: bytes | None
    ) -> list[bytes | dict[str, Any]]:
        """In a thread: what the session makes of the sound, as messages."""
        samples = np.concatenate(sound)
        pictures = [] if picture is None else [_decoded_picture(picture)]
        late = len(samples) + room.session.waiting - CHUNK_SAMPLES
        out: list[bytes | dict[str, Any]] = []
        with room.lock:
            if room.taken_over:
                return out
            events = room.session.push(samples, pictures, pictures_for(late), barge_in=False)
        for chunk in (event for event in events if isinstance(event, LiveChunk)):
            self._metrics.chunk_seconds.observe(chunk.latency_s)
            out += self._packed(chunk, room)
        return out

    def _packed(self, chunk: LiveChunk, room: Room) -> list[bytes | dict[str, Any]]:
        at = chunk.index * CHUNK_SAMPLES
        out: list[bytes | dict[str, Any]] = [
            framing.Packet(
                framing.AGENT, 0, 0, chunk.index, at, framing.to_bytes(chunk.agent)
            ).pack()
        ]
        for number, drawn in enumerate(chunk.frames):
            frame = drawn if room.origin is None else room.origin.mark(drawn)
            jpeg = _jpeg(frame)
            room.show(jpeg)
            what, data, key = framing.JPEG, jpeg, False
            if self._encoder is not None:
                what, (data, key) = framing.H264, self._encoder.encode(frame)
            time = at + number * SAMPLES_PER_FRAME
            flags = framing.KEY_FRAME if key else 0
            out.append(framing.Packet(what, flags, number, chunk.index, time, data).pack())
        out.append(
            {
                "type": "chunk",
                "chunk": chunk.index,
                "latency_ms": round(1000 * chunk.latency_s, 1),
                "agent_speaks": chunk.agent_speaks,
                "visitor_speaks": chunk.visitor_speaks,
            }
        )
        return out

    async def _tell(self, what: str, **values: object) -> None:
        await self._socket.send_text(json.dumps({"type": what, **values}))

    async def _refuse(self, problem: Problem) -> None:
        """Say why, and close; the visitor may have gone already."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._tell("problem", status=problem.status, detail=problem.detail)
            await self._socket.close(1008)


def _beginning(text: str | None) -> tuple[Start | Resume, bytes | None]:
    """The first message, and the photo in it. In a thread: photos are large."""
    with contextlib.closing(JsonBody(JsonBounds(texts=1))) as body:
        body.feed((text or "").encode("utf-8", "surrogatepass"))
        given, photo = body.values(), None
        if isinstance(given, dict) and isinstance(given.get("portrait"), LongText):
            photo = given.pop("portrait").file.read()
        try:
            message = _First.model_validate(given).root
        except ValidationError as error:
            raise _not_understood(error) from error
    if isinstance(message, Start) and message.portrait is not None:
        photo = decoded(message.portrait, "portrait")
    return message, photo


def _parsed(text: str | None) -> Say | Ask | Stop | End:
    data = (text or "").encode("utf-8", "surrogatepass")
    if len(data) > _MOST_TEXT:
        raise Problem(413, f"got a message of {len(data)} bytes; wanted at most {_MOST_TEXT}")
    check_json(data)
    try:
        return _Later.model_validate_json(data).root
    except ValidationError as error:
        raise _not_understood(error) from error


def _not_understood(error: ValidationError) -> Problem:
    found = error.errors(include_input=False, include_context=False, include_url=False)
    detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:3])
    return Problem(422, f"this message is not understood: {detail}")


def _jpeg(frame: UInt8[np.ndarray, "h w 3"]) -> bytes:
    picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()


def _decoded_picture(data: bytes) -> UInt8[np.ndarray, "H W 3"]:
    """A visitor's JPEG, at most 1280 pixels long; raises MediaError or LimitError."""
    with open_picture(data, formats=("JPEG",), name="the visitor's picture") as image:
        if max(image.size) > 1280:
            raise MediaError("the visitor's picture is larger than 1280 pixels")
        return np.array(image.convert("RGB"), np.uint8)
