"""What a motion is conditioned on: two voices, the interlocutor's motion, and controls."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from audio2motion.style import STYLE_DIM, Style
from motion2video.motion import (
    EXPRESSION,
    EXPRESSION_NAMES,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    channel_index,
)
from weights.errors import InputError

LOOK_AHEAD = 5
"""Frames of the agent's own voice after frame t that frame t may use (200 ms)."""
FEATURE_OFFSETS = (1, 3, 5)
INPUTS = ("agent", "interlocutor", "interlocutor_motion", "controls")
CONTROL_DIM = 13 + STYLE_DIM + 1

EMOTIONS = (
    *("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise", "contempt"),
)
# Offsets from the neutral face at intensity 1, after the action units of Ekman & Friesen's
# Facial Action Coding System, kept small enough that lips can still close.
_EMOTION_OFFSETS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happiness": {"mouthSmile": 0.5, "cheekSquint": 0.3, "eyeSquint": 0.2, "mouthDimple": 0.1},
    "sadness": {"browInnerUp": 0.5, "mouthFrown": 0.4, "browDown": 0.1, "mouthShrugLower": 0.15},
    "anger": {"browDown": 0.6, "eyeSquint": 0.25, "mouthPress": 0.25, "noseSneer": 0.2},
    "fear": {"browInnerUp": 0.5, "browOuterUp": 0.3, "eyeWide": 0.45, "mouthStretch": 0.25},
    "disgust": {"noseSneer": 0.5, "mouthUpperUp": 0.15, "browDown": 0.3, "cheekSquint": 0.2},
    "surprise": {"browInnerUp": 0.5, "browOuterUp": 0.5, "eyeWide": 0.4, "jawOpen": 0.04},
    "contempt": {"mouthSmileLeft": 0.35, "mouthDimpleLeft": 0.3, "eyeSquint": 0.1},
}
# What `expressivity` scales: not the lips, not the blinks.
EXPRESSIVE = (
    *(
        i
        for i, name in enumerate(EXPRESSION_NAMES)
        if name.startswith(("brow", "cheekSquint", "eyeLook", "eyeSquint", "eyeWide"))
        or name.startswith(("noseSneer", "mouthSmile", "mouthFrown", "mouthDimple"))
    ),
    *range(ROTATION.start, ROTATION.stop),
    *range(TRANSLATION.start, TRANSLATION.stop),
)


@dataclass(frozen=True)
class Controls:
    """What a user asks of the agent.

    `emotion` is one of EMOTIONS, at `intensity` 0..2. `expressivity` 0..2 scales all that goes
    beyond lips and blinks: 0 leaves those alone, 1 is the plain model. `gaze` is where to look,
    (degrees to the picture's right, degrees up) from the camera; None leaves it to the model.
    `style` is how the agent moves on average (see style.py).
    Raises InputError for values outside.
    """

    emotion: str = "neutral"
    intensity: float = 1.0
    expressivity: float = 1.0
    gaze: tuple[float, float] | None = None
    style: Style | None = None

    def __post_init__(self) -> None:
        if self.emotion not in EMOTIONS:
            raise InputError(
                f"there is no emotion {self.emotion!r}; wanted one of {', '.join(EMOTIONS)}"
            )
        for name, value in (("intensity", self.intensity), ("expressivity", self.expressivity)):
            if not (math.isfinite(value) and 0 <= value <= 2):
                raise InputError(f"got {name} {value}; wanted 0 to 2")
        if self.gaze is not None and not all(math.isfinite(g) and abs(g) <= 40 for g in self.gaze):
            raise InputError(f"got gaze {self.gaze}; wanted two angles within 40 degrees")

    @property
    def vector(self) -> Float[Tensor, "c"]:
        """[21]: emotion (8, scaled by intensity), gaze (2, in units of 20 degrees), whether
        there is a gaze target, two places kept for valence and arousal, style (7), and whether
        there is one.
        """
        out = torch.zeros(CONTROL_DIM)
        out[EMOTIONS.index(self.emotion)] = self.intensity
        if self.gaze is not None:
            out[8], out[9], out[10] = self.gaze[0] / 20, self.gaze[1] / 20, 1.0
        if self.style is not None:
            out[13:-1], out[-1] = torch.tensor(self.style), 1.0
        return out

    def apply(self, values: Float[np.ndarray, "T 90"]) -> Float[np.ndarray, "T 90"]:
        """Add the emotion's offset and scale the expressive channels; linear in both."""
        out = values.copy()
        for name, amount in _EMOTION_OFFSETS[self.emotion].items():
            for channel in _sides(name):
                out[:, channel] += amount * self.intensity
        out[:, EXPRESSIVE] *= self.expressivity
        return out


