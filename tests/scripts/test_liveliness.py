"""What of motion is told from real at a glance: how jagged it is, how long anything stays."""

import numpy as np
import pytest

from motion2video.motion import MOTION_DIM
from scripts.evaluate.liveliness import GROUPS, held, jagged


def take(curve: np.ndarray, group: str = "smile") -> np.ndarray:
    values = np.zeros((len(curve), MOTION_DIM))
    values[:, GROUPS[group]] = curve[:, None]
    return values


def test_a_spike_is_jagged_and_a_slow_rise_is_not() -> None:
    ramp = np.concatenate([np.linspace(0, 1, 26), np.ones(24)])
    spike = np.zeros(50)
    spike[20] = 1
    found = [jagged([take(curve)], GROUPS["smile"]) for curve in (ramp, spike)]
    assert found[0] < 0.1 and found[1] == pytest.approx(2, rel=0.05)
    assert jagged([take(np.zeros(50))], GROUPS["smile"]) == 0


def test_how_long_a_smile_stays_is_by_moment_and_not_by_count() -> None:
    curve = np.zeros(200)
    curve[10:85] = 0.5  # three seconds
    curve[100:105] = 0.5  # a fifth of one
    assert held([take(curve)], GROUPS["smile"]) == pytest.approx((75**2 + 5**2) / 80 / 25)
    assert held([take(curve), take(np.zeros(40))], GROUPS["smile"]) == held(
        [take(curve)], GROUPS["smile"]
    )
    assert held([take(np.full(50, 0.1))], GROUPS["smile"]) == 0
    assert held([take(np.full(50, 0.2))], GROUPS["smile"]) == pytest.approx(2), "to the take's end"
