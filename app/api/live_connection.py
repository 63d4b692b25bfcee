"""One visitor's WebSocket of a live conversation, and the WebRTC that it may arrange."""

import asyncio
import contextlib
import hmac
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from fastapi import WebSocket
from fastapi.concurrency import run_in_threadpool
from jaxtyping import UInt8
from starlette.websockets import WebSocketDisconnect

import app.live.framing as framing
from app.api.connections import place_of
from app.api.context import ServerContext
from app.api.guard import ANONYMOUS, owner_of_key
from app.api.ice import servers_for, without_strange_candidates
from app.api.live_messages import (
    Ask,
    HangUp,
    Later,
    Offer,
    Resume,
    Say,
    Size,
    Start,
    Stop,
    beginning,
    parsed,
)
from app.api.metrics import Metrics
from app.api.peer import Peer
from app.api.problems import Problem
from app.live.config import LiveConfig
from app.live.ear import Ear
from app.live.rooms import LiveRooms, Room
from app.live.session import CHUNK_SAMPLES, LiveChunk, LiveSession, pictures_for
from app.live.speaking import MadeVoice
from audio2motion.gestures.controls import Controls
from audio2motion.hearing.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, Waveform
from audio2motion.voice.agent_voice import AgentVoice, TextVoice
from audio2motion.voice.speakers import find_speaker
from audio2motion.voice.synthesis import check_text
from motion2video.media.live_encoder import LiveEncoder
from motion2video.media.pictures import open_picture
from motion2video.motion import FPS
from weights.errors import MediaError, VisavisError

_START_S = 10.0
_MOST_WAITING = 10 * SAMPLE_RATE
_QUALITY = 80
_MOST_OFFERS = 20


def token_of(context: ServerContext, identity: str) -> str:
    """What the address of a conversation's pictures has to end with."""
    return hmac.digest(context.secret, b"live " + identity.encode(), "sha256").hex()[:40]


@contextlib.contextmanager
def listening(room: Room, news: asyncio.Event) -> Iterator[None]:
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


