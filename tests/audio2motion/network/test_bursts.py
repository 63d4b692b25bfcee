"""The closed form of what is to be expected of a mixture of kinds of chunks."""

import math

import pytest
import torch

from audio2motion.network.bursts import BURSTING, KINDS, PLACES, Kinds
from audio2motion.network.condition import CHUNK
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.sampling import SOLVERS
from audio2motion.network.source import YOKED
from motion2video.motion import MOTION_DIM
from motion2video.network.flow import Velocity, time_grid

CHANNEL = BURSTING[3]
ONES = torch.ones(1, CHUNK, MOTION_DIM)


@pytest.fixture(scope="module")
def kinds() -> Kinds:
    """Of CHANNEL two kinds that count: going on, and what sets in at the third frame."""
    torch.manual_seed(0)
    kinds = Kinds().requires_grad_(False)
    kinds.axes.copy_(torch.linalg.qr(torch.randn_like(kinds.axes))[0])
    kinds.sizes[3] = 0.0
    kinds.sizes[3, 1] = torch.tensor([0.0, 0.0, 3.0, 2.0, 1.0])
    kinds.spreads[3] = math.log(0.2)
    kinds.spreads[3, 1, 0] = math.log(0.7)
    kinds.odds[3] = -20.0
    kinds.odds[3, :2] = torch.tensor([0.0, -1.8])
    return kinds


def drawn(kinds: Kinds, count: int) -> torch.Tensor:
    """Chunks of CHANNEL as they are by its kinds, [count, 5]."""
    kind = torch.multinomial(kinds.odds[3].softmax(-1), count, True)
    own = kinds.spreads[3, kind].exp() * torch.randn(count, CHUNK)
    return kinds.sizes[3, kind] + torch.einsum("nj,nij->ni", own, kinds.axes[3, kind])


def whole(z: torch.Tensor) -> torch.Tensor:
    """[n, 5] of CHANNEL as [n, 5, 90]."""
    out = torch.zeros(*z.shape, MOTION_DIM)
    out[..., CHANNEL] = z
    return out


def expected(kinds: Kinds, z: torch.Tensor, t: float) -> torch.Tensor:
    return kinds.expected(whole(z), t, kinds.odds, kinds.means(ONES))[..., CHANNEL]


def test_every_channel_has_a_place_and_both_eyes_one() -> None:
    assert set(PLACES) == set(range(1, MOTION_DIM)) - set(SPEECH_CHANNELS)
    assert all(PLACES[left] == PLACES[right] for left, right in YOKED)
    assert sorted(set(PLACES.values())) == list(range(len(BURSTING)))


def test_of_pure_noise_it_is_the_mixtures_mean(kinds: Kinds) -> None:
    weights = kinds.odds[3].softmax(-1)
    found = expected(kinds, torch.randn(1, CHUNK), 0.0)
    assert torch.allclose(found[0], weights @ kinds.sizes[3], atol=1e-5)


def test_without_noise_it_is_what_is_seen(kinds: Kinds) -> None:
    z = drawn(kinds, 20)
    assert torch.allclose(expected(kinds, z, 0.9999), z, atol=2e-3)


def test_it_is_the_mean_of_samples_that_look_the_same(kinds: Kinds) -> None:
    torch.manual_seed(1)
    t = 0.6
    z_1 = drawn(kinds, 40_000)
    z_t = t * z_1 + (1 - t) * torch.randn_like(z_1)
    found = expected(kinds, z_t, t)
    assert float((z_1 - found).mean(0).abs().max()) < 1e-2
    burst = found[:, 2] > 1.5
    for like in (burst, ~burst, found[:, 2].sub(1.0).abs() < 0.5):
        error = (z_1 - found)[like]
        standard = error.std(0) / math.sqrt(int(like.sum()))
        assert (error.mean(0).abs() < 4 * standard + 1e-2).all()


