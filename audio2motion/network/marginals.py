"""Values of the face to normal scores and back, channel by channel.

Brows, lids, smiles and lips are not normally distributed: they rest at 0 most of the time, and a
blink is rare and deep. On normal scores a Gaussian source already is distributed like the face, and
what is left to learn is what depends on what.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.gestures.style import gains
from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.motion import EXPRESSION, channel_index

SCORES = torch.linspace(-2.5, 2.5, 21)
"""Normal scores of the quantiles that are kept of every channel."""
_UNSCORED = {EXPRESSION.start, channel_index("jawOpen")}
SCORED = tuple(i for i in range(EXPRESSION.start, EXPRESSION.stop) if i not in _UNSCORED)
"""The channels that have scores: all of the face but the neutral one and the jaw, which hardly
rests while somebody talks.
"""
LIP_SHAPES = tuple(i for i in SPEECH_CHANNELS if i in SCORED)
"""What speech moves of them."""
SCORE_GAIN = 0.35
"""How much of a style's gain, in logarithms, a channel's scores have: as measured on takes."""


def swings(style: Float[np.ndarray, "*b s"]) -> Float[np.ndarray, "*b 90"]:
    """How much farther than the median talker's the tokens of a style swing."""
    found = gains(style)
    found[..., SCORED] **= SCORE_GAIN
    return found


def quantiles(values: Float[Tensor, "n c"]) -> Float[Tensor, "c k"]:
    """Of every channel, those at SCORES."""
    shares = 0.5 * (1 + torch.erf(SCORES / 2**0.5))
    ordered = values.sort(0).values
    at = shares * (len(values) - 1)
    low = at.floor().long()
    part = (at - low)[:, None]
    high = (low + 1).clamp(max=len(values) - 1)
    return (ordered[low] * (1 - part) + ordered[high] * part).T.contiguous()


def to_scores(values: Float[Tensor, "*b c"], knots: Float[Tensor, "c k"]) -> Float[Tensor, "*b c"]:
    """The scores of values; a value that many frames have gets the middle of theirs."""
    flat = values.reshape(-1, values.shape[-1]).T.contiguous()
    found = [_between(flat, knots, right) for right in (False, True)]
    return (0.5 * (found[0] + found[1])).T.reshape(values.shape)


def to_values(scores: Float[Tensor, "*b c"], knots: Float[Tensor, "c k"]) -> Float[Tensor, "*b c"]:
    """The values of scores; beyond the last quantile they go on in a straight line."""
    grid = SCORES.to(scores)
    step = grid[1] - grid[0]
    at = ((scores - grid[0]) / step).floor().long().clamp(0, len(grid) - 2)
    channel = torch.arange(knots.shape[0], device=scores.device)
    low, high = knots[channel, at], knots[channel, at + 1]
    return low + (high - low) * (scores - grid[at]) / step


def _between(flat: Float[Tensor, "c n"], knots: Float[Tensor, "c k"], right: bool) -> Tensor:
    grid = SCORES.to(flat)
    at = (torch.searchsorted(knots, flat, right=right) - 1).clamp(0, len(grid) - 2)
    low, high = knots.gather(1, at), knots.gather(1, at + 1)
    part = ((flat - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return grid[at] + part * (grid[1] - grid[0])
