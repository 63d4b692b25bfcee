"""Laws on what the network makes: nothing jumps farther, and nothing goes farther out, than people.

They hold whatever the network says. Tokens are those of MotionNetwork; `pose` [90] is 1 for the
rotation and translation of the head.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.network.source import expanded

FARTHEST, REST = 2.8, 0.8
"""Where tokens end, in deviations or normal scores, and a resting head's."""
FAR_OUT = 0.35
"""From this share of that on they are kept from going farther."""
MOST_FLOWN = 4.5
"""Farthest that what flows ends: innovations of 45 times their reach."""


def innovations(
    z: Float[Tensor, "*b 5 90"],
    reach: Float[Tensor, "*#b 5 90"],
    companded: Float[Tensor, "90"],
    most: Float[Tensor, "*#b 90"],
) -> Float[Tensor, "*b 5 90"]:
    """What has flowed, of which some channels are `companded`, to innovations, which are no larger
    than `most`: without this law a head that nods by what it has nodded would not end.
    """
    new = expanded(z.clamp(-MOST_FLOWN, MOST_FLOWN), companded) * reach
    end = most[..., None, :]
    return torch.minimum(torch.maximum(new, -end), end)


def kept(
    origin: Float[Tensor, "*b 5 90"],
    moved: Float[Tensor, "*b 5 90"],
    silent: Float[Tensor, "*#b 5"],
    pose: Float[Tensor, "90"],
) -> Float[Tensor, "*b 5 90"]:
    """Tokens that go no farther out than people do: the farther out already, the less of what leads
    farther is left, and at the end nothing. So whatever the network says, the linear rule brings
    everything back: the next chunk goes on from here. While both are `silent` for long, 0..1,
    heads rest near the middle: without this law they rest as far aside as they can.
    """
    near = silent[..., None] * pose
    end = FARTHEST + near * (REST - FARTHEST)
    step = moved - origin
    room = ((end - origin.abs()) / (end * (1 - FAR_OUT))).clamp(0, 1)
    outward = step * origin.sign() > 0
    tokens = origin + torch.where(outward, room * step, step)
    return tokens.clamp(-end, end)
