"""What a user asks of the agent: emotion, expressivity, gaze, style, gestures."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.behaviour.events import BLINK_CHANNELS, LOOK_CHANNELS
from audio2motion.gestures.emotion import EMOTIONS, VALENCE_AROUSAL, affect_offset, class_offset
from audio2motion.gestures.gestures import PITCH, WIDEST, Aim, Gesture, GestureSchedule
from audio2motion.gestures.ranges import AROUSAL, EXPRESSIVITY, INTENSITY, VALENCE
from audio2motion.gestures.style import CONVERSING, STYLE_DIM, STYLES, Style
from audio2motion.saveable import saveable
from motion2video.motion import EXPRESSION_NAMES, MOTION_DIM, ROTATION, TRANSLATION
from weights.errors import InputError

CONTROL_DIM = 13 + STYLE_DIM + 1
"""See `Controls.vector` for what each place means."""
REGIONS = ("mouth", "brows", "eyes", "head")
_PREFIXES = {
    "mouth": ("mouth", "jaw", "cheek", "noseSneer"),
    "brows": ("brow",),
    "eyes": ("eye",),
}
REGION_CHANNELS: dict[str, tuple[int, ...]] = {
    region: tuple(i for i, name in enumerate(EXPRESSION_NAMES) if name.startswith(prefixes))
    for region, prefixes in _PREFIXES.items()
} | {"head": (*range(*ROTATION.indices(MOTION_DIM)), *range(*TRANSLATION.indices(MOTION_DIM)))}
"""The columns of a motion that belong to a region."""
# What `expressivity` scales: not the lips as an instrument of speech, not the blinks.
EXPRESSIVE = (
    *(
        i
        for i, name in enumerate(EXPRESSION_NAMES)
        if name.startswith(("brow", "cheekSquint", "eyeLook", "eyeSquint", "eyeWide"))
        or name.startswith(("noseSneer", "mouthSmile", "mouthFrown", "mouthDimple"))
    ),
    *REGION_CHANNELS["head"],
)
_LIDS, _LOOKS = list(BLINK_CHANNELS), list(LOOK_CHANNELS)
_WIDEST_AIM = 3.0
"""The gaze is sent this much farther than its target at the most, to make up for expressivity."""


@saveable
@dataclass(frozen=True)
class Regions:
    """Expressivity of each region, 0..2; None takes that of the whole."""

    mouth: float | None = None
    brows: float | None = None
    eyes: float | None = None
    head: float | None = None

    def __post_init__(self) -> None:
        for region in REGIONS:
            value = getattr(self, region)
            if value is not None:
                _require(f"the {region}'s expressivity", value, *EXPRESSIVITY)


@saveable
@dataclass(frozen=True)
class Controls:
    """What a user asks of the agent.

    `emotion` is one of EMOTIONS, at `intensity` 0..2; `valence` and `arousal`, -1..1, are those of
    the emotion when None, and move the face by where they differ from them (see emotion.py).
    `expressivity` 0..2 scales all that goes beyond lips and blinks: 0 leaves those alone, 1 is the
    plain model; `regions` may say otherwise for a part of the face. Gestures grow with its square
    root, so that one that was placed is seen at any expressivity but 0. `gaze` is where to look,
    (degrees to the picture's right, degrees up) from the camera; None leaves it to the model.
    `style` is how the agent moves on average (see style.py); None is that of `style_in`. `gestures`
    are placed in time. Raises InputError for values outside.
    """

    emotion: str = "neutral"
    intensity: float = 1.0
    expressivity: float = 1.0
    gaze: Aim | None = None
    style: Style | None = None
    valence: float | None = None
    arousal: float | None = None
    regions: Regions = field(default_factory=Regions)
    gestures: tuple[Gesture, ...] = ()

    def __post_init__(self) -> None:
        if self.emotion not in EMOTIONS:
            raise InputError(
                f"there is no emotion {self.emotion!r}; wanted one of {', '.join(EMOTIONS)}"
            )
        _require("intensity", self.intensity, *INTENSITY)
        _require("expressivity", self.expressivity, *EXPRESSIVITY)
        if self.valence is not None:
            _require("valence", self.valence, *VALENCE)
        if self.arousal is not None:
            _require("arousal", self.arousal, *AROUSAL)
        if self.gaze is not None and not all(abs(g) <= WIDEST for g in self.gaze):
            raise InputError(
                f"got gaze {self.gaze[0]:g},{self.gaze[1]:g}; wanted two angles within "
                f"{WIDEST:g} degrees"
            )

    @property
    def affect(self) -> tuple[float, float]:
        """(valence, arousal) at full intensity: those given, else the emotion's own."""
        valence, arousal = VALENCE_AROUSAL[self.emotion]
        return (
            valence if self.valence is None else self.valence,
            arousal if self.arousal is None else self.arousal,
        )

    def style_in(self, conversation: bool, manner: Style = STYLES["neutral"]) -> Style:
        """The style that was asked for; else the median talker's, or in a conversation that of who
        listens, too, and how far the `manner` of whoever moves is from it.
        """
        if self.style:
            return self.style
        usual = CONVERSING if conversation else STYLES["neutral"]
        return tuple(a + b for a, b in zip(usual, manner, strict=True))

    def vector(
        self, conversation: bool = False, manner: Style = STYLES["neutral"]
    ) -> Float[Tensor, "c"]:
        """[29]: emotion (8, scaled by intensity), gaze (2, in units of 20 degrees), whether
        there is a gaze target, valence and arousal (scaled by intensity, within -1..1), style
        (15, see `style_in`), and whether there is one.
        """
        out = torch.zeros(CONTROL_DIM)
        out[EMOTIONS.index(self.emotion)] = self.intensity
        if self.gaze is not None:
            out[8], out[9], out[10] = self.gaze[0] / 20, self.gaze[1] / 20, 1.0
        out[11:13] = (self.intensity * torch.tensor(self.affect)).clamp(-1, 1)
        out[13:-1], out[-1] = torch.tensor(self.style_in(conversation, manner)), 1.0
        return out

    @cached_property
    def schedule(self) -> GestureSchedule:
        """The gestures as functions of the frame."""
        return GestureSchedule(self.gestures)

    def apply(self, values: Float[np.ndarray, "T 90"]) -> Float[np.ndarray, "T 90"]:
        """Scale the expressive channels and add the emotion's offset; linear in both."""
        scale = self._scale
        out = values.copy()
        out[:, EXPRESSIVE] *= scale[list(EXPRESSIVE)]
        return out + scale * self._offset

    def gesture_offsets(self, first: int, count: int) -> Float[np.ndarray, "T 90"]:
        """What the gestures add to frames `first`, ... at this expressivity."""
        out = self.schedule.offsets(first, count)
        # Eyes that turn against the head turn as far as the head does.
        gain = np.sqrt(self._scale)
        gain[_LOOKS] = gain[PITCH] * np.minimum(1, gain[_LOOKS])
        # Both lids are a blink, which stays; what one does more than the other is a wink.
        lids = out[:, _LIDS]
        blink = lids.min(1, keepdims=True)
        out *= gain
        out[:, _LIDS] = blink + np.minimum(1, gain[_LIDS]) * (lids - blink)
        return out

    def aims(self, first: int, count: int) -> list[Aim | None]:
        """Per frame the gaze target that events must follow so that, after `apply`, the eyes look
        where a gesture or `gaze` wants them; None where they are free.

        Expressivity over 1 does not send them beyond a target, and under 1 shortens the way by
        its square root, as with other gestures.
        """
        eyes = float(self._scale[_LOOKS[0]])
        wanted = self.schedule.gaze(first, count, self.gaze)
        if eyes == 0:
            return wanted
        more = min(min(1.0, math.sqrt(eyes)) / eyes, _WIDEST_AIM)
        return [aim and (aim[0] * more, aim[1] * more) for aim in wanted]

    @cached_property
    def _scale(self) -> Float[np.ndarray, "90"]:
        """The expressivity of each column; 1 for detail."""
        scale = np.ones(MOTION_DIM, np.float32)
        for region, channels in REGION_CHANNELS.items():
            own = getattr(self.regions, region)
            scale[list(channels)] = self.expressivity if own is None else own
        return scale

    @cached_property
    def _offset(self) -> Float[np.ndarray, "90"]:
        """The emotion's offset; what is asked for beyond the class moves on from it."""
        moved = affect_offset(*self.affect) - affect_offset(*VALENCE_AROUSAL[self.emotion])
        whole = np.maximum(class_offset(self.emotion) + moved, 0)
        return (self.intensity * whole).astype(np.float32)


def parse_gaze(text: str) -> Aim:
    """ "camera" or "RIGHT,UP" in degrees. Raises InputError."""
    if text.strip() == "camera":
        return (0.0, 0.0)
    try:
        right, up = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"got gaze {text!r}; wanted camera, or degrees to the right and up such as 10,-5"
        ) from None
    return right, up


def parse_regions(texts: Iterable[str]) -> dict[str, float]:
    """Expressivity by region from texts such as "head=0.5"; of two for the same region the later
    one counts. Raises InputError.
    """
    found: dict[str, float] = {}
    for text in texts:
        region, _, value = text.partition("=")
        try:
            found[region.strip()] = float(value)
        except ValueError:
            raise InputError(
                f"got the region {text!r}; wanted REGION=EXPRESSIVITY, such as head=0.5"
            ) from None
    return found


def regions_of(values: Mapping[str, float]) -> Regions:
    """Regions from expressivity by name. Raises InputError for a name that is none."""
    unknown = [name for name in values if name not in REGIONS]
    if unknown:
        raise InputError(f"there is no region {unknown[0]!r}; wanted one of {', '.join(REGIONS)}")
    return Regions(**values)


def named_style(name: str) -> Style:
    """One of STYLES. Raises InputError for a name that is none."""
    if name not in STYLES:
        raise InputError(f"there is no style {name!r}; wanted one of {', '.join(STYLES)}")
    return STYLES[name]


def _require(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(f"got {name} {value}; wanted {low:g} to {high:g}")