def _sides(name: str) -> tuple[int, ...]:
    """The columns of a channel; those of both sides when the name leaves the side open."""
    if name in EXPRESSION_NAMES[EXPRESSION]:
        return (channel_index(name),)
    return (channel_index(f"{name}Left"), channel_index(f"{name}Right"))


@dataclass(frozen=True, eq=False)
class Condition:
    """Everything that frame t may depend on besides the motion before it, frame-aligned.

    `present` [b, t, 4] says which of INPUTS there is: 0 replaces it by a learned null.
    """

    agent: Float[Tensor, "b t a"]
    interlocutor: Float[Tensor, "b t i"]
    interlocutor_motion: Float[Tensor, "b t 91"]
    controls: Float[Tensor, "b t c"]
    present: Float[Tensor, "b t 4"]

    def without(self, name: str) -> "Condition":
        """The same with one input taken away."""
        present = self.present.clone()
        present[..., INPUTS.index(name)] = 0
        return Condition(
            self.agent, self.interlocutor, self.interlocutor_motion, self.controls, present
        )

    @staticmethod
    def stack(parts: "list[Condition]") -> "Condition":
        """Several, one after the other along the batch."""
        return Condition(
            torch.cat([p.agent for p in parts]),
            torch.cat([p.interlocutor for p in parts]),
            torch.cat([p.interlocutor_motion for p in parts]),
            torch.cat([p.controls for p in parts]),
            torch.cat([p.present for p in parts]),
        )


def agent_dim(features: int) -> int:
    """Numbers that describe the agent's voice at one frame."""
    return len(FEATURE_OFFSETS) * features + 2 * (LOOK_AHEAD + 1)


def agent_window(
    features: Float[Tensor, "n f"], energy: Float[Tensor, "n"], activity: Float[Tensor, "n"]
) -> Float[Tensor, "t a"]:
    """Per frame the voice from now to LOOK_AHEAD frames ahead; t = n - LOOK_AHEAD."""
    count = len(features) - LOOK_AHEAD
    near = [features[o : o + count] for o in FEATURE_OFFSETS]
    curves = [energy.unfold(0, LOOK_AHEAD + 1, 1), activity.unfold(0, LOOK_AHEAD + 1, 1)]
    return torch.cat([*near, *curves], 1)


class ConditionEmbedding(nn.Module):
    """Each input through its own projection, added up; a learned null where it is absent."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        sizes = (agent_dim(features), features + 2, MOTION_DIM + 1, CONTROL_DIM)
        layers = [nn.Linear(size, width) for size in sizes]
        self.null = nn.Parameter(torch.zeros(len(INPUTS), width))
        self.project = nn.ModuleList(layers)

    @torch.no_grad()
    def ignore(self, name: str) -> None:
        """Make the values of an input count for nothing: for one that training never varied,
        whose projection is still as it was drawn.
        """
        for parameter in self.project[INPUTS.index(name)].parameters():
            if parameter.ndim == 2:
                parameter.zero_()

    def forward(self, condition: Condition) -> Float[Tensor, "b t w"]:
        """What is added to the motion tokens."""
        inputs = (
            condition.agent,
            condition.interlocutor,
            condition.interlocutor_motion,
            condition.controls,
        )
        total = torch.zeros((), device=self.null.device)
        for i, (project, value) in enumerate(zip(self.project, inputs, strict=True)):
            there = condition.present[..., i : i + 1]
            total = total + there * project(value) + (1 - there) * self.null[i]
        return total
