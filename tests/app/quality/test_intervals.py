"""Bootstraps: as wide as theory says, over people, and paired ones see what others cannot."""

import numpy as np
import pytest

from app.quality.intervals import bootstrap, paired
from weights.errors import InputError


def test_as_wide_as_the_standard_error():
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap(values.tolist(), [str(i) for i in range(400)])
    assert found.mean == pytest.approx(values.mean()) and (found.count, found.people) == (400, 400)
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)
    assert found.excludes_zero and not bootstrap((values - 5).tolist(), ["a"] * 400).excludes_zero


def test_clips_of_one_person_count_as_one():
    rng = np.random.default_rng(0)
    person = rng.normal(size=10).repeat(50)
    values, names = person + 0.01 * rng.normal(size=500), [str(i // 50) for i in range(500)]
    alone = bootstrap(values.tolist(), [str(i) for i in range(500)])
    together = bootstrap(values.tolist(), names)
    assert together.high - together.low > 4 * (alone.high - alone.low)


def test_what_is_not_known_is_left_out():
    nan = float("nan")
    assert bootstrap([1.0, nan, 3.0], ["a", "b", "c"]).count == 2
    single = bootstrap([1.0], ["a"])
    assert single.mean == 1 and np.isnan(single.low) and not single.excludes_zero
    assert not paired([1.0 + 1e-15] * 9, [1.0] * 9, list("abcdefghi")).excludes_zero
    nothing = bootstrap([nan], ["a"])
    assert nothing.count == 0 and np.isnan(nothing.mean)
    with pytest.raises(InputError, match="as many"):
        bootstrap([1.0], [])


def test_pairs_see_a_small_difference_of_clips_that_differ_much():
    rng = np.random.default_rng(0)
    base = rng.normal(0, 10, 60)
    one, two = base + 0.3 + 0.2 * rng.normal(size=60), base
    names = [str(i) for i in range(60)]
    assert paired(one.tolist(), two.tolist(), names).excludes_zero
    apart = [bootstrap(x.tolist(), names) for x in (one, two)]
    assert apart[0].low < apart[1].high  # unpaired intervals overlap
