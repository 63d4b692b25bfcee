"""Does one person's motion go with another's? Each figure needs its floor: the same with partners
of other conversations (`rolled`).
"""

import numpy as np
from jaxtyping import Float

from motion2video.motion import FPS

TLCC_SECONDS = 2.0


def pearson(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
    """Pearson's r; 0 where one does not move."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-9 else 0.0


def residual_pearson(
    made: Float[np.ndarray, "n d"],
    real: Float[np.ndarray, "n d"],
    partner: Float[np.ndarray, "n d"],
) -> float:
    """rPCC: |r(real, partner) - r(made, partner)|, r over all frames and dimensions at once (L2L's
    evaluation). It mixes dimensions and is near 0 for much that is wrong: read `lagged_correlation`
    too.
    """
    whole = partner.ravel()
    return abs(pearson(real.ravel(), whole) - pearson(made.ravel(), whole))


def lagged_correlation(
    listener: Float[np.ndarray, "n d"],
    partner: Float[np.ndarray, "n d"],
    fps: float = FPS,
    seconds: float = TLCC_SECONDS,
) -> tuple[float, float]:
    """TLCC (REACT 2024): the highest mean over dimensions of Pearson's r at lags up to `seconds`,
    and the lag in seconds at which it is; positive: the listener is later.
    """
    reach = min(int(seconds * fps - 1), len(listener) - 3)
    if reach < 0:
        return 0.0, 0.0
    found = {}
    for lag in range(-reach, reach + 1):
        later = listener[max(0, lag) : len(listener) + min(0, lag)]
        before = partner[max(0, -lag) : len(partner) - max(0, lag)]
        x, y = later - later.mean(0), before - before.mean(0)
        size = np.sqrt((x**2).sum(0) * (y**2).sum(0))
        moving = size > 1e-9
        r = np.where(moving, (x * y).sum(0) / np.where(moving, size, 1), 0)
        found[lag] = float(r.mean())
    best = max(found, key=lambda lag: found[lag])
    return found[best], best / fps


def rolled(partner: Float[np.ndarray, "n d"], rng: np.random.Generator) -> np.ndarray:
    """The partner at another time of the conversation, in a circle, at least a tenth of it away:
    what is common to both by their rates alone is still common, what answers is not.
    """
    count = len(partner)
    least = max(1, count // 10)
    return np.roll(partner, int(rng.integers(least, max(least + 1, count - least))), axis=0)
