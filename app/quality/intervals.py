"""How sure a mean is, and whether one system beats another: bootstraps over people (or clips)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weights.errors import InputError

DRAWS = 2000
LEVEL = 95.0
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Interval:
    """A mean, the interval of 95 of 100 bootstrap means, and of how many values and people."""

    mean: float
    low: float
    high: float
    count: int
    people: int

    @property
    def excludes_zero(self) -> bool:
        """Whether it lies on one side of 0, by more than numbers are rounded."""
        return self.low > _ROUNDING or self.high < -_ROUNDING


def bootstrap(values: Sequence[float], people: Sequence[str], seed: int = 0) -> Interval:
    """Of the mean of values that are not nan, each of somebody: people are drawn, not values, since
    one person's are alike. With a single person, values are drawn. A single value has no interval
    (nan), and no value no mean.

    Raises InputError where there are not as many people as values.
    """
    if len(values) != len(people):
        raise InputError(f"got {len(values)} values of {len(people)} people; wanted as many")
    x, who = np.asarray(values, float), np.asarray(people)
    known = ~np.isnan(x)
    x, who = x[known], who[known]
    if not len(x):
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    if len(x) == 1:
        return Interval(float(x[0]), float("nan"), float("nan"), 1, 1)
    names, owner = np.unique(who, return_inverse=True)
    if len(names) == 1:
        owner = np.arange(len(x))
    clusters = int(owner.max()) + 1
    sums, counts = np.bincount(owner, x, clusters), np.bincount(owner, minlength=clusters)
    drawn = np.random.default_rng(seed).integers(0, clusters, (DRAWS, clusters))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, [(100 - LEVEL) / 2, (100 + LEVEL) / 2]).tolist()
    return Interval(float(x.mean()), low, high, len(x), len(names))


def paired(
    one: Sequence[float], two: Sequence[float], people: Sequence[str], seed: int = 0
) -> Interval:
    """Of the mean difference one - two of values that belong together: what is common to both, as
    an easy clip, goes out, so that smaller differences are seen.
    """
    if len(one) != len(two):
        raise InputError(f"got {len(one)} and {len(two)} values to compare; wanted as many")
    difference = np.asarray(one, float) - np.asarray(two, float)
    return bootstrap(difference.tolist(), people, seed)
