"""From what the user gave to the voices of two people, and the sound of the video."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.request import MotionRequest, Notify, Source
from audio2motion.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, Dyad, Waveform
from motion2video.motion import Motion

Track = Callable[[Path], Motion]
"""Turns a video into the motion of the face in it, at 25 fps."""


@dataclass(frozen=True, eq=False)
class Voices:
    """Who is heard and seen: `agent` None when nobody speaks for the agent."""

    agent: Waveform | None
    interlocutor: Waveform | None
    interlocutor_motion: Motion | None = None

    def dyad(self) -> tuple[Dyad, tuple[str, ...]]:
        """Both voices at the length of the longest part, and what there is to tell about it."""
        lengths = {
            f"the {name}": round(part.seconds * SAMPLE_RATE)
            for name, part in (
                ("agent's audio", self.agent),
                ("interlocutor's audio", self.interlocutor),
                ("interlocutor's video", self.interlocutor_motion),
            )
            if part is not None
        }
        count = max(lengths.values())
        notices = tuple(
            f"{name} is {(count - length) / SAMPLE_RATE:.2f} s shorter than the rest: "
            + ("nobody is seen then" if name.endswith("video") else "silence was added at its end")
            for name, length in lengths.items()
            if count - length >= SAMPLES_PER_FRAME
        )
        silence = Waveform(np.zeros(0, np.float32))
        agent = _padded(silence if self.agent is None else self.agent, count)
        other = self.interlocutor
        return Dyad(agent, None if other is None else _padded(other, count)), notices

    def seen(self, frames: int) -> Motion | None:
        """The interlocutor's motion, exactly `frames` long; what is missing is not valid."""
        motion = self.interlocutor_motion
        if motion is None or len(motion) >= frames:
            return motion and motion[:frames]
        missing = frames - len(motion)
        last = np.repeat(motion.values[-1:], missing, 0)
        return Motion.concat([motion, Motion(last, motion.fps, np.zeros(missing, bool))])

    def mixed(self, both: bool) -> Waveform | None:
        """What is heard in the video: the agent, or both; None when nobody is."""
        if self.agent is None or not both or self.interlocutor is None:
            return self.interlocutor if both and self.agent is None else self.agent
        samples = np.zeros(max(len(self.agent), len(self.interlocutor)), np.float32)
        samples[: len(self.agent)] += self.agent.samples
        samples[: len(self.interlocutor)] += self.interlocutor.samples
        samples /= max(1.0, float(np.abs(samples).max(initial=0.0)))
        return Waveform(samples)


def _padded(voice: Waveform, count: int) -> Waveform:
    """`count` samples; the voice itself, not a copy, where it has them."""
    return voice if len(voice) == count else voice.pad_to(count)


def load_sound(request: MotionRequest) -> Voices:
    """The voices of a request as sound that is only heard: nobody needs to speak in it."""
    return Voices(_agent(request), _load(request.interlocutor_audio))


def hear(request: MotionRequest, track: Track, notify: Notify) -> Voices:
    """Read, speak and track what a request names, so that it can move a face.

    Raises InputError when it names nothing, MediaError for recordings that cannot be read, for
    an agent's voice in which nobody speaks, and for such an interlocutor's when there is nothing
    else.
    """
    request.require_voice()
    agent = _agent(request)
    if agent is not None:
        hint = " (for an agent that only listens, give the interlocutor's audio alone)"
        agent.require_speech(_name(request.agent_audio, "the agent's audio") + hint)
    interlocutor = _load(request.interlocutor_audio)
    name = _name(request.interlocutor_audio, "the interlocutor's audio")
    motion = None
    if request.interlocutor_video is not None:
        path = Path(request.interlocutor_video)
        if interlocutor is None:
            interlocutor = _sound_of(path, notify)
            name = str(path)
        motion = track(path)
    if interlocutor is not None and not (interlocutor.peak and interlocutor.has_speech):
        if agent is None and motion is None:
            interlocutor.require_speech(name)
        notify(f"nobody speaks in {name}: there is nothing to listen to")
    return Voices(agent, interlocutor, motion)


def _agent(request: MotionRequest) -> Waveform | None:
    """The agent's voice: read or spoken."""
    if request.text is not None:
        from audio2motion.synthesis import synthesize

        return synthesize(request.text, request.voice)
    return _load(request.agent_audio)


def _load(source: Source | Waveform | None) -> Waveform | None:
    return source if source is None or isinstance(source, Waveform) else Waveform.load(source)


def _name(source: Source | Waveform | None, fallback: str) -> str:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else fallback


def _sound_of(path: Path, notify: Notify) -> Waveform | None:
    """The sound of a video, or None (and a notice) when it has no sound track."""
    from motion2video.video import probe

    if probe(path).audio_codec is None:
        notify(f"{path} has no sound track: the interlocutor is seen but not heard")
        return None
    return Waveform.load(path)