def test_frames_of_a_burst_belong_together(kinds: Kinds) -> None:
    """A large third frame alone tells that the fourth and fifth are large."""
    z = torch.zeros(2, CHUNK)
    z[1, 2] = 1.8
    still, burst = expected(kinds, z, 0.6)
    assert still[3:].abs().max() < 0.1
    assert burst[3] > 1.2 and burst[4] > 0.6


def test_a_head_at_rest_goes_as_far_as_any(kinds: Kinds) -> None:
    """Sizes are the median person's innovations, however small those of the moment are."""
    for stirred in (0.2, 1.0, 3.0):
        along = kinds.means(stirred * ONES)[0, 3, 1]
        z = torch.einsum("ij,j->i", kinds.axes[3, 1], along)
        assert torch.allclose(stirred * z.sinh(), kinds.sizes[3, 1].sinh(), rtol=1e-4, atol=1e-4)


def test_without_having_seen_anything_it_is_the_mixtures_density(kinds: Kinds) -> None:
    z, none = drawn(kinds, 9), torch.zeros(9, CHUNK)
    each = []
    for kind in range(KINDS):
        axes, own = kinds.axes[3, kind], kinds.spreads[3, kind].exp()
        spread = axes @ torch.diag(own.square()) @ axes.T
        each.append(
            torch.distributions.MultivariateNormal(kinds.sizes[3, kind], spread).log_prob(z)
        )
    wanted = (kinds.odds[3].log_softmax(-1) + torch.stack(each, -1)).logsumexp(-1)
    logits = kinds.odds.expand(9, -1, -1)
    means = kinds.means(ONES).expand(9, -1, -1, -1)
    found = kinds.unlikelihood(whole(z), whole(none), torch.zeros(9), logits, means)[:, 3]
    noise = -0.5 * CHUNK * math.log(2 * math.pi)  # the density of what is seen, 0, whatever comes
    assert torch.allclose(noise - found, wanted, atol=1e-3)


def test_what_was_seen_makes_it_a_density_too(kinds: Kinds) -> None:
    """With the noise's own density, which no weight changes, it is 1 in the mean over what may
    come, by samples of the prior: E[p(z_1 | z_t) / p(z_1)] = 1.
    """
    torch.manual_seed(2)
    count = 10_000
    z, z_t = drawn(kinds, count), drawn(kinds, 1).mul(0.5).expand(count, -1)
    logits = kinds.odds.expand(count, -1, -1)
    means = kinds.means(ONES).expand(count, -1, -1, -1)

    def unlikely(t: float) -> torch.Tensor:
        time = torch.full((count,), t)
        return kinds.unlikelihood(whole(z), whole(z_t), time, logits, means)[:, 3]

    noise = torch.distributions.Normal(0.5 * z, 0.5).log_prob(z_t).sum(-1)
    at_first = torch.distributions.Normal(0.0, 1.0).log_prob(z_t).sum(-1)
    posterior, prior = noise - unlikely(0.5), at_first - unlikely(0.0)
    assert float((posterior - prior).exp().mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("solver", "keeps"), [("mixture", True), ("adams", False)])
def test_four_evaluations_keep_what_bursts(kinds: Kinds, solver: str, keeps: bool) -> None:
    """A burst in seven: the closed form between evaluations makes them as often as they are."""
    torch.manual_seed(3)
    means = kinds.means(ONES)

    def say(x: torch.Tensor, t: torch.Tensor) -> Velocity:
        def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            found = kinds.expected(whole(x), float(t), kinds.odds, means)[..., CHANNEL]
            return (found - x) / (1 - t).clamp(min=0.05)

        return velocity

    made = SOLVERS[solver](say, torch.randn(5_000, CHUNK), time_grid(4))
    wanted = float(kinds.odds[3].softmax(-1)[1])
    near = float(((made[:, 2] - 3).abs() < 1.5).float().mean())
    assert (abs(near - wanted) < 0.014) == keeps
