"""Before the work: how long the video will be, and what time and memory it will take."""

import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from app.render.dialogue import seconds_of, voice_of
from app.render.order import TAIL, Arranged, length
from app.render.reading import HERE, Reader
from app.render.request import RendererName, RenderRequest, Source
from app.render.result import peak_memory_mb
from app.render.turns import Turn
from audio2motion.hearing.audio import Waveform
from motion2video.motion import Motion
from motion2video.reference.families import FAMILIES
from motion2video.reference.memory import need
from motion2video.reference.settings import ReferenceConfig

_FRAME_S, _PIXEL_S = 0.012, 3e-8
"""Seconds a frame and a pixel on two CPU cores: `scripts/bench render` at 256 to 1024 px."""
_START_S = 0.6
"""Finding the face, preparing the portrait, closing the file."""
_TRACK_S = 0.03
"""Seconds a frame of a video in which a face is tracked."""
_PIXEL_BYTES = 180
"""Memory a pixel of the video: the warp's maps and the frames under way in every thread."""
_TELLING = 5e6
"""Pixels that a run must have drawn to count: 20 frames at 512 px."""
_REFERENCE_PASS_S = 0.02
"""Seconds a frame and a run of a public checkpoint's U-Net at 512 px; what a GPU really takes is
learned from the first video on.
"""
_HALF = 2  # bytes of a number there
_ORDERS: dict[Arranged | None, str] = {
    None: "",
    "turns": "; they speak first, then the answer",
    "together": "; both voices from the start",
}
_LEARNING = 0.5
"""How much the latest run counts against those before."""


@dataclass(frozen=True)
class Plan:
    """`seconds` and `frames` of video at most `size` pixels long; `work_s` how long it will
    probably take, `memory_mb` the memory the whole process will then have held, `gpu_mb` that of
    the GPU where a public checkpoint draws; `order` of two voices (None: there are not two);
    `turns` of a dialogue.
    """

    seconds: float
    frames: int
    size: int
    work_s: float
    memory_mb: float
    gpu_mb: float = 0.0
    order: Arranged | None = None
    turns: int = 0

    def __str__(self) -> str:
        gpu = f", {self.gpu_mb / 1000:.1f} GB of the GPU's" if self.gpu_mb else ""
        told = f"; {self.turns} turns" if self.turns else _ORDERS[self.order]
        return (
            f"{self.seconds:.1f} s of video, {self.frames} frames of up to {self.size} px: about "
            f"{_duration(self.work_s)} of work, {self.memory_mb / 1000:.1f} GB of memory{gpu}"
            f"{told}"
        )


class Pace:
    """How fast this machine is, learned from what it has done; shared by all threads. `drawing` is
    how its public checkpoints draw.
    """

    def __init__(self, drawing: ReferenceConfig | None = None) -> None:
        self.drawing = drawing or ReferenceConfig()
        self._factors = defaultdict[RendererName, float](lambda: 1.0)
        self._lock = threading.Lock()

    def learn(
        self, frames: int, size: int, seconds: float, renderer: RendererName = "embedded"
    ) -> None:
        """A run of so many frames took so long. A short run of small frames says little."""
        if frames * size**2 < _TELLING:
            return
        factor = max(seconds - _START_S, 0.01) / (frames * self._frame_seconds(size, renderer))
        with self._lock:
            self._factors[renderer] += _LEARNING * (factor - self._factors[renderer])

    def seconds(self, frames: int, size: int, renderer: RendererName = "embedded") -> float:
        """How long so many frames will take."""
        with self._lock:
            factor = self._factors[renderer]
        return _START_S + factor * frames * self._frame_seconds(size, renderer)

    def _frame_seconds(self, size: int, renderer: RendererName) -> float:
        if renderer == "embedded":
            return _FRAME_S + _PIXEL_S * size**2
        sampling = self.drawing.sampling(FAMILIES[renderer])
        again = sampling.windows.length / sampling.windows.stride
        return _REFERENCE_PASS_S * sampling.passes * again * (self.drawing.size / 512) ** 2


def make_plan(request: RenderRequest, pace: Pace, reader: Reader = HERE) -> Plan:
    """What a request will come to. Reads headers, decodes only what has no length in its header.

    Raises a VisavisError for files that cannot be used.
    """
    seconds, order = _length_and_order(request, reader)
    seconds = request.cut(seconds)
    frames = max(1, round(seconds * request.fps))
    work = pace.seconds(frames, request.size, request.renderer)
    for video in (request.interlocutor_video, request.driving_video):
        work += 0 if video is None else _TRACK_S * frames
    memory = peak_memory_mb() + request.size**2 * _PIXEL_BYTES / 1e6
    gpu = 0.0
    if request.renderer != "embedded":
        gpu = need(FAMILIES[request.renderer], pace.drawing, _HALF).total / 1e6
    turns = len(request.dialogue())
    return Plan(seconds, frames, request.size, work, memory, gpu, order, turns)


def video_seconds(request: RenderRequest, reader: Reader = HERE) -> float:
    """Length of the video in seconds: that of the motion, else what the voices last, at most, and
    of that the part that is wanted.
    """
    return request.cut(_length_and_order(request, reader)[0])


def _length_and_order(request: RenderRequest, reader: Reader) -> tuple[float, Arranged | None]:
    if request.motion is not None:
        motion = request.motion
        whole = motion if isinstance(motion, Motion) else reader.motion(Path(motion))
        return whole.seconds, None
    if request.driving_video is not None:
        info = reader.info(Path(request.driving_video))
        order: Arranged | None = None if request.interlocutor_audio is None else "together"
        return info.video_seconds or info.seconds, order
    if request.has_turns:
        return _dialogue_seconds(request, reader), None
    agent, other, seen = (
        None if source is None else _length(source, reader)
        for source in (request.agent_audio, request.interlocutor_audio, request.interlocutor_video)
    )
    if request.interlocutor_video is not None and other is None:
        heard = reader.info(Path(request.interlocutor_video)).audio_codec is not None
        other = seen if heard else None
    if request.text is not None:
        agent = _said_seconds(request.text, request.voice)
    from_words = request.text is not None
    return length(request.order, request.pause, from_words, agent, other, seen)


def _dialogue_seconds(request: RenderRequest, reader: Reader) -> float:
    def seconds(turn: Turn) -> float:
        if turn.text is not None:
            return _said_seconds(turn.text, voice_of(turn, request.voice))
        assert turn.audio is not None
        return _length(turn.audio, reader)

    return seconds_of(request.dialogue(), request.pause, TAIL, seconds)


def _said_seconds(text: str, voice: str) -> float:
    """How long espeak-ng takes to say it, without the codes in it: known at once, and about as
    long as a natural voice takes.
    """
    from audio2motion.voice.sentences import SentenceStream
    from audio2motion.voice.speakers import find_speaker
    from audio2motion.voice.synthesis import synthesize

    stream = SentenceStream(keep_unknown=True)
    _ = [*stream.push(text), *stream.flush()]
    return synthesize(stream.text, find_speaker(voice).espeak).seconds


def _length(source: Source | Waveform, reader: Reader) -> float:
    if isinstance(source, Waveform):
        return source.seconds
    seconds = reader.info(Path(source)).seconds
    if seconds > 0:
        return seconds
    return reader.sound(Path(source)).seconds  # what a browser records says nothing of its length


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min"
