"""The motion network: the cached path is the parallel one, and nothing looks ahead."""

import numpy as np
import pytest
import torch

from audio2motion.behaviour.events import EventState, Scene, blink_curve, step_events
from audio2motion.network.condition import (
    CHUNK,
    CONTROL_DIM,
    INPUTS,
    Condition,
    agent_dim,
    agent_window,
)
from audio2motion.network.model import Last, ModelConfig, MotionNetwork, correlate, training_mask
from motion2video.motion import EXPRESSION_NAMES, MOTION_DIM
from tests.unchecked import unchecked

SMALL = ModelConfig(width=32, layers=2, heads=2, hidden=48, history=10, speech_features=8)
FRAMES = 30


@pytest.fixture(scope="module")
def network() -> MotionNetwork:
    torch.manual_seed(0)
    network = MotionNetwork(SMALL).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def conditions(frames: int = FRAMES, seed: int = 0) -> Condition:
    generator = torch.Generator().manual_seed(seed)

    def normal(size: int) -> torch.Tensor:
        return torch.randn(1, frames, size, generator=generator)

    return Condition(
        normal(agent_dim(8)),
        normal(10),
        normal(MOTION_DIM + 1),
        normal(CONTROL_DIM),
        torch.ones(1, frames, len(INPUTS)),
    )


def test_cache_gives_what_the_whole_sequence_gives(network: MotionNetwork) -> None:
    torch.manual_seed(1)
    past, x_t = torch.randn(2, 1, FRAMES, MOTION_DIM)
    embedded = network.embed(conditions())
    t = torch.full((1, FRAMES), 0.25)
    whole = network.clean_estimate(x_t, t, past, embedded, embedded, torch.tensor([False]))
    cache = network.empty_cache()
    for start in range(0, FRAMES, CHUNK):
        here = slice(start, start + CHUNK)
        v, _ = network.velocity(x_t[:, here], 0.25, embedded[:, here], network.past(cache))
        clean = x_t[:, here] + 0.75 * v
        assert torch.allclose(clean, whole[:, here], atol=1e-4), start
        cache = network.commit(past[:, here], embedded[:, here], cache)
    assert cache.filled == SMALL.history


def test_a_chunk_begins_with_the_last_one_committed(network: MotionNetwork) -> None:
    torch.manual_seed(3)
    past, x_0 = torch.randn(2, 1, FRAMES, MOTION_DIM)
    embedded = network.embed(conditions())
    cache = together = network.empty_cache()
    for start in range(CHUNK, FRAMES, CHUNK):
        here, before = slice(start, start + CHUNK), slice(start - CHUNK, start)
        cache = network.commit(past[:, before], embedded[:, before], cache)
        apart, _ = network.velocity(x_0[:, here], 0.0, embedded[:, here], network.past(cache))
        last = Last(past[:, before], embedded[:, before])
        rows, context = x_0[:, here].expand(2, -1, -1), embedded[:, here].expand(2, -1, -1)
        both, first = network.past(together, CHUNK, CHUNK), network.first_modulation()
        found, made = network.velocity(rows, 0.0, context, both, first, last)
        together = together.followed_by(made, CHUNK)
        assert torch.allclose(found, apart.expand(2, -1, -1), atol=1e-4), start
        assert torch.allclose(together.keys, cache.keys, atol=1e-4)
        assert torch.allclose(together.values, cache.values, atol=1e-4)
        assert together.filled == cache.filled


def test_mask_is_causal_and_bounded() -> None:
    mask = training_mask(20, 10, torch.device("cpu"))
    clean, noisy = mask[:20], mask[20:]
    assert not clean[:, 20:].any()
    assert noisy[12, :20].nonzero()[:, 0].tolist() == list(range(10))
    assert noisy[12, 20:].nonzero()[:, 0].tolist() == [10, 11, 12]
    assert clean[17].nonzero()[:, 0].tolist() == list(range(5, 18))


