"""What flows where faces rest and burst: a chunk of a channel is one of a few kinds of moves.

A blink, a saccade or a raised brow is seldom and large, and its frames belong together: it begins
at one of them and goes on. So a chunk's five innovations z_1 of a channel are one of KINDS
Gaussians N(m_k, S_k), each with axes of its own: what goes on, brows that set in at the third
frame, heads that are pushed down. Of the flow's z_t = t z_1 + (1 - t) z_0 the closed form tells
which kind it was and what z_1 is to be expected (the posterior of Gaussian mixture flow matching,
Chen et al. 2025). The network says how likely each kind is, by all that it sees; that z_t decides
between them sharply it need not learn. And what it says holds for a while: on the way to its next
evaluation the closed form tells for every z_t, at no cost, where the flow goes on to.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from audio2motion.network.condition import CHUNK
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.source import YOKED
from motion2video.motion import MOTION_DIM

KINDS = 20
_LEFT_OF = {right: left for left, right in YOKED}
BURSTING = tuple(i for i in range(1, MOTION_DIM) if i not in SPEECH_CHANNELS and i not in _LEFT_OF)
"""The channels whose chunks are of kinds: all but the lips'; of both eyes, which move as one, the
left one.
"""
PLACES = {i: BURSTING.index(_LEFT_OF.get(i, i)) for i in sorted({*BURSTING, *_LEFT_OF})}
"""Of each channel that bursts its place in BURSTING."""
LEAST_VARIANCE = 1e-4
LEAST_OWN = 0.05
"""Least deviation of a kind when likelihood is asked: of a face at rest it would have no bound."""


class Moment(NamedTuple):
    """What a chunk begins with, before anything flows: where its innovations lead and how large
    they are, and of its kinds the logits, as far as known, and the means.
    """

    lead: Float[Tensor, "*b 5 90"]
    reach: Float[Tensor, "*b 5 90"]
    logits: Float[Tensor, "*b c k"]
    means: Float[Tensor, "*b c k 5"]


class Said(NamedTuple):
    """What the network says of z_1 in one evaluation: of lips a guess, of the rest which kind each
    chunk is, and what is to be added to the mean of both.
    """

    guess: Float[Tensor, "*b t 90"]
    logits: Float[Tensor, "*b n c k"]
    correction: Float[Tensor, "*b t 90"]


class Kinds(nn.Module):
    """The kinds of chunks of every bursting channel. How far a kind goes (`sizes`) is in the median
    person's innovations, whatever the moment: a head at rest that begins to nod nods as far as any.
    How alike its chunks are (`spreads`, logarithms of deviations along `axes`) is by the moment.
    """

    axes: Tensor

    def __init__(self) -> None:
        super().__init__()
        shape = (len(BURSTING), KINDS, CHUNK)
        self.sizes = nn.Parameter(0.1 * torch.randn(shape))
        self.spreads = nn.Parameter(torch.full(shape, math.log(0.8)))
        self.odds = nn.Parameter(torch.zeros(shape[:2]))
        self.register_buffer("axes", torch.eye(CHUNK).repeat(*shape[:2], 1, 1))

    def means(self, stirred: Float[Tensor, "*b 5 90"]) -> Float[Tensor, "*b c k 5"]:
        """Where each kind is, along its axes, when innovations are `stirred` times as large as the
        median person's.
        """
        stirs = stirred[..., BURSTING].transpose(-1, -2)[..., None, :]
        return torch.einsum(
            "...cki,ckij->...ckj", torch.asinh(self.sizes.sinh() / stirs), self.axes
        )

    def along(self, z: Float[Tensor, "*b 5 90"]) -> Float[Tensor, "*b c k 5"]:
        """Innovations along each kind's axes."""
        return torch.einsum("...ic,ckij->...ckj", z[..., BURSTING], self.axes)

    def unlikelihood(
        self,
        z_1: Float[Tensor, "*b 5 90"],
        z_t: Float[Tensor, "*b 5 90"],
        t: Float[Tensor, "*b"],
        logits: Float[Tensor, "*b c k"],
        means: Float[Tensor, "*b c k 5"],
    ) -> Float[Tensor, "*b c"]:
        """The negative logarithm of the posterior's density at z_1, in nats a chunk (but for what
        no weight changes: the noise's own density).
        """
        time = t[..., None, None, None]
        own = self.spreads.exp().clamp(min=LEAST_OWN).square()
        seen = time * time * own + (1 - time) ** 2

        def density(off: Tensor, variance: Tensor) -> Tensor:
            likely = off.square() / variance + variance.log() + math.log(2 * math.pi)
            return (logits.log_softmax(-1) - 0.5 * likely.sum(-1)).logsumexp(-1)

        before = density(self.along(z_1) - means, own)
        return density(self.along(z_t) - time * means, seen) - before

    def expected(
        self,
        z_t: Float[Tensor, "*b 5 90"],
        t: Float[Tensor, "*b"] | float,
        logits: Float[Tensor, "*#b c k"],
        means: Float[Tensor, "*#b c k 5"],
    ) -> Float[Tensor, "*b 5 90"]:
        """E[z_1 | z_t], of the mixture with weights softmax(logits); 0 of what does not burst."""
        time = t[..., None, None, None] if isinstance(t, Tensor) else t
        own = self.spreads.exp().square()
        variance = (time * time * own + (1 - time) ** 2).clamp(min=LEAST_VARIANCE)
        off = self.along(z_t) - time * means
        likely = logits - 0.5 * (off.square() / variance + variance.log()).sum(-1)
        each = likely.softmax(-1)[..., None] * (means + time * own / variance * off)
        found = torch.einsum("...ckj,ckij->...ic", each, self.axes)
        whole = torch.zeros_like(z_t)
        whole[..., list(PLACES)] = found[..., list(PLACES.values())]
        return whole
