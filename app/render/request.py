"""What a render takes: one frozen value, whose defaults the command line and Python share."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

import numpy as np
from jaxtyping import UInt8

from audio2motion.gestures.gestures import Gesture
from audio2motion.gestures.text_limits import MAX_ADDRESS, MAX_CHARACTERS, MAX_GESTURES, MAX_NAME
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import Waveform
from motion2video.media.video import exact_rate
from motion2video.motion import FPS, Motion
from weights.errors import InputError

if TYPE_CHECKING:
    from audio2motion.gestures.controls import Controls

Source = str | os.PathLike[str]
"""Where a file is."""
Notify = Callable[[str], None]
"""Called with one sentence for the user, such as which of two faces was taken."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, frames done and frames in all."""
Crop = Literal["full", "head"]
Mix = Literal["agent", "both"]
Renderer = Literal["diffusion", "warp"]
"""The embedded renderer, or its first half alone: a draft, with dark mouths and no lids."""

Backend = Literal["auto", "torch", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]
Attention = Literal["sdpa", "xformers"]

MIN_SIZE, MAX_SIZE = 64, 4096
SERVERS_OWN = frozenset({"llm_url", "llm_model", "llm_key_file", "speech_model"})
"""Fields that no visitor of a server may give: an address would be fetched, with the server's key,
and a key file read."""


class ControlFields(TypedDict, total=False):
    """The fields of MotionRequest that say how the face moves, as keywords."""

    emotion: str
    intensity: float
    valence: float | None
    arousal: float | None
    expressivity: float
    regions: Mapping[str, float] | None
    gaze: str | tuple[float, float] | None
    style: str | tuple[float, ...] | None
    style_clip: Source | Motion | None
    gestures: Sequence[str | Gesture] | None
    gesture_file: Source | None
    transcript: Source | Transcript | None
    auto_gestures: bool


class ReplyFields(TypedDict, total=False):
    """The fields of MotionRequest for a language model's reply, as keywords."""

    ask: str | None
    persona: str | None
    llm_url: str | None
    llm_model: str | None
    llm_key_file: Source | None
    speech_model: str | None
    speech_voice: str | None
    reply_codes: bool


