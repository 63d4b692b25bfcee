"""The directed gain finds a coupling that was put in, and none where there is none."""

import numpy as np
import pytest

from app.quality.directed_gain import Case, directed_gain

SHIFTS = 12


def made(coupling: float, count: int = 8, frames: int = 1500) -> list[Case]:
    """Autoregressive listeners, of whom the first curve follows the voice 10 frames later."""
    cases = []
    for index in range(count):
        rng = np.random.default_rng([3, index])
        voice = rng.normal(size=(frames, 2))
        voice = np.stack([np.convolve(v, np.ones(20) / 4.5, "same") for v in voice.T], 1)
        noise, target = rng.normal(size=(frames, 8)) * 0.3, np.zeros((frames, 8))
        for t in range(1, frames):
            target[t] = 0.9 * target[t - 1] + noise[t]
            if t > 10:
                target[t, 0] += coupling * voice[t - 10, 0]
        drivers = {"voice": voice, "motion": rng.normal(size=(frames, 2))}
        mask = rng.random(frames) < 0.8
        cases.append(Case(str(index % 4), target, rng.normal(size=(frames, 2)), drivers, mask))
    return cases


@pytest.fixture(scope="module")
def coupled() -> list[Case]:
    return made(0.15)


@pytest.mark.slow
def test_coupling_is_found_for_its_own_partner_only(coupled: list[Case]) -> None:
    matched = directed_gain(coupled, "voice", shifts=SHIFTS)
    assert matched.low > 0
    mismatched = directed_gain(coupled, "voice", mismatched=True, shifts=SHIFTS)
    assert not mismatched.is_positive
    assert mismatched.net < 0.2 * matched.net


def test_a_driver_without_effect_gains_nothing(coupled: list[Case]) -> None:
    gain = directed_gain(coupled, "motion", shifts=SHIFTS)
    assert abs(gain.net) < 1e-3
    assert gain.low <= 0


def test_a_listener_who_does_not_hear_gains_nothing(coupled: list[Case]) -> None:
    gain = directed_gain(made(0.0), "voice", reference=coupled, shifts=SHIFTS)
    assert gain.low <= 0 <= gain.high
