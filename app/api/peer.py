"""A conversation's sound and pictures over WebRTC, with aiortc: nothing else here knows of it.

The agent's voice goes out as Opus and its pictures as VP8. The visitor's voice comes over a data
channel that neither repeats nor orders, as 16-bit samples with their places: aiortc's buffer for
sound that comes in holds 16 packets back for good once one was lost, which is .3 s.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from app.api.problems import Problem
from app.live.arrival import Arrival
from app.live.framing import PLACED, to_placed
from app.live.playout import Playout
from app.live.session import LiveChunk
from audio2motion.hearing.audio import SAMPLE_RATE
from weights.errors import MediaError

if TYPE_CHECKING:
    from aiortc.mediastreams import MediaStreamTrack

_PIECE = SAMPLE_RATE // 50
_CLOCK = 90_000
_LOOK_S = 0.01
_MOST_SECTIONS = 3


class Peer:
    """One visitor's WebRTC connection. Lives in the event loop; `show` may be called from any
    thread. `hear` is called with the visitor's sound, `changed` with whether sound and pictures
    travel here, each time that this is another.
    """

    def __init__(
        self,
        servers: list[dict[str, Any]],
        hear: Callable[[Float[np.ndarray, "n"]], None],
        changed: Callable[[bool], None],
    ) -> None:
        from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection

        # Without a list aiortc would ask a server of Google's.
        config = RTCConfiguration(iceServers=[RTCIceServer(**server) for server in servers])
        self.carries = self.hears = False
        """Whether sound and pictures travel here, and the visitor's voice has begun to."""
        self._connection: RTCPeerConnection = RTCPeerConnection(config)
        self._playout, self._arrival = Playout(), Arrival()
        self._hear, self._changed = hear, changed
        self._channel_open = False
        self._began = time.monotonic()
        for track in _tracks(self._playout, self._began):
            self._connection.addTrack(track)
        self._connection.on("connectionstatechange", self._look)
        self._connection.on("datachannel", self._open)

    async def answer(self, offer: str) -> str:
        """The answer to a browser's offer. Raises Problem for one that is not understood."""
        from aiortc import RTCSessionDescription

        if offer.count("\nm=") > _MOST_SECTIONS:
            raise Problem(422, f"wanted an offer of at most {_MOST_SECTIONS} sections")
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for one in self._connection.getTransceivers():  # what came in, nobody would take
                one.direction = "inactive" if one.sender.track is None else "sendonly"
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as error:  # its parser raises whatever comes
            raise Problem(422, f"this offer is not understood ({type(error).__name__})") from error
        return self._connection.localDescription.sdp

    def show(self, chunk: LiveChunk) -> int:
        """Play a chunk when it is due: the time stamp of its first frame, after that of the first
        frame of all there could have been.
        """
        return _stamp(self._playout.put(chunk, time.monotonic()) - self._began)

    def hush(self) -> None:
        """The agent was interrupted."""
        self._playout.hush()

    async def close(self) -> None:
        """Hang up."""
        self._connection.remove_all_listeners()
        self.carries = self.hears = False
        with contextlib.suppress(Exception):  # what is left of a connection that broke
            await self._connection.close()

    def _open(self, channel: Any) -> None:
        self._channel_open = True
        channel.on("message", self._take)
        self._look()

    def _look(self) -> None:
        carries = self._connection.connectionState == "connected" and self._channel_open
        if carries != self.carries:
            self.carries, self.hears = carries, False
            self._changed(carries)

    def _take(self, message: str | bytes) -> None:
        if not self.carries or isinstance(message, str) or message[:1] != bytes([PLACED]):
            return
        with contextlib.suppress(MediaError):  # half a sample: as if it had been lost
            self.hears = True
            samples = self._arrival.put(*to_placed(message[1:]))
            if len(samples):
                self._hear(samples)


def _stamp(seconds: float) -> int:
    return max(0, round(seconds * _CLOCK))


def _tracks(playout: Playout, began: float) -> "tuple[MediaStreamTrack, MediaStreamTrack]":
    """The agent's voice and its pictures, at the time they are due."""
    from aiortc.mediastreams import MediaStreamTrack
    from av import AudioFrame, VideoFrame

    class Voice(MediaStreamTrack):
        kind = "audio"
        _count = 0

        async def recv(self) -> AudioFrame:
            at = began + self._count * _PIECE / SAMPLE_RATE
            await asyncio.sleep(at - time.monotonic())
            samples = np.clip(playout.sound(at, _PIECE) * 32767, -32768, 32767).astype(np.int16)
            frame = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = self._count * _PIECE
            self._count += 1
            return frame

    class Pictures(MediaStreamTrack):
        kind = "video"

        async def recv(self) -> VideoFrame:
            while (due := playout.frame(time.monotonic())) is None:
                await asyncio.sleep(_LOOK_S)
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(due.frame), format="rgb24")
            frame.time_base = Fraction(1, _CLOCK)
            frame.pts = _stamp(due.at - began)
            return frame

    return Voice(), Pictures()