class MotionFields(ControlFields, ReplyFields, total=False):
    """The fields of MotionRequest as keywords; a test keeps the two the same."""

    agent_audio: Source | Waveform | None
    text: str | None
    voice: str
    interlocutor_audio: Source | Waveform | None
    interlocutor_video: Source | None
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

    The agent's voice is a recording, a `text` that espeak-ng speaks with `voice`, or what a
    language model answers to `ask`: see audio2motion.voice.endpoint for the fields `llm_*` and
    `speech_*`, where None is what the environment says; `persona` is told to the model too. The
    interlocutor is heard (`interlocutor_audio`), seen (`interlocutor_video`, whose sound is heard
    unless there is an audio), both or neither.

    `emotion` with its `intensity`, or `valence` and `arousal`; `expressivity` 0..2, and for a part
    of the face in `regions` ({"head": 0.5}); `gaze` is (right, up) in degrees, a text "10,-5", or
    "camera"; `style` one of STYLES, or `style_clip`, a motion or video whose style is followed.
    `gestures` are placed as "nod@3.2" or Gesture, and in a `gesture_file` (see timeline.py). The
    codes in a text or reply ("[nod] Yes.") move the face too, unless `reply_codes` is off; an
    emotion given here wins over theirs. Where they have no gesture, gestures are found in the words
    of the text or reply, or in the `transcript` of the agent's recording, unless `auto_gestures` is
    off.
    """

    agent_audio: Source | Waveform | None = None
    text: str | None = None
    voice: str = "en-us"
    ask: str | None = None
    persona: str | None = None
    llm_url: str | None = None
    llm_model: str | None = None
    llm_key_file: Source | None = None
    speech_model: str | None = None
    speech_voice: str | None = None
    reply_codes: bool = True
    interlocutor_audio: Source | Waveform | None = None
    interlocutor_video: Source | None = None
    emotion: str = "neutral"
    intensity: float = 1.0
    valence: float | None = None
    arousal: float | None = None
    expressivity: float = 1.0
    regions: Mapping[str, float] | None = None
    gaze: str | tuple[float, float] | None = None
    style: str | tuple[float, ...] | None = None
    style_clip: Source | Motion | None = None
    gestures: Sequence[str | Gesture] | None = None
    gesture_file: Source | None = None
    transcript: Source | Transcript | None = None
    auto_gestures: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            _require_short(field.name, getattr(self, field.name))
        if self.agent_audio is not None and self.text is not None:
            raise InputError(
                "got both a recording of the agent's voice and a text to speak; give one of them"
            )
        if self.text is not None and not self.text.strip():
            raise InputError("got an empty text; give the words that the agent says")
        self._check_ask()
        if self.text is None and self.ask is None and self.voice != type(self).voice:
            raise InputError(
                f"got the voice {self.voice!r} without a text; a voice only speaks a text"
            )
        if not 0 <= self.seed < 2**31:
            raise InputError(f"got the seed {self.seed}; wanted 0 to {2**31 - 1}")
        if self.style is not None and self.style_clip is not None:
            raise InputError("got both a style and a style clip; give one of them")
        if self.transcript is not None and self.agent_audio is None:
            raise InputError(
                "got a transcript without a recording of the agent's voice; a transcript says what "
                "is heard there"
            )
        _ = self.controls

    def _check_ask(self) -> None:
        if self.llm_url is not None:
            from audio2motion.voice.endpoint import check_url

            check_url(self.llm_url)  # before anything repeats it: it may have a password in it
        if self.ask is None:
            given = [n for n in _FOR_ASK if getattr(self, n) is not None]
            if given:
                raise InputError(
                    f"got {' and '.join(given)} but no prompt for a language model (ask); give one"
                )
        elif not self.ask.strip():
            raise InputError("got an empty prompt; give what the language model is asked")
        elif self.text is not None or self.agent_audio is not None:
            raise InputError(
                "got both a prompt for a language model and a recording or text for the agent to "
                "say; give one of them"
            )

    @property
    def emotion_given(self) -> bool:
        """Whether an emotion was asked for, by name or by valence and arousal: it wins over the
        codes of a reply.
        """
        named = self.emotion != type(self).emotion
        return named or self.valence is not None or self.arousal is not None

    @property
    def controls(self) -> "Controls":
        """The generator's controls, as far as they are known before a file is read; raises
        InputError for values that cannot be used.
        """
        from audio2motion.gestures.controls import Controls, named_style, parse_gaze, regions_of
        from audio2motion.gestures.timeline import parse_gesture

        return Controls(
            emotion=self.emotion,
            intensity=self.intensity,
            valence=self.valence,
            arousal=self.arousal,
            expressivity=self.expressivity,
            regions=regions_of(self.regions or {}),
            gaze=parse_gaze(self.gaze) if isinstance(self.gaze, str) else self.gaze,
            style=named_style(self.style) if isinstance(self.style, str) else self.style,
            gestures=tuple(
                parse_gesture(g) if isinstance(g, str) else g for g in self.gestures or ()
            ),
        )

    @property
    def has_voice(self) -> bool:
        """Whether there is anybody to hear or to see."""
        given = (self.agent_audio, self.text, self.ask)
        given += (self.interlocutor_audio, self.interlocutor_video)
        return any(item is not None for item in given)

    def require_voice(self) -> None:
        """Raise InputError when nothing was given that a motion could be made from."""
        if not self.has_voice:
            raise InputError(
                "nothing was given to move the face: give the agent's audio, a text or a "
                "prompt, the interlocutor's audio or video, or (for a video) a motion file"
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
                ("a prompt", self.ask is not None),
                ("an interlocutor's video", self.interlocutor_video is not None),
                ("an emotion", self.emotion != type(self).emotion),
                ("an intensity", self.intensity != type(self).intensity),
                ("a valence", self.valence is not None),
                ("an arousal", self.arousal is not None),
                ("an expressivity", self.expressivity != type(self).expressivity),
                ("an expressivity of regions", bool(self.regions)),
                ("a gaze", self.gaze is not None),
                ("a style", self.style is not None or self.style_clip is not None),
                ("gestures", bool(self.gestures) or self.gesture_file is not None),
                ("a transcript", self.transcript is not None),
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


def _require_short(name: str, value: object) -> None:
    """Raise InputError for a text, or a list of gestures, that is longer than anybody needs."""
    if isinstance(value, str | bytes):
        most = _LONGEST.get(name, MAX_ADDRESS if name in _FILES else MAX_NAME)
        if len(value) > most:
            raise InputError(
                f"got a {name.replace('_', ' ')} of {len(value)} characters; at most {most} are "
                "taken"
            )
    elif name == "gestures" and isinstance(value, Sequence) and len(value) > MAX_GESTURES:
        raise InputError(f"got {len(value)} gestures; at most {MAX_GESTURES} are placed")
    elif name == "regions" and isinstance(value, Mapping) and len(value) > MAX_GESTURES:
        raise InputError(f"got {len(value)} regions; wanted a few names")


def require_choice(name: str, value: str, wanted: tuple[str, ...]) -> None:
    """Raise InputError unless `value` is one of those `wanted`."""
    if value not in wanted:
        raise InputError(f"got the {name} {value!r}; wanted {' or '.join(wanted)}")


_FILES = (
    *("portrait", "agent_audio", "interlocutor_audio", "interlocutor_video", "motion"),
    *("style_clip", "gesture_file", "transcript", "llm_key_file"),
)
_LONGEST = {
    **dict.fromkeys(("text", "ask", "persona"), MAX_CHARACTERS),
    "llm_url": MAX_ADDRESS,
}
_FOR_ASK = ("persona", "llm_url", "llm_model", "llm_key_file", "speech_model", "speech_voice")


def _plain(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray):
        return "array " + "x".join(map(str, value.shape))
    if isinstance(value, Waveform):
        return f"sound of {value.seconds:.3f} s"
    if isinstance(value, Motion):
        return f"motion of {len(value)} frames at {value.fps:g} fps"
    if isinstance(value, Transcript):
        return f"transcript of {len(value.text)} characters"
    if isinstance(value, Gesture):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