class Connection:
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
        self._h264 = False
        self._encoder: tuple[tuple[int, int], LiveEncoder] | None = None
        self._ear: Ear | None = None
        self._shown = (0, 0)
        self._visit = 0
        self._trouble: Problem | None = None
        self._peer: Peer | None = None
        self._offers = 0
        self._resizing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """The conversation from its first message to its end."""
        await self._socket.accept()
        room = None
        try:
            async with asyncio.timeout(_START_S):
                first = await self._socket.receive()
            if first["type"] == "websocket.disconnect":
                return
            message, photo = await run_in_threadpool(beginning, first.get("text"))
            owner = self._owner(message.api_key)
            room = await run_in_threadpool(self._enter, message, photo, owner)
            self._visit = room.visits
            self._h264 = message.video == "h264"
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
                await self._hang_up()
                if room.visits == self._visit:
                    over = self._rooms.end if self._ended else self._rooms.leave
                    await run_in_threadpool(over, room)

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
        width, height = self._shown = room.session.size
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
            pictures_url=f"/v1/live/{room.id}.mjpeg?token={token_of(self._context, room.id)}",
            **self._webrtc(),
        )

    async def _converse(self, room: Room) -> None:
        reader = asyncio.create_task(self._read(room))
        worker = asyncio.create_task(self._work(room))
        limit = self._context.config.limits.max_live_seconds
        try:
            with listening(room, self._news):
                done, _ = await asyncio.wait(
                    (reader, worker), timeout=limit, return_when=asyncio.FIRST_COMPLETED
                )
            if not done:
                self._ended = True
                raise Problem(413, f"a conversation lasts at most {limit:g} s")
            for task in done:
                task.result()
        finally:
            tasks = [task for task in (reader, worker, self._resizing) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

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
                await self._obey(parsed(message.get("text")), room)

    def _take(self, data: bytes, room: Room) -> dict[str, Any] | None:
        """Put it where the worker finds it; a message for the visitor when they begin to talk into
        the agent's words. The worker may be drawing: it would notice that too late.
        """
        what, rest = data[:1], data[1:]
        if what == bytes([framing.SOUND]):
            samples = framing.to_samples(rest)
            if self._peer is not None and self._peer.hears:
                return None  # it was on its way when the sound began to come over WebRTC
            return self._hear(samples, room)
        if what == bytes([framing.PICTURE]):
            self._picture = rest
        elif what == bytes([framing.VOICE]):
            room.session.say(Waveform(framing.to_samples(rest)))
        else:
            raise Problem(422, "got a binary message of an unknown kind")
        return None

    def _hear(self, samples: np.ndarray, room: Room) -> dict[str, Any] | None:
        self._waiting += len(samples)
        if self._waiting > _MOST_WAITING:
            raise Problem(429, "sound comes faster than it is spoken; send it as it is recorded")
        self._sound.append(samples)
        self._news.set()
        return self._notice(samples, room.session)

    def _notice(self, samples: np.ndarray, session: LiveSession) -> dict[str, Any] | None:
        if self._ear is None:
            self._ear = session.ear.copy()
        ear = self._ear
        if not (ear.hear(samples) and session.config.barge_in and session.agent_speaks):
            return None
        session.stop()
        if self._peer is not None:
            self._peer.hush()
        seconds = (ear.received - ear.onset_at) / SAMPLE_RATE
        self._metrics.barge_in_seconds.observe(seconds)
        return {
            "type": "interrupt",
            "onset": ear.onset_at,
            "heard": ear.received,
            "milliseconds": round(1000 * seconds),
        }

    async def _obey(self, message: Later, room: Room) -> None:
        if isinstance(message, Say):
            voice: AgentVoice = TextVoice(message.text, message.voice)
            if find_speaker(message.voice).natural is None:
                voice = await run_in_threadpool(MadeVoice, voice)
            else:  # it begins with the first sentence, while the next is not there yet
                check_text(message.text)
            room.session.say_from(voice)
        elif isinstance(message, Ask):
            room.session.say_from(self._rooms.reply(message.text, room, message.voice))
            await self._tell("caption", who="visitor", text=message.text)
        elif isinstance(message, Stop):
            room.session.stop()
            if self._peer is not None:
                self._peer.hush()
        elif isinstance(message, Size):
            if self._resizing is not None and not self._resizing.done():
                raise Problem(429, "the pictures are still getting another size; wait for it", 1)
            self._resizing = asyncio.create_task(self._resize(message.size, room))
        elif isinstance(message, Offer):
            await self._answer(message, room)
        elif isinstance(message, HangUp):
            await self._hang_up()
            await self._tell("media", over="websocket")
        else:
            self._ended = True

    async def _resize(self, size: int, room: Room) -> None:
        try:
            await run_in_threadpool(self._rooms.resize, room, size)
        except VisavisError as error:
            problem = Problem.of(error)
            await self._tell("problem", status=problem.status, detail=problem.detail)

    # -- WebRTC ----------------------------------------------------------------------------

    def _webrtc(self) -> dict[str, Any]:
        config = self._context.config
        if not config.offers_webrtc:
            return {}
        return {"webrtc": {"ice_servers": servers_for(config.ice_servers, config.turn_secret)}}

    async def _answer(self, message: Offer, room: Room) -> None:
        """Take up a browser's offer, in the place of one before; sound and pictures go there once
        it is connected, and here again when it breaks off.
        """
        offered = self._webrtc()
        if not offered:
            raise Problem(422, "this server has no WebRTC; sound and pictures travel here")
        self._offers += 1
        if self._offers > _MOST_OFFERS:
            raise Problem(429, f"a connection may make {_MOST_OFFERS} offers; connect anew")
        await self._hang_up()
        loop = asyncio.get_running_loop()
        telling: set[asyncio.Task[None]] = set()  # the loop alone would let them be collected

        def tell(what: str, **values: object) -> None:
            task = loop.create_task(self._tell_if_there(what, **values))
            telling.add(task)
            task.add_done_callback(telling.discard)

        def hear(samples: np.ndarray) -> None:
            room.heard = time.monotonic()
            try:
                told = self._hear(samples, room)
            except Problem as problem:
                self._trouble = problem
                self._news.set()
                return
            if told is not None:
                tell(told.pop("type"), **told)

        def changed(carries: bool) -> None:
            tell("media", over="webrtc" if carries else "websocket")

        self._peer = Peer(offered["webrtc"]["ice_servers"], hear, changed)
        client = self._socket.client
        offer = without_strange_candidates(message.sdp, client.host if client else "")
        await self._tell("answer", sdp=await self._peer.answer(offer))

    async def _hang_up(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            await peer.close()

    async def _tell_if_there(self, what: str, **values: object) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._tell(what, **values)

    # -- what goes out ---------------------------------------------------------------------

    async def _work(self, room: Room) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if room.visits != self._visit:
                raise Problem(409, "this conversation goes on in another connection")
            if room.taken_over:
                raise Problem(429, "you were silent for long, and somebody needed the place", 30)
            if self._trouble is not None:
                raise self._trouble
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
            if room.taken_over or room.visits != self._visit:
                return out
            events = room.session.push(samples, pictures, pictures_for(late), barge_in=False)
        for chunk in (event for event in events if isinstance(event, LiveChunk)):
            self._metrics.chunk_seconds.observe(chunk.latency_s)
            out += self._packed(room.marked(chunk), room)
        return out

    def _packed(self, chunk: LiveChunk, room: Room) -> list[bytes | dict[str, Any]]:
        at = chunk.index * CHUNK_SAMPLES
        out: list[bytes | dict[str, Any]] = [
            {"type": "caption", "who": "agent", "text": caption.text, "time": at + caption.at}
            for caption in chunk.captions
        ]
        peer, stamp = self._peer, {}
        if peer is not None and peer.carries:
            stamp = {"timestamp": peer.show(chunk)}
            if room.onlookers:
                for frame in chunk.frames:
                    room.show(_jpeg(frame))
        else:
            out += self._packets(chunk, at, room)
        out.append(
            {
                "type": "chunk",
                "chunk": chunk.index,
                "latency_ms": round(1000 * chunk.latency_s, 1),
                "agent_speaks": chunk.agent_speaks,
                "visitor_speaks": chunk.visitor_speaks,
                **stamp,
            }
        )
        return out

    def _packets(self, chunk: LiveChunk, at: int, room: Room) -> list[bytes | dict[str, Any]]:
        """The chunk's sound and frames for the WebSocket, after their size where that is new."""
        out: list[bytes | dict[str, Any]] = []
        height, width = chunk.frames.shape[1:3]
        if (width, height) != self._shown:
            self._shown = width, height
            out.append({"type": "size", "width": width, "height": height})
        voice = framing.to_bytes(chunk.agent)
        out.append(framing.Packet(framing.AGENT, 0, 0, chunk.index, at, voice).pack())
        for number, frame in enumerate(chunk.frames):
            jpeg = b"" if self._h264 and not room.onlookers else _jpeg(frame)
            if jpeg:
                room.show(jpeg)
            what, data, key = framing.JPEG, jpeg, False
            if self._h264:
                if self._encoder is None or self._encoder[0] != (width, height):
                    self._encoder = (width, height), LiveEncoder((width, height))
                what, (data, key) = framing.H264, self._encoder[1].encode(frame)
            time = at + number * SAMPLES_PER_FRAME
            flags = framing.KEY_FRAME if key else 0
            out.append(framing.Packet(what, flags, number, chunk.index, time, data).pack())
        return out

    async def _tell(self, what: str, **values: object) -> None:
        await self._socket.send_text(json.dumps({"type": what, **values}))

    async def _refuse(self, problem: Problem) -> None:
        """Say why, and close; the visitor may have gone already."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._tell("problem", status=problem.status, detail=problem.detail)
            await self._socket.close(1008)


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
