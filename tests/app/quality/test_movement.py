"""Jerk, beats, keypoints, couplings and events with known answers and known failings."""

import numpy as np
import pytest

from app.quality import coupling, events, kinematics
from app.quality.activity import Roles, active, bridged, widened
from motion2video.motion import MOTION_DIM, ROTATION, channel_index


def test_jerk_of_a_cubic():
    """t^3 has the third derivative 6, whatever the rate."""
    for fps in (25.0, 50.0):
        t = np.arange(40)[:, None] / fps
        assert kinematics.jerk(t**3, fps) == pytest.approx(6)
        assert kinematics.jerk(t**2, fps) == pytest.approx(0, abs=1e-6)
    assert kinematics.jerk(np.zeros((3, 2))) == 0


def test_errors_of_keypoints():
    real = np.zeros((4, 5, 3))
    made = real.copy()
    made[:, 2] = [0, 3, 4]
    made[:, 3] = [1, 0, 0]
    assert kinematics.farthest(made, real) == pytest.approx(5)
    lively = real.copy()
    lively[::2, 0, 0] = (
        2  # half the time one away from the mean on either side: no deviation of that
    )
    assert kinematics.calmness(lively, lively) == 0
    lively[0, 0, 0] = 6
    assert kinematics.calmness(real, lively) > 0 > kinematics.calmness(lively, real)


def test_beats_of_a_pendulum_are_where_it_turns():
    seconds = np.arange(500) / 25
    found = kinematics.motion_beats(np.sin(np.pi * (seconds - 0.02))[:, None])  # at .52 ...
    inner = found[(found > 1) & (found < 19)]
    assert len(inner) == 18
    np.testing.assert_allclose(inner % 1, 0.52, atol=0.03)
    assert len(kinematics.motion_beats(np.ones((500, 1)))) == 0


def test_beat_consistency_and_its_floor():
    beats = np.arange(1, 20.0)
    assert kinematics.beat_consistency(beats, beats) == 1
    assert kinematics.beat_consistency(beats, beats + 0.3) == pytest.approx(np.exp(-0.5))
    floor = kinematics.beat_floor(beats, len(beats), 20.0)
    dense = kinematics.beat_floor(beats, 10 * len(beats), 20.0)
    assert floor < 0.75 < dense  # more beats agree more by chance
    assert np.isnan(kinematics.beat_consistency(np.zeros(0), beats))


def test_a_follower_is_found_at_its_lag():
    rng = np.random.default_rng(0)
    partner = np.stack(
        [np.convolve(x, np.ones(9) / 9, "same") for x in rng.normal(size=(2, 600))], 1
    )
    peak, lag = coupling.lagged_correlation(np.roll(partner, 15, axis=0), partner)
    assert peak > 0.99 and lag == pytest.approx(0.6)
    wrong = coupling.lagged_correlation(rng.normal(size=(600, 2)), partner)[0]
    assert wrong < 0.3
    assert coupling.lagged_correlation(np.zeros((600, 2)), partner)[0] == 0


def test_residual_correlation_is_none_for_the_truth_and_grows_with_a_wrong_partner():
    rng = np.random.default_rng(0)
    partner = rng.normal(size=(500, 3))
    real = partner + 0.1 * rng.normal(size=(500, 3))
    assert coupling.residual_pearson(real, real, partner) == 0
    assert coupling.residual_pearson(coupling.rolled(real, rng), real, partner) > 0.8
    assert coupling.pearson(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == pytest.approx(1)


def test_matching_of_events_takes_each_once():
    real = np.array([1.0, 2.0, 8.0])
    assert events.event_f1(real, real) == 1
    assert (
        events.event_f1(real + 0.4, real) == 1
    )  # the 1.4 is as near to 2 as 1.0: both are matched
    assert events.event_f1(real + 0.6, real) == pytest.approx(2 / 6)  # 1.6 with 2.0 alone
    assert events.event_f1(np.array([1.0, 1.1, 1.2]), real) == pytest.approx(2 / 6)
    assert events.event_f1(np.zeros(0), real) == 0 and np.isnan(events.event_f1(real[:0], real[:0]))


def test_chance_grows_with_density_and_is_below_the_truth():
    everywhere, real = np.ones(1500, bool), np.arange(2, 58, 4.0)
    few, many = (events.chance(n, real, everywhere) for n in (5, 30))
    assert few < many < 0.5 < events.event_f1(real, real)
    assert np.isnan(events.chance(3, real, np.zeros(1500, bool)))


def test_events_of_a_made_up_motion():
    values = np.zeros((500, MOTION_DIM), np.float32)
    values[100:112, ROTATION.start] = np.radians(6) * np.sin(np.pi * np.arange(12) / 12)
    values[200:204, channel_index("eyeBlinkLeft")] = 1
    values[300:, [channel_index("mouthSmileLeft"), channel_index("mouthSmileRight")]] = 0.8
    assert abs(events.nods(values)[0] - 106) <= 3 and len(events.nods(values)) == 1
    assert len(events.blinks(values)) == 1
    (smile,) = events.smile_onsets(values)
    assert abs(smile - 300) <= 12
    assert (events.gaze_angle(values) < events.AT_PARTNER).mean() > 0.95
    assert events.per_minute(2, 750) == 4


def test_a_look_away_begins_where_gaze_leaves_the_partner():
    """Each of ten degrees; one of three frames is none, nor is one glance back of two."""
    values = np.zeros((500, MOTION_DIM), np.float32)
    for start, end in ((100, 150), (250, 253), (300, 320), (322, 360)):
        values[start:end, ROTATION.start + 1] = np.radians(10)
    assert events.looks_away(values).tolist() == [100, 300]
    assert (events.gaze_angle(values) < events.AT_PARTNER).mean() == pytest.approx(1 - 0.222)
    values[:, channel_index("eyeLookInLeft")] = 0  # and with the eyes instead of the head
    values[:, ROTATION.start + 1] = 0
    values[400:, channel_index("eyeLookOutLeft")] = 1
    assert events.looks_away(values).tolist() == [400]
    moved = np.roll(values, 40, axis=0)
    late = events.looks_away(moved) / 25
    assert events.event_f1(late, events.looks_away(values) / 25) < 1


def test_roles():
    own = np.zeros(100, bool)
    own[20:40] = own[45:60] = True
    roles = Roles.of(own)
    assert roles.speaks[20:60].all() and roles.speaks.sum() == 40  # a pause of .2 s is bridged
    assert not roles.listens[15:65].any() and roles.listens.sum() == 50
    assert not bridged(own, 2)[42] and widened(own, 2)[18]
    assert active(np.array([0.9, 0.1]), 4).tolist() == [True, False, False, False]
    assert len(widened(own[:0], 3)) == 0
