"""Fit what motion is made from (audio2motion/network/source.py) to real motion."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from audio2motion.network.marginals import swings
from audio2motion.network.source import HEAD, PACES, YOKED, correlations
from motion2video.motion import MOTION_DIM

LAGS = 50
HEAD_PACE = 2.0
"""A head has no part in processes faster than this, in frames: it has mass."""
MIXED = 0.98
STEADY = (2 / np.pi) ** 0.5
"""Mean absolute speed of a Gaussian process, in deviations of its speed. People move now and then:
as far, they are slower in the mean, and it is the mean that is matched.
"""
SPEED_WEIGHT = 5.0
"""Of the mean speed, beside LAGS correlations."""


def fit(
    curves: list[Float[np.ndarray, "T 90"]],
    known: list[Float[np.ndarray, "T 90"]],
    styles: list[Float[np.ndarray, "s"]],
) -> tuple[Float[np.ndarray, "k 90"], Float[np.ndarray, "90 90"], float]:
    """What the processes of a channel are scaled by, how white noise is mixed over channels, and by
    how much the logarithm of a head's bursts deviates: such that the source swings as far, as fast
    and as much together as the curves within each item, `known` where it is 1, when they are taken
    to move like the median person. Medians over items: a few who are restless do not make everybody
    so.
    """
    together, spans, curves_of, changes = np.zeros((MOTION_DIM, MOTION_DIM)), [], [], []
    bursts: list[float] = []
    for values, weight, style in zip(curves, known, styles, strict=True):
        there = weight > 0
        count = there.sum(0)
        mean = (values * there).sum(0) / np.maximum(count, 1)
        rest = (values - mean) * there / swings(style)
        bursts.append(burst_of(rest[:, HEAD][(there[:, HEAD]).all(1)]))
        spans.append(np.where(count > LAGS, np.sqrt((rest**2).sum(0) / count.clip(1)), np.nan))
        rest = rest / np.nanmax([spans[-1], np.full(MOTION_DIM, 1e-3)], axis=0)
        curves_of.append(np.full((LAGS, MOTION_DIM), np.nan))
        for lag in range(min(LAGS, len(rest))):
            stop = len(rest) - lag
            pairs = (there[lag:] & there[:stop]).sum(0)
            likeness = (rest[lag:] * rest[:stop]).sum(0) / np.maximum(pairs, 1)
            curves_of[-1][lag] = np.where(pairs > LAGS, likeness, np.nan)
        together += rest.T @ rest
        moves = np.abs(np.diff(rest, axis=0)) * there[1:] * there[:-1]
        speed = moves.sum(0) / np.maximum((there[1:] & there[:-1]).sum(0), 1)
        changes.append(np.where(count > LAGS, 0.5 * (speed / STEADY) ** 2, np.nan))
    found = np.nan_to_num(np.nanmedian(np.stack(curves_of), 0))
    change = np.nan_to_num(np.nanmedian(np.stack(changes), 0)).clip(1e-4)
    burst = float(np.median(bursts))
    change[HEAD] *= np.exp(burst**2)  # for all that slower in the mean
    table = correlations(LAGS)
    shares = np.zeros((len(PACES), MOTION_DIM))
    heads = range(HEAD.start, HEAD.stop)
    for channel in range(MOTION_DIM):
        allowed = [i for i, p in enumerate(PACES) if channel not in heads or p >= HEAD_PACE]
        curve = found[:, channel] / max(found[0, channel], 1e-9)
        pace = SPEED_WEIGHT * (1 - table[1, allowed]) / change[channel]
        rows = np.concatenate([table[:, allowed], pace[None]])
        part, _ = nnls(rows, np.append(curve, SPEED_WEIGHT))
        shares[allowed, channel] = part / max(part.sum(), 1e-9)
    swing = np.nan_to_num(np.nanmedian(np.stack(spans), 0))
    spread = np.sqrt(np.diag(together)).clip(1e-9)
    likeness = together / spread / spread[:, None]
    np.fill_diagonal(likeness, 1)
    likeness = MIXED * likeness + (1 - MIXED) * np.eye(MOTION_DIM)
    swings_of, mix = np.sqrt(shares) * swing, np.linalg.cholesky(likeness)
    for left, right in YOKED:
        swings_of[:, [left, right]] = swings_of[:, [left, right]].mean(1, keepdims=True)
        mix[right] = mix[left]
    return swings_of, mix, burst


def burst_of(rest: Float[np.ndarray, "T 6"]) -> float:
    """The deviation of a head's logarithm of speed that its kurtosis speaks of, beyond that of a
    Gaussian process (3): such a product has 3 exp(4 deviation^2).
    """
    if len(rest) < LAGS:
        return 0.0
    speed = np.diff(rest[:, :3], axis=0)
    kurtosis = (speed**4).mean(0) / np.maximum((speed**2).mean(0) ** 2, 1e-18)
    return float(np.sqrt(np.log(np.maximum(np.median(kurtosis) / 3, 1)) / 4))
