"""What flows where faces rest and burst: each channel is a mixture of going on and of bursts.

A blink, a saccade or a raised brow is seldom and large. Of innovations z_1 that are with weights
w_k from Gaussians N(m_k, s_k^2), the flow's z_t = t z_1 + (1 - t) z_0 tells in closed form which it
was and what z_1 is to be expected (the posterior of Gaussian mixture flow matching, Chen et al.
2025). The network says weights and means, by all that it sees; that z_t decides between them
sharply it need not learn. And what it says holds for a while: on the way to its next evaluation the
closed form tells for every z_t, at no cost, where the flow goes on to.
"""

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

KINDS = 5
"""Going on; a burst upwards, a burst downwards; and the same, far: of lids that stir while somebody
talks, a blink would be the end of a tail.
"""
LEAST_VARIANCE = 1e-4
LEAST_OWN = 0.05
"""Least deviation of a kind when likelihood is asked: of a face at rest it would have no bound."""


class Said(NamedTuple):
    """What the network says of z_1 in one evaluation: the mixture of what bursts, around its first
    kind the guess of what does not, and what is to be added to the mean of both.
    """

    means: Float[Tensor, "*b c k"]
    logits: Float[Tensor, "*b c k"]
    correction: Float[Tensor, "*b c"]


def unlikelihood(
    z_1: Float[Tensor, "*b c"],
    z_t: Float[Tensor, "*b c"],
    t: Float[Tensor, "*#b 1"],
    said: Said,
    deviations: Float[Tensor, "c k"],
) -> Float[Tensor, "*b c"]:
    """The negative logarithm of the posterior's density at z_1, in nats (but for what no weight
    changes: the noise's own density).
    """
    time, own = t[..., None], deviations.clamp(min=LEAST_OWN).square()
    seen = time * time * own + (1 - time) ** 2

    def density(off: Tensor, variance: Tensor) -> Tensor:
        likely = -0.5 * (off.square() / variance + variance.log() + math.log(2 * math.pi))
        return (said.logits.log_softmax(-1) + likely).logsumexp(-1)

    before = density(z_1[..., None] - said.means, own)
    return density(z_t[..., None] - time * said.means, seen) - before


def posterior_mean(
    z_t: Float[Tensor, "*b c"],
    t: Float[Tensor, "*#b 1"] | float,
    means: Float[Tensor, "*b c k"],
    deviations: Float[Tensor, "c k"],
    logits: Float[Tensor, "*b c k"],
) -> Float[Tensor, "*b c"]:
    """E[z_1 | z_t], of a mixture with weights softmax(logits)."""
    time = t[..., None] if isinstance(t, Tensor) else t
    own = deviations.square()
    variance = (time * time * own + (1 - time) ** 2).clamp(min=LEAST_VARIANCE)
    off = z_t[..., None] - time * means
    likely = logits - 0.5 * (off.square() / variance + variance.log())
    expected = means + time * own / variance * off
    return (likely.softmax(-1) * expected).sum(-1)