def test_frames_of_a_chunk_do_not_see_later_ones(network: MotionNetwork) -> None:
    torch.manual_seed(2)
    x = torch.randn(1, CHUNK, MOTION_DIM)
    embedded = network.embed(conditions(CHUNK))
    cache = network.empty_cache()
    before, _ = network.velocity(x, 0.0, embedded, network.past(cache))
    x[:, 3:] += 1
    after, _ = network.velocity(x, 0.0, embedded, network.past(cache))
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3], after[:, 3])


@pytest.mark.parametrize("name", INPUTS)
def test_absent_input_cannot_matter(network: MotionNetwork, name: str) -> None:
    one, two = conditions(seed=1).without(name), conditions(seed=1).without(name)
    field = {"agent": one.agent, "interlocutor": one.interlocutor}.get(name)
    field = one.interlocutor_motion if name == "interlocutor_motion" else field
    field = one.controls if field is None else field
    field += 1
    assert torch.equal(network.embed(one), network.embed(two))
    assert not torch.equal(network.embed(conditions(seed=1)), network.embed(two))


def test_ignored_input_keeps_its_presence_but_not_its_values() -> None:
    embedding = MotionNetwork(SMALL).condition
    one, two = conditions(seed=1), conditions(seed=1)
    two.controls.mul_(3)
    assert not torch.equal(embedding(one), embedding(two))
    embedding.ignore("controls")
    assert torch.equal(embedding(one), embedding(two))


def test_smooth_noise_keeps_its_variance() -> None:
    noise = torch.randn(4000, CHUNK, 3, generator=torch.Generator().manual_seed(0))
    smooth = correlate(noise, 0.8)
    assert torch.allclose(smooth.var((0, 2)), torch.ones(CHUNK), atol=0.06)
    neighbours = (smooth[:, 1:] * smooth[:, :-1]).mean()
    assert abs(float(neighbours) - 0.8) < 0.05
    noise[:, 3:] = 0
    assert torch.equal(correlate(noise, 0.8)[:, :3], smooth[:, :3])


def test_agent_window_reaches_ahead() -> None:
    features = torch.arange(12.0)[:, None]
    window = agent_window(features, torch.zeros(12), torch.arange(12.0))
    assert window.shape == (7, 3 + 12)
    assert window[2, :3].tolist() == [3, 5, 7]
    assert window[2, -6:].tolist() == [2, 3, 4, 5, 6, 7]


def test_blink_closes_faster_than_it_opens() -> None:
    ms = np.arange(0, 320, 1.0)
    curve = np.array([blink_curve(m, 90.0, 40.0, 170.0) for m in ms.tolist()])
    assert curve.max() == 1.0
    down, up = ms[curve >= 0.5][0], ms[curve >= 0.5][-1]
    assert 30 < down < 60
    assert 180 < up < 230
    assert curve[0] == curve[-1] == 0


@pytest.mark.parametrize(("speaks", "low", "high"), [(False, 8, 26), (True, 15, 40)])
def test_blink_rates_are_human(speaks: bool, low: float, high: float) -> None:
    minutes = 5
    state, previous, starts = EventState(), -1.0, []
    with unchecked():
        for frame in range(minutes * 1500):
            state, _ = step_events(state, 3, frame, Scene(speaks, not speaks))
            if state.eyes.blink_age >= 0 and previous < 0:
                starts.append(frame)
            previous = state.eyes.blink_age
    assert low < len(starts) / minutes < high
    intervals = np.diff(starts) / 25
    assert intervals.std() / intervals.mean() > 0.35
    assert intervals.min() >= 0.25


def test_gaze_goes_where_it_is_asked() -> None:
    state = EventState()
    out = np.zeros(MOTION_DIM, np.float32)
    for frame in range(10):
        state, out = step_events(state, 0, frame, Scene(True, False, gaze=(16.0, 0.0)))
    assert 0.4 < out[EXPRESSION_NAMES.index("eyeLookOutLeft")] < 0.6
    assert out[EXPRESSION_NAMES.index("eyeLookInLeft")] == 0
    assert state.eyes.head[0] > 0
