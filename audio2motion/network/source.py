"""What the flow to the next chunk of motion starts from: where the last chunk goes on to.

Every channel has a linear rule from the five frames before to the next five, and what that rule
leaves open within the chunk, both fitted to people (scripts/train/motion_source.py). The flow works
on that rest alone, in units of its deviation: innovations u, white noise at t = 0. A chunk thus
begins where the one before it ended, at its speed, and the network says what is new.

Faces rest and burst: a blink, a saccade or a smile is an innovation of ten to forty deviations of
those at rest. What flows is therefore companded: u = sinh(z) of every channel but the lips', so
that what is made has people's tails and not a Gaussian's.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.network.condition import CHUNK
from motion2video.motion import MOTION_DIM, channel_index
from motion2video.network.flow import frame_noise

YOKED = tuple(
    (channel_index(f"eye{one}Left"), channel_index(f"eye{other}Right"))
    for one, other in (
        *(("Blink", "Blink"), ("Squint", "Squint"), ("LookUp", "LookUp")),
        *(("LookDown", "LookDown"), ("LookOut", "LookIn"), ("LookIn", "LookOut")),
    )
)
"""Channels of both eyes that move as one (Hering's law)."""


def continuation(
    before: Float[Tensor, "*b 5 c"], recall: Float[Tensor, "c 5 5"]
) -> Float[Tensor, "*b 5 c"]:
    """The next chunk by the linear rule of every channel."""
    return torch.einsum("cij,...jc->...ic", recall, before)


def coloured(u: Float[Tensor, "*b 5 c"], drive: Float[Tensor, "c 5 5"]) -> Float[Tensor, "*b 5 c"]:
    """Innovations of unit variance to how far a chunk is off its continuation: frame by frame, each
    of which depends on innovations up to its own; of faces and heads one is a push of the whole
    chunk, the others what is left (`swells`).
    """
    return torch.einsum("cij,...jc->...ic", drive, u)


def swells() -> Float[Tensor, "5 5"]:
    """The cosine transform of a chunk, rows from slow to fast: who nods or smiles is pushed for a
    while, and frames whose pushes are drawn one by one would hardly begin a nod.
    """
    frame = torch.arange(CHUNK) + 0.5
    waves = torch.cos(math.pi * frame * torch.arange(CHUNK)[:, None] / CHUNK)
    return waves / waves.norm(dim=1, keepdim=True)


def whitened(x: Float[Tensor, "*b 5 c"], drive: Float[Tensor, "c 5 5"]) -> Float[Tensor, "*b 5 c"]:
    """The inverse of `coloured`."""
    return torch.einsum("cij,...jc->...ic", torch.linalg.inv(drive), x)


def companded(u: Float[Tensor, "*b c"], channels: Float[Tensor, "c"]) -> Float[Tensor, "*b c"]:
    """Innovations with their tails drawn in, of the `channels` that are 1: asinh, which is u itself
    near 0 and its logarithm far out.
    """
    return torch.where(channels > 0, torch.asinh(u), u)


def expanded(z: Float[Tensor, "*b c"], channels: Float[Tensor, "c"]) -> Float[Tensor, "*b c"]:
    """The inverse of `companded`."""
    return torch.where(channels > 0, torch.sinh(z), z)


def white(seed: int, frame: int, count: int) -> Float[Tensor, "1 t 90"]:
    """The white noise of a stream's frames from `frame` on."""
    return frame_noise(seed, frame, count, (MOTION_DIM,))[None]


def yoke() -> Float[Tensor, "90 90"]:
    """Rows to rows whose YOKED columns are equal, their mean."""
    matrix = torch.eye(MOTION_DIM)
    for pair in YOKED:
        matrix[torch.tensor(pair)[:, None], torch.tensor(pair)] = 0.5
    return matrix
