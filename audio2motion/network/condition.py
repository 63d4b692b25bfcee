"""What a motion is conditioned on: two voices, the interlocutor's motion, and controls."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from audio2motion.gestures.controls import CONTROL_DIM
from motion2video.motion import MOTION_DIM, ROTATION, channel_index

CHUNK = 5
"""Frames that are made together."""
LOOK_AHEAD = 5
"""Frames of the agent's own voice after frame t that frame t may use (200 ms)."""
FEATURE_OFFSETS = (1, 3, 5)
INPUTS = ("agent", "interlocutor", "interlocutor_motion", "controls")
GLANCE = 25
"""Frames before a frame, of the other's head and smile, that it is told of by themselves (1 s): so
late nods are returned.
"""
_SMILES = [channel_index(f"mouthSmile{side}") for side in ("Left", "Right")]
_GLANCED = len(range(*ROTATION.indices(MOTION_DIM))) + 1
SEEN_DIM = MOTION_DIM + 1 + GLANCE * _GLANCED
"""Numbers that describe what is seen of the other at one frame."""
_WATCH = 64


@dataclass(frozen=True, eq=False)
class Condition:
    """Everything that frame t may depend on besides the motion before it, frame-aligned: the last
    axes are those of `agent_window`, features with energy and activity, `seen_window`, and
    Controls.vector.

    `present` [b, t, 4] says which of INPUTS there is: 0 replaces it by a learned null.
    """

    agent: Float[Tensor, "b t a"]
    interlocutor: Float[Tensor, "b t i"]
    interlocutor_motion: Float[Tensor, "b t m"]
    controls: Float[Tensor, "b t c"]
    present: Float[Tensor, "b t 4"]

    def without(self, name: str) -> "Condition":
        """The same with one input taken away."""
        present = self.present.clone()
        present[..., INPUTS.index(name)] = 0
        return Condition(
            self.agent, self.interlocutor, self.interlocutor_motion, self.controls, present
        )

    def to(self, device: torch.device) -> "Condition":
        """The same on a device."""
        return Condition(
            self.agent.to(device),
            self.interlocutor.to(device),
            self.interlocutor_motion.to(device),
            self.controls.to(device),
            self.present.to(device),
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


def seen_window(tokens: Float[Tensor, "n 91"]) -> Float[Tensor, "t m"]:
    """Per frame the other's motion, standardised, with a flag whether it is seen, and how far head
    and smile were from there in each of the GLANCE frames before; t = n - GLANCE. Where either was
    not seen that is 0.
    """
    seen = tokens[:, -1:]
    shown = torch.cat([tokens[:, ROTATION], tokens[:, _SMILES].mean(1, keepdim=True)], 1)
    before, known = shown.unfold(0, GLANCE, 1)[:-1], seen.unfold(0, GLANCE, 1)[:-1]
    now = tokens[GLANCE:]
    off = (before - shown[GLANCE:, :, None]) * known * seen[GLANCE:, :, None]
    return torch.cat([now, off.flatten(1)], 1)


class ConditionEmbedding(nn.Module):
    """Each input through its own projection, added up; a learned null where it is absent. What was
    seen of the other in the last second is watched by a layer of its own.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        sizes = (agent_dim(features), features + 2, MOTION_DIM + 1, CONTROL_DIM)
        layers = [nn.Linear(size, width) for size in sizes]
        self.null = nn.Parameter(torch.zeros(len(INPUTS), width))
        self.project = nn.ModuleList(layers)
        self.glance = nn.Linear(GLANCE * _GLANCED, _WATCH)
        self.answer = nn.Linear(_WATCH, width, bias=False)
        nn.init.zeros_(self.answer.weight)

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
            condition.interlocutor_motion[..., : MOTION_DIM + 1],
            condition.controls,
        )
        total = torch.zeros((), device=self.null.device)
        for i, (project, value) in enumerate(zip(self.project, inputs, strict=True)):
            there = condition.present[..., i : i + 1]
            total = total + there * project(value) + (1 - there) * self.null[i]
        there = condition.present[..., [INPUTS.index("interlocutor_motion")]]
        glances = condition.interlocutor_motion[..., MOTION_DIM + 1 :]
        return total + there * self.answer(F.silu(self.glance(glances)))
