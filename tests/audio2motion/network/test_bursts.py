"""The closed form of what is to be expected of a mixture of going on and bursts."""

import math

import pytest
import torch

from audio2motion.network.bursts import KINDS, Said, posterior_mean, unlikelihood
from audio2motion.network.sampling import SOLVERS
from motion2video.network.flow import Velocity, time_grid

MEANS = torch.tensor([[0.0, 3.0, -2.0, 6.0, -6.0]])
DEVIATIONS = torch.tensor([[0.2, 0.5, 0.4, 0.5, 0.5]])
LOGITS = torch.tensor([[0.0, -3.0, -4.0, -8.0, -8.0]])


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


def said() -> Said:
    return Said(MEANS, LOGITS, torch.zeros(1))


def test_without_having_seen_anything_it_is_the_mixtures_density():
    z = torch.tensor([[-1.8], [0.05], [2.6]])
    kinds = torch.distributions.Normal(MEANS, DEVIATIONS)
    wanted = (LOGITS.log_softmax(-1) + kinds.log_prob(z)).logsumexp(-1)
    found = unlikelihood(z[:, 0, None], torch.zeros(3, 1), torch.zeros(3, 1), said(), DEVIATIONS)
    noise = -0.5 * math.log(2 * math.pi)  # the density of what is seen, 0, whatever comes
    assert torch.allclose(noise - found[:, 0], wanted, atol=1e-5)


def test_what_was_seen_makes_it_a_density_too():
    """With the noise's own density, which no weight changes, it sums to 1 over what may come."""
    grid = torch.linspace(-8, 8, 16_001)[:, None]
    for z_t, t in ((0.3, 0.2), (1.9, 0.6), (-1.2, 0.8)):
        seen, time = torch.full_like(grid, z_t), torch.full_like(grid, t)
        noise = torch.distributions.Normal(t * grid, 1 - t).log_prob(seen)
        density = (noise - unlikelihood(grid, seen, time, said(), DEVIATIONS)).exp()
        assert float(density.sum()) * 1e-3 == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("solver", "keeps"), [("mixture", True), ("adams", False)])
def test_four_evaluations_keep_what_bursts(solver: str, keeps: bool):
    """A burst in seven: the closed form between evaluations makes them as often as they are."""
    means = torch.tensor([[0.0, 3.0, -3.0, 6.0, -6.0]])
    logits = torch.tensor([[0.0, -1.8, -9.0, -20.0, -20.0]])
    rows = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0))

    def say(x: torch.Tensor, t: torch.Tensor) -> Velocity:
        def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            ours, odds = (table.expand(len(x), 1, KINDS) for table in (means, logits))
            expected = posterior_mean(x, float(t), ours, DEVIATIONS, odds)
            return (expected - x) / (1 - t)

        return velocity

    made = SOLVERS[solver](say, rows, time_grid(4))
    wanted = float(logits.softmax(-1)[0, 1])
    near = float(((made - 3).abs() < 1.5).float().mean())
    assert (abs(near - wanted) < 0.01) == keeps
    assert float((made - 3).abs().amin()) < 0.2
