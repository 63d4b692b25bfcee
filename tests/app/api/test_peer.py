"""A live conversation over WebRTC, with aiortc in the place of a browser."""

import asyncio
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect

import app.api.ice as ice
import app.live.framing as framing
from app.api.settings import ServerConfig
from audio2motion.hearing.audio import SAMPLE_RATE
from tests.app.live.test_session import visitor
from tests.app.serving import Served, running, small_avatar
from weights.errors import DependencyError

aiortc = pytest.importorskip("aiortc", reason="the extra `webrtc` is not installed")
aioice = pytest.importorskip("aioice")

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(
        not aioice.ice.get_host_addresses(True, False), reason="no network but the loopback"
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
PIECE = 640


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(small_avatar(), tmp_path_factory.mktemp("data"), webrtc=True) as it:
        yield it


class Caller:
    """A visitor's browser: what it was told, saw and heard."""

    def __init__(self, socket: ClientConnection, direction: str = "recvonly") -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []
        self.packets = 0
        self.frames = 0
        self.loudest = 0
        self.sent = 0
        self.line = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.channel = self.line.createDataChannel("voice", ordered=False, maxRetransmits=0)
        for kind in ("audio", "video"):
            self.line.addTransceiver(kind, direction=direction)
        self.line.on("track", lambda track: self.tasks.append(asyncio.create_task(self.see(track))))
        self.tasks = [asyncio.create_task(self.listen())]

    async def listen(self) -> None:
        async for message in self.socket:
            if isinstance(message, bytes):
                self.packets += 1
            else:
                self.told.append(json.loads(message))

    async def see(self, track: Any) -> None:
        while True:
            frame = await track.recv()
            if track.kind == "video":
                self.frames += 1
            else:
                self.loudest = max(self.loudest, int(np.abs(frame.to_ndarray()).max()))

    async def tell(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def until(self, what: str, **values: Any) -> dict[str, Any]:
        for _ in range(6000):
            for message in self.told:
                if message["type"] == what and values.items() <= message.items():
                    return message
            await asyncio.sleep(0.01)
        raise TimeoutError(f"no {what} came: {self.told}")

    async def call(self) -> None:
        await self.line.setLocalDescription(await self.line.createOffer())
        await self.tell(type="offer", sdp=self.line.localDescription.sdp)
        answer = await self.until("answer")
        await self.line.setRemoteDescription(aiortc.RTCSessionDescription(answer["sdp"], "answer"))
        await self.until("media", over="webrtc")

    async def talk(self, sound: np.ndarray, leave_out: tuple[int, ...] = ()) -> None:
        """In real time over the data channel, but for some pieces."""
        for number, at in enumerate(range(0, len(sound), PIECE)):
            samples = framing.to_bytes(sound[at : at + PIECE])
            if number not in leave_out:
                place = struct.pack("<Q", self.sent)
                self.channel.send(bytes([framing.PLACED]) + place + samples)
            self.sent += len(samples) // 2
            await asyncio.sleep(len(samples) / 2 / SAMPLE_RATE)

    async def __aenter__(self) -> "Caller":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await self.line.close()


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def test_sound_and_pictures_over_webrtc_a_barge_in_and_back_to_the_websocket(
    served: Served,
) -> None:
    async def converse() -> None:
        async with (
            connect(served.url.replace("http", "ws") + "/v1/live", max_size=None) as socket,
            Caller(socket) as caller,
        ):
            await caller.tell(type="start", size=64)
            assert (await caller.until("ready"))["webrtc"] == {"ice_servers": []}
            await caller.call()
            await caller.tell(type="say", text="I will tell you a long story of the sea. " * 12)
            await caller.talk(silence(2.0), leave_out=(9, 20, 21))
            said = await caller.until("caption", who="agent")
            assert said["text"] == "I will tell you a long story of the sea."
            await caller.until("chunk", chunk=8)  # lost pieces stop nothing
            while not (caller.frames > 15 and caller.loudest > 1000):
                await caller.talk(silence(0.2))
            assert caller.packets == 0, "nothing travels twice"
            await caller.talk(visitor("Wait, stop please.", "en-us", 0.0))
            assert (await caller.until("interrupt"))["milliseconds"] < 500
            assert all("timestamp" in m for m in caller.told if m["type"] == "chunk" and m["chunk"])
            await caller.tell(type="hang_up")
            await caller.until("media", over="websocket")
            for _ in range(10):
                await socket.send(bytes([framing.SOUND]) + framing.to_bytes(silence(0.1)))
            while not caller.packets:
                await asyncio.sleep(0.02)
            await caller.tell(type="end")

    asyncio.run(asyncio.wait_for(converse(), 120))


def test_a_line_that_ends_by_itself_is_the_websocket_again(served: Served) -> None:
    async def converse() -> None:
        async with (
            connect(served.url.replace("http", "ws") + "/v1/live", max_size=None) as socket,
            Caller(socket, "sendrecv") as caller,
        ):
            await caller.tell(type="start", size=64)
            await caller.until("ready")
            await caller.call()
            answer = (await caller.until("answer"))["sdp"]
            assert "a=sendonly" in answer, "pictures that were sent here would fill the memory"
            assert "a=sendrecv" not in answer and "a=recvonly" not in answer
            await caller.line.close()
            await caller.until("media", over="websocket")
            await caller.tell(type="end")

    asyncio.run(asyncio.wait_for(converse(), 120))


@pytest.mark.parametrize("sdp", ["x", "v=0\r\n" + "m=audio 9 RTP/AVP 0\r\n" * 9])
def test_an_offer_that_is_none_ends_the_conversation_with_a_sentence(
    served: Served, sdp: str
) -> None:
    async def converse() -> None:
        async with connect(served.url.replace("http", "ws") + "/v1/live") as socket:
            await socket.send(json.dumps({"type": "start", "size": 64}))
            assert json.loads(await socket.recv())["type"] == "ready"
            await socket.send(json.dumps({"type": "offer", "sdp": sdp}))
            problem = json.loads(await socket.recv())
            assert problem["status"] == 422 and "offer" in problem["detail"]

    asyncio.run(asyncio.wait_for(converse(), 60))


def test_without_the_extra_or_where_nobody_else_may_come_there_is_no_webrtc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not ServerConfig(tmp_path).offers_webrtc, "it would open ports that --host did not"
    assert ServerConfig(tmp_path, host="0.0.0.0").offers_webrtc
    assert ServerConfig(tmp_path, ice_servers=("stun:a.example",)).offers_webrtc
    assert not ServerConfig(tmp_path, host="0.0.0.0", webrtc=False).offers_webrtc
    monkeypatch.setattr(ice, "find_spec", lambda name: None)
    assert not ServerConfig(tmp_path, host="0.0.0.0").offers_webrtc
    with pytest.raises(DependencyError, match=r" install .*\[webrtc\]"):
        ServerConfig(tmp_path, webrtc=True)
