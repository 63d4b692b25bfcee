"""Distances and spreads against values that can be worked out by hand."""

import numpy as np
import pytest

from app.quality import distributions as d
from weights.errors import InputError


def exact(mean: list[float], spread: list[float], count: int = 64) -> np.ndarray:
    """Frames whose sample mean and covariance (diagonal) are exactly these."""
    rng = np.random.default_rng(len(mean))
    x = rng.normal(size=(count, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x * np.array(spread) + np.array(mean)


def test_frechet_of_two_gaussians():
    """(3^2 + 4^2) + (2 - 1)^2 + (1 - 3)^2."""
    a, b = exact([3.0, 4.0], [2.0, 1.0]), exact([0.0, 0.0], [1.0, 3.0])
    assert d.frechet(a, b) == pytest.approx(25 + 1 + 4)
    assert d.frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert d.frechet(a, b) == pytest.approx(d.frechet(b, a))


def test_frechet_of_fewer_frames_than_dimensions():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 40))
    assert d.frechet(x, x + 2) == pytest.approx(4 * 40)
    with pytest.raises(InputError, match="1 and 5 frames"):
        d.frechet(x[:1], x)


def test_paired_frechet_sees_a_partner_of_another_time():
    """The motion is the partner's; rolled, both are distributed as before, but not together."""
    rng = np.random.default_rng(0)
    partner = rng.normal(size=(400, 3))
    wrong = np.roll(partner, 100, axis=0)
    assert d.paired_frechet(partner, partner, partner) == pytest.approx(0, abs=1e-6)
    assert d.frechet(wrong, partner) < 1e-6 < 1 < d.paired_frechet(wrong, partner, partner)


def test_spreads():
    frames = np.array([[0.0, 0.0], [2.0, 4.0]])
    assert d.variation(frames) == pytest.approx((1 + 4) / 2)
    assert d.diversity(frames) == pytest.approx(np.sqrt(20))
    assert d.squared_error(frames, frames + 3) == pytest.approx(9)
    many = np.repeat(frames, 100, 0)
    assert 0.3 * np.sqrt(20) < d.diversity(many) < 0.7 * np.sqrt(20)
    with pytest.raises(InputError, match="one frame"):
        d.diversity(frames[:1])


def test_sts_of_a_ramp_beside_a_standstill():
    """Four steps of 0.5 in two dimensions: sqrt(8 * .25 / .1)."""
    ramp = np.arange(5)[:, None] * np.full((1, 2), 0.5)
    assert d.sts(ramp, np.zeros((5, 2))) == pytest.approx(np.sqrt(20))
    assert d.sts(ramp, ramp + 7) == pytest.approx(0)


def test_shannon_index_is_the_entropy_of_the_clusters():
    real = np.repeat(np.array([[0.0], [10.0], [20.0], [30.0]]), 20, 0)
    assert d.shannon_index(real, real, 4) == pytest.approx(2.0)
    assert d.shannon_index(real[:40], real, 4) == pytest.approx(1.0)
    assert d.shannon_index(real[:20], real, 4) == 0
    assert d.shannon_index(real, real, 9) == pytest.approx(2.0)  # of four frames, many times each
    with pytest.raises(InputError, match="clusters"):
        d.shannon_index(real, real[:3], 4)
