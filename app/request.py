"""What a render takes: one frozen value, whose defaults the command line and Python share."""

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

import numpy as np
from jaxtyping import UInt8

from audio2motion.audio import Waveform
from motion2video.motion import FPS, Motion
from motion2video.video import exact_rate
from weights.errors import InputError

if TYPE_CHECKING:
    from audio2motion.condition import Controls

Source = str | os.PathLike[str]
"""Where a file is."""
Notify = Callable[[str], None]
"""Called with one sentence for the user, such as which of two faces was taken."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, frames done and frames in all."""
Crop = Literal["full", "head"]
Mix = Literal["agent", "both"]

Backend = Literal["auto", "torch", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]
Attention = Literal["sdpa", "xformers"]

MIN_SIZE, MAX_SIZE = 64, 4096


class MotionFields(TypedDict, total=False):
    """The fields of MotionRequest as keywords; a test keeps the two the same."""

    agent_audio: Source | Waveform | None
    text: str | None
    voice: str
    interlocutor_audio: Source | Waveform | None
    interlocutor_video: Source | None
    emotion: str
    expressivity: float
    seed: int


class RenderFields(MotionFields, total=False):
    """The fields of RenderRequest as keywords; a test keeps the two the same."""

    portrait: Source | UInt8[np.ndarray, "H W C"]
    motion: Source | Motion | None
    size: int
    fps: float
    face: str
    crop: Crop
    mix: Mix


class ComputeFields(TypedDict, total=False):
    """The fields of ComputeConfig but the device; a test keeps the two the same."""

    backend: Backend
    precision: Precision
    threads: int | None
    attention: Attention
    compile: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class MotionRequest:
    """Whose voices move the face, and how. Raises InputError for values that cannot be used.

    The agent's voice is a recording or a `text` that espeak-ng speaks with `voice`. The
    interlocutor is heard (`interlocutor_audio`), seen (`interlocutor_video`, whose sound is
    heard unless there is an audio), both or neither.
    """

    agent_audio: Source | Waveform | None = None
    text: str | None = None
    voice: str = "en-us"
    interlocutor_audio: Source | Waveform | None = None
    interlocutor_video: Source | None = None
    emotion: str = "neutral"
    expressivity: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.agent_audio is not None and self.text is not None:
            raise InputError(
                "got both a recording of the agent's voice and a text to speak; give one of them"
            )
        if self.text is not None and not self.text.strip():
            raise InputError("got an empty text; give the words that the agent says")
        if self.text is None and self.voice != type(self).voice:
            raise InputError(
                f"got the voice {self.voice!r} without a text; a voice only speaks a text"
            )
        if not 0 <= self.seed < 2**31:
            raise InputError(f"got the seed {self.seed}; wanted 0 to {2**31 - 1}")
        _ = self.controls

    @property
    def controls(self) -> "Controls":
        """The generator's controls; raises InputError for an unknown emotion or bad scale."""
        from audio2motion.condition import Controls

        return Controls(emotion=self.emotion, expressivity=self.expressivity)

    @property
    def has_voice(self) -> bool:
        """Whether there is anybody to hear or to see."""
        given = (self.agent_audio, self.text, self.interlocutor_audio, self.interlocutor_video)
        return any(item is not None for item in given)

    def require_voice(self) -> None:
        """Raise InputError when nothing was given that a motion could be made from."""
        if not self.has_voice:
            raise InputError(
                "nothing was given to move the face: give the agent's audio or a text, the "
                "interlocutor's audio or video, or (for a video) a motion file"
            )

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that are read."""
        values = [getattr(self, f.name) for f in fields(self) if f.name in _FILES]
        return tuple(Path(v) for v in values if isinstance(v, str | os.PathLike))

    def describe(self) -> dict[str, Any]:
        """Every field as a plain JSON value; sounds and arrays as a short description."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True, eq=False, kw_only=True)
class RenderRequest(MotionRequest):
    """A video: whose photo, and what moves it. Raises InputError for values that cannot be used.

    `motion` drives the face directly; the agent's audio is then only heard. `size` caps the
    longer side of the video in pixels, `fps` is its rate, `face` says which face of the photo
    (largest, leftmost or its number), `crop` whether the whole photo or only the head is shown,
    `mix` whose voice is heard.
    """

    portrait: Source | UInt8[np.ndarray, "H W C"]
    motion: Source | Motion | None = None
    size: int = 512
    fps: float = FPS
    face: str = "largest"
    crop: Crop = "full"
    mix: Mix = "agent"

    def __post_init__(self) -> None:
        super().__post_init__()
        exact_rate(self.fps)
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise InputError(f"got the size {self.size}; wanted {MIN_SIZE} to {MAX_SIZE} pixels")
        require_choice("crop", self.crop, get_args(Crop))
        require_choice("mix", self.mix, get_args(Mix))
        if not (self.face in ("largest", "leftmost") or self.face.isdecimal()):
            raise InputError(f"got the face {self.face!r}; wanted largest, leftmost or a number")
        if self.motion is None:
            self.require_voice()
        else:
            self._require_unguided()

    def _require_unguided(self) -> None:
        """With a motion of its own the face listens to nobody: say so instead of ignoring it."""
        changed = [
            name
            for name, given in (
                ("an interlocutor's video", self.interlocutor_video is not None),
                ("an emotion", self.emotion != type(self).emotion),
                ("an expressivity", self.expressivity != type(self).expressivity),
            )
            if given
        ]
        if changed:
            raise InputError(
                f"got {' and '.join(changed)} together with a motion file, which already says "
                "what the face does; give one or the other"
            )
        if self.interlocutor_audio is not None and self.mix != "both":
            raise InputError(
                "got the interlocutor's audio together with a motion file: it would be neither "
                "heard nor reacted to; mix both voices, or leave it out"
            )


def require_choice(name: str, value: str, wanted: tuple[str, ...]) -> None:
    """Raise InputError unless `value` is one of those `wanted`."""
    if value not in wanted:
        raise InputError(f"got the {name} {value!r}; wanted {' or '.join(wanted)}")


_FILES = ("portrait", "agent_audio", "interlocutor_audio", "interlocutor_video", "motion")


def _plain(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray):
        return "array " + "x".join(map(str, value.shape))
    if isinstance(value, Waveform):
        return f"sound of {value.seconds:.3f} s"
    if isinstance(value, Motion):
        return f"motion of {len(value)} frames at {value.fps:g} fps"
    return value
