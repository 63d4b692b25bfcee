"""A seed is somebody: a manner of its own, as far off the median as people are."""

import numpy as np
import pytest

from audio2motion.gestures.controls import Controls
from audio2motion.gestures.style import (
    CONVERSING,
    FARTHEST_MANNER,
    STYLE_DIM,
    STYLES,
    drawn_manner,
)
from scripts.train.motion_range import manners_of

INDEPENDENT = np.eye(STYLE_DIM, dtype=np.float32)


def test_a_manner_is_a_function_of_its_seed() -> None:
    assert drawn_manner(INDEPENDENT, 1.0, 7) == drawn_manner(INDEPENDENT, 1.0, 7)
    assert drawn_manner(INDEPENDENT, 1.0, 7) != drawn_manner(INDEPENDENT, 1.0, 8)
    assert not np.any(drawn_manner(INDEPENDENT, 0.0, 7))
    assert not np.any(drawn_manner(0 * INDEPENDENT, 1.0, 7))
    assert drawn_manner(INDEPENDENT, 1.0, 0) == STYLES["neutral"]


def test_manners_lie_around_the_median_and_never_far_out() -> None:
    drawn = np.array([drawn_manner(INDEPENDENT, 0.6, seed) for seed in range(1, 2001)])
    assert np.abs(drawn.mean(0)).max() < 0.06
    assert np.allclose(drawn.std(0), 0.5, atol=0.03), "0.6, but for what is cut off"
    assert np.abs(drawn).max() == pytest.approx(FARTHEST_MANNER)


def test_who_moves_much_in_one_part_does_in_others_as_people_do() -> None:
    rng = np.random.default_rng(0)
    lively, own = rng.normal(size=(300, 1)), rng.normal(size=(300, STYLE_DIM))
    people = 1.2 * (0.8 * lively + 0.6 * own)
    likeness = manners_of(people)
    drawn = np.array([drawn_manner(likeness, 0.3, seed) for seed in range(1, 2001)]) / 0.3
    alike = np.corrcoef(drawn.T)[np.triu_indices(STYLE_DIM, 1)]
    wanted = np.corrcoef(people.T)[np.triu_indices(STYLE_DIM, 1)]
    assert 0.6 * wanted.mean() < alike.mean() < wanted.mean()
    assert np.allclose(drawn.std(0), people.std(0), rtol=0.15)


@pytest.mark.parametrize("conversation", [False, True])
def test_a_style_that_is_asked_for_is_nobodys_manner(conversation: bool) -> None:
    manner = drawn_manner(INDEPENDENT, 1.0, 3)
    asked = Controls(style=STYLES["warm"])
    assert asked.style_in(conversation, manner) == STYLES["warm"]
    usual = np.array(CONVERSING if conversation else STYLES["neutral"])
    assert np.allclose(Controls().style_in(conversation, manner), usual + manner)
    told = Controls().vector(conversation, manner)[13:-1].numpy()
    assert np.allclose(told, usual + manner, atol=1e-6)
