"""Fit the kinds of chunks (audio2motion/network/bursts.py) to what people do."""

import warnings

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from audio2motion.network.bursts import BURSTING, KINDS, LEAST_OWN
from audio2motion.network.model import MotionNetwork
from audio2motion.network.source import whitened
from scripts.data.motion_items import Item
from scripts.train.motion_batches import FAR, before, chunked, draw, learned, swing_of

DRAWS, STRETCHES = 60, 16
"""How many batches are looked at, of how many stretches."""
ROUNDS, SEED = 60, 0
LEAST_ODDS = 1e-6


@torch.no_grad()
def set_kinds(
    network: MotionNetwork, items: list[Item], mirror: Tensor | None, draws: int = DRAWS
) -> None:
    """The kinds of every bursting channel: mixtures of Gaussians with full covariances, by
    expectation and maximisation, of what is new in chunks that training draws.
    """
    parts = [_new(network, items, step, mirror) for step in range(draws)]
    new, known = (np.concatenate(x) for x in zip(*parts, strict=True))
    kinds = network.kinds
    for place in range(len(BURSTING)):
        seen = new[known[:, place], :, place]
        if len(seen) <= KINDS:
            continue
        sizes, axes, spreads, odds = fit_kinds(seen)
        kinds.sizes[place] = torch.from_numpy(sizes)
        kinds.axes[place] = torch.from_numpy(axes)
        kinds.spreads[place] = torch.from_numpy(spreads)
        kinds.odds[place] = torch.from_numpy(odds)


def fit_kinds(
    z: Float[np.ndarray, "n 5"],
) -> tuple[
    Float[np.ndarray, "k 5"],
    Float[np.ndarray, "k 5 5"],
    Float[np.ndarray, "k 5"],
    Float[np.ndarray, "k"],
]:
    """Means, axes in columns, logarithms of deviations along them, and of weights."""
    mixture = GaussianMixture(KINDS, reg_covar=LEAST_OWN**2, max_iter=ROUNDS, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # training goes on from there
        mixture.fit(z)
    variances, axes = np.linalg.eigh(mixture.covariances_)
    found = mixture.means_, axes, 0.5 * np.log(variances), np.log(mixture.weights_ + LEAST_ODDS)
    means, axes, spreads, odds = (x.astype(np.float32) for x in found)
    return means, axes, spreads, odds


def _new(
    network: MotionNetwork, items: list[Item], step: int, mirror: Tensor | None
) -> tuple[Float[np.ndarray, "n 5 c"], Bool[np.ndarray, "n c"]]:
    """What is new in the chunks of a batch, in the median person's deviations, as it flows; and of
    which channels all of a chunk is known.
    """
    batch = draw(items, network, step, STRETCHES, SEED, mirror)
    swing = swing_of(network, batch.condition)[:, None]
    heard = network.heard_alone(chunked(network.embed(batch.condition)))
    chunks = chunked(batch.values)
    origin = network.origin(before(chunks), before(heard), heard)
    new = whitened(chunks - origin, network.drive).clamp(-FAR, FAR)
    flows = network.companded(new / swing)[..., BURSTING].flatten(0, 1)
    known = chunked(batch.weight * learned(batch.weight))[..., BURSTING].amin(2).flatten(0, 1) > 0
    return flows.numpy(), known.numpy()
