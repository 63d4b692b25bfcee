"""Each channel goes on by what it has itself just done."""

import pytest
import torch

from audio2motion.network.bursts import BURSTING, KINDS, PLACES
from audio2motion.network.condition import CHUNK
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.habits import LATELY, Habits
from motion2video.motion import MOTION_DIM

WIDTH = 8


@pytest.fixture(scope="module")
def habits() -> Habits:
    torch.manual_seed(0)
    habits = Habits(WIDTH).requires_grad_(False)
    torch.nn.init.normal_(habits.leave)
    return habits


def given() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, LATELY, 2 * MOTION_DIM), (2, WIDTH), (2, WIDTH))
    lately, after, now = (torch.randn(shape, generator=generator) for shape in shapes)
    return lately, after, now


@pytest.mark.parametrize("frame", [0, LATELY - 1])
@pytest.mark.parametrize("new", [False, True])
def test_a_channels_own_curve_moves_it_and_no_other(habits: Habits, frame: int, new: bool) -> None:
    lately, after, now = given()
    before = habits(lately, after, now)
    channel = BURSTING[4]
    lately[:, frame, channel + MOTION_DIM * new] += 1
    found = habits(lately, after, now)
    changed = (found.logits != before.logits).any(-1).any(0)
    assert changed.nonzero()[:, 0].tolist() == [PLACES[channel]]
    for was, now_is in ((before.lead, found.lead), (before.stir, found.stir)):
        assert was.shape == (2, CHUNK, MOTION_DIM)
        assert (was != now_is).any(1).any(0).nonzero()[:, 0].tolist() == [channel]


def test_what_is_around_moves_all_of_them_but_no_lips(habits: Habits) -> None:
    lately, after, now = given()
    before = habits(lately, after, now)
    found = habits(lately, after, now + 1)
    assert (found.logits != before.logits).any(-1).all()
    assert not found.lead[..., list(SPEECH_CHANNELS)].any()
    assert not found.stir[..., list(SPEECH_CHANNELS)].any()


def test_nothing_learned_says_nothing_and_kinds_can_be_forgotten(habits: Habits) -> None:
    assert not any(part.any() for part in Habits(WIDTH)(*given()))
    other = Habits(WIDTH).requires_grad_(False)
    other.load_state_dict(habits.state_dict())
    other.forget_kinds()
    found = other(*given())
    assert found.logits.shape == (2, len(BURSTING), KINDS) and not found.logits.any()
    assert torch.equal(found.lead, habits(*given()).lead)
