"""The closed form of what is to be expected of a mixture of going on and bursts."""

import math

import pytest
import torch

from audio2motion.network.bursts import KINDS, posterior_mean

MEANS = torch.tensor([[0.0, 3.0, -2.0]])
DEVIATIONS = torch.tensor([[0.2, 0.5, 0.4]])
LOGITS = torch.tensor([[0.0, -3.0, -4.0]])


def expected(z_t: float, t: float) -> float:
    return float(posterior_mean(torch.tensor([z_t]), t, MEANS, DEVIATIONS, LOGITS))


def test_of_pure_noise_it_is_the_mixtures_mean():
    weights = LOGITS.softmax(-1)
    assert expected(1.7, 0.0) == pytest.approx(float((weights * MEANS).sum()), abs=1e-6)


def test_without_noise_it_is_what_is_seen():
    for z in (-2.1, 0.1, 3.3):
        assert expected(z, 0.9999) == pytest.approx(z, abs=2e-3)


def test_one_kind_alone_is_the_gaussian_posterior():
    t, z, s = 0.6, 0.9, 0.7
    alike = torch.full((1, KINDS), 0.4)
    found = posterior_mean(
        torch.tensor([z]), t, alike, torch.full((1, KINDS), s), torch.zeros(1, KINDS)
    )
    kept = t * s * s / (t * t * s * s + (1 - t) ** 2)
    assert float(found) == pytest.approx(0.4 + kept * (z - t * 0.4), abs=1e-6)


def test_it_is_the_mean_of_samples_that_look_the_same():
    generator = torch.Generator().manual_seed(0)
    count, t = 400_000, 0.6
    kind = torch.multinomial(LOGITS.softmax(-1), count, True, generator=generator)[0]
    noise = torch.randn(2, count, generator=generator)
    z_1 = MEANS[0, kind] + DEVIATIONS[0, kind] * noise[0]
    z_t = t * z_1 + (1 - t) * noise[1]
    for z in (-1.0, 0.0, 0.8, 1.2, 1.8):
        near = (z_t - z).abs() < 0.03
        error = float(z_1[near].std()) / math.sqrt(int(near.sum()))
        assert expected(z, t) == pytest.approx(float(z_1[near].mean()), abs=4 * error + 0.02)


def test_a_burst_is_told_from_going_on_within_little():
    """What a smooth network would have to learn: nearly a step."""
    t = 0.7
    assert abs(expected(0.7, t)) < 0.5
    assert expected(1.6, t) > 2.0


def test_every_place_may_have_its_own_time():
    z = torch.tensor([[0.5], [1.9]])
    t = torch.tensor([[0.2], [0.8]])
    both = posterior_mean(z, t, MEANS.expand(2, 1, KINDS), DEVIATIONS, LOGITS.expand(2, 1, KINDS))
    assert float(both[0]) == pytest.approx(expected(0.5, 0.2), abs=1e-6)
    assert float(both[1]) == pytest.approx(expected(1.9, 0.8), abs=1e-6)
