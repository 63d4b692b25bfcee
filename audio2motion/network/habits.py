"""What each channel does next by what it has just done: a small network of its own for each.

How a brow that was raised goes on depends on the curve of that brow, frame by frame. Ninety such
curves do not fit through the layers' width; a few dozen weights a channel carry its own.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from audio2motion.network.bursts import BURSTING, KINDS, PLACES
from audio2motion.network.condition import CHUNK
from motion2video.motion import MOTION_DIM

LATELY = 2 * CHUNK
"""Frames that a habit goes by."""
_HIDDEN, _AROUND = 32, 16
_SAID = 2 * CHUNK + KINDS


class Habit(NamedTuple):
    """What is added to where a chunk's innovations lead, to the logarithm of how large they are,
    and to the logits of its kinds.
    """

    lead: Float[Tensor, "*b 5 90"]
    stir: Float[Tensor, "*b 5 90"]
    logits: Float[Tensor, "*b c k"]


class Habits(nn.Module):
    """For each bursting channel two layers, from its last LATELY frames and a few numbers that
    stand for everything else.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels, given = len(BURSTING), 2 * LATELY + _AROUND
        self.around = nn.Linear(2 * width, _AROUND)
        self.enter = nn.Parameter(torch.randn(channels, given, _HIDDEN) / math.sqrt(given))
        self.bias = nn.Parameter(torch.zeros(channels, _HIDDEN))
        self.leave = nn.Parameter(torch.zeros(channels, _HIDDEN, _SAID))

    def forward(
        self,
        lately: Float[Tensor, "*b 10 n"],
        after: Float[Tensor, "*b w"],
        now: Float[Tensor, "*b w"],
    ) -> Habit:
        """By the tokens of the two chunks before and what was new in them (`lately`, one beside the
        other), what the layers made of these (`after`), and what is heard and seen `now`.
        """
        around = self.around(torch.cat([after, now], -1)).tanh()
        curves = lately.unflatten(-1, (2, MOTION_DIM))[..., BURSTING].movedim(-1, -3)
        around = around[..., None, :].expand(*curves.shape[:-2], -1)
        given = torch.cat([curves.flatten(-2), around], -1)
        hidden = F.silu(torch.einsum("...ci,cij->...cj", given, self.enter) + self.bias)
        said = torch.einsum("...cj,cjk->...ck", hidden, self.leave)
        moved = said.new_zeros(*said.shape[:-2], MOTION_DIM, 2 * CHUNK)
        moved[..., list(PLACES), :] = said[..., list(PLACES.values()), : 2 * CHUNK]
        lead, stir = moved.transpose(-1, -2).split(CHUNK, -2)
        return Habit(lead, stir, said[..., 2 * CHUNK :])

    @torch.no_grad()
    def forget_kinds(self) -> None:
        """Have no say in which kind a chunk is: kinds that are fitted anew are others."""
        self.leave[..., 2 * CHUNK :] = 0
