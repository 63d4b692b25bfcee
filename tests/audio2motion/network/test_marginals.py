"""Normal scores of the face's channels, and back."""

import numpy as np
import torch

from audio2motion.gestures.style import STYLE_DIM
from audio2motion.network.condition import Condition
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.marginals import (
    SCORE_GAIN,
    SCORED,
    SCORES,
    quantiles,
    swings,
    to_scores,
    to_values,
)
from audio2motion.network.model import ModelConfig, MotionNetwork
from motion2video.motion import MOTION_DIM, ROTATION, channel_index


def lids(frames: int = 20_000) -> torch.Tensor:
    """A channel that rests at 0 in half of all frames and has a long tail; and another."""
    torch.manual_seed(0)
    drawn = torch.randn(frames, 2)
    return torch.stack([(drawn[:, 0].clamp(min=0) ** 3) / 20, drawn[:, 1].exp()], 1)


def test_values_come_back() -> None:
    values = lids()
    knots = quantiles(values)
    inside = (values < knots[:, -1]) & (values > knots[:, 0])
    back = to_values(to_scores(values, knots), knots)
    assert torch.allclose(back[inside], values[inside], atol=1e-4)


def test_scores_of_moving_values_are_normal() -> None:
    values = lids()
    scores = to_scores(values, quantiles(values))
    assert abs(float(scores[:, 1].mean())) < 0.02
    assert abs(float(scores[:, 1].std()) - 1) < 0.02
    still = values[:, 0] == 0
    assert scores[still, 0].unique().numel() == 1
    assert float(scores[still, 0][0]) < float(scores[~still, 0].min())


def test_normal_scores_give_the_values_as_often_as_they_were() -> None:
    values = lids()
    drawn = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(1))
    made = to_values(drawn, quantiles(values)).clamp(min=0)
    for share in (0.3, 0.9, 0.98):
        assert torch.allclose(
            made.quantile(share, 0), values.quantile(share, 0), rtol=0.1, atol=0.02
        )
    assert abs(float((made[:, 0] < 1e-4).float().mean()) - 0.5) < 0.1


def test_scores_grow_with_values_beyond_the_last_quantile_in_values_too() -> None:
    knots = quantiles(lids())
    far = to_values(torch.tensor([[2.5, 2.5], [3.0, 3.0]]), knots)
    assert (far[1] > far[0]).all()
    assert torch.allclose(far[0], knots[:, -1])
    assert float(SCORES[-1]) == 2.5


def test_the_jaw_and_the_head_have_no_scores() -> None:
    assert not set(SCORED) & {channel_index("jawOpen"), *range(ROTATION.start, MOTION_DIM), 0}
    assert {channel_index("eyeBlinkLeft"), channel_index("mouthUpperUpLeft")} <= set(SCORED)


def test_what_is_read_of_lips_is_told_as_scores() -> None:
    """A network whose reader says a constant: its token is the score of that value."""
    network = MotionNetwork(ModelConfig(width=16, layers=1, heads=1, hidden=16, speech_features=4))
    values = torch.rand(2000, MOTION_DIM) ** 4
    network.knots.copy_(quantiles(values[:, SCORED]))
    network.reader[-1, :-1] = 0.3
    sizes = (len(network.reader) - 1, 1, 1, 1, 4)
    lips, _ = network.read_lips(Condition(*(torch.zeros(1, 3, size) for size in sizes)))
    pucker, jaw = (SPEECH_CHANNELS.index(channel_index(n)) for n in ("mouthPucker", "jawOpen"))
    share = (values[:, channel_index("mouthPucker")] < 0.3).float().mean()
    assert abs(torch.special.ndtr(lips[0, 0, pucker]) - share) < 0.02
    assert torch.isclose(lips[0, 0, jaw], torch.tensor(0.3))


def test_a_style_swings_scores_less_than_values() -> None:
    style = np.ones(STYLE_DIM, np.float32)
    found = swings(style)
    blink = channel_index("eyeBlinkLeft")
    assert np.isclose(np.log(found[blink]), SCORE_GAIN * np.log(found[ROTATION.start]))


def test_the_network_gives_back_what_it_normalised() -> None:
    network = MotionNetwork(ModelConfig(width=16, layers=1, heads=1, hidden=16, speech_features=4))
    torch.manual_seed(0)
    values = torch.rand(2000, MOTION_DIM)
    network.knots.copy_(quantiles(values[:, SCORED]))
    tokens = network.normalise(values)
    assert not torch.allclose(tokens[:, SCORED], values[:, SCORED], atol=0.1)
    assert (network.denormalise(tokens) - values).abs().quantile(0.99) < 0.02
