"""What flows where faces rest and burst: each channel is a mixture of going on and two bursts.

A blink, a saccade or a raised brow is seldom and large. Of innovations z_1 that are with weights
w_k from Gaussians N(m_k, s_k^2), the flow's z_t = t z_1 + (1 - t) z_0 tells in closed form which it
was and what z_1 is to be expected (the posterior of Gaussian mixture flow matching, Chen et al.
2025). The network says weights and means, by all that it sees; that z_t decides between them
sharply it need not learn.
"""

from jaxtyping import Float
from torch import Tensor

KINDS = 3
"""Going on, a burst upwards, a burst downwards."""
LEAST_VARIANCE = 1e-4


def posterior_mean(
    z_t: Float[Tensor, "*b c"],
    t: Float[Tensor, "*#b 1"] | float,
    means: Float[Tensor, "*b c 3"],
    deviations: Float[Tensor, "c 3"],
    logits: Float[Tensor, "*b c 3"],
) -> Float[Tensor, "*b c"]:
    """E[z_1 | z_t], of a mixture with weights softmax(logits)."""
    time = t[..., None] if isinstance(t, Tensor) else t
    own = deviations.square()
    variance = (time * time * own + (1 - time) ** 2).clamp(min=LEAST_VARIANCE)
    off = z_t[..., None] - time * means
    likely = logits - 0.5 * (off.square() / variance + variance.log())
    expected = means + time * own / variance * off
    return (likely.softmax(-1) * expected).sum(-1)
