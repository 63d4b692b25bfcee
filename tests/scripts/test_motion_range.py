"""How far made motion goes, fitted to people."""

import numpy as np
import pytest
import torch

from audio2motion.gestures.style import PART_CHANNELS, STYLE_PARTS, TYPICAL
from audio2motion.hearing.audio import SAMPLE_RATE, Dyad, Waveform
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.generator import MotionGenerator
from audio2motion.network.marginals import LIP_SHAPES
from audio2motion.network.source import swells
from motion2video.motion import MOTION_DIM, channel_index
from scripts.train.motion_range import (
    LONGEST,
    SHORTEST_STRIDE,
    apart,
    less_aside,
    longer,
    median_quantiles,
    tokens_of,
)

SQUINT, YAW = channel_index("eyeSquintLeft"), 53


def swinging(much: float) -> np.ndarray:
    """Motion whose parts swing `much` as far as the median person's."""
    values = np.zeros((400, MOTION_DIM), np.float32)
    sign = np.where(np.arange(400) % 2, 1.0, -1.0)
    for channels, typical in zip(PART_CHANNELS, TYPICAL, strict=True):
        values[:, channels] = (much * typical * sign)[:, None]
    return values


def test_what_swings_farther_than_the_median_person_strides_less_and_nothing_more() -> None:
    one = np.ones(MOTION_DIM, np.float32)
    assert np.allclose(longer(one, [swinging(1.0)]), 1)
    found = longer(one, [swinging(0.2), swinging(1.25), swinging(3.0)])
    assert np.isclose(found[YAW], 0.8)
    assert found[YAW] < found[SQUINT] < 1, "scores shrink less than their values"
    assert np.allclose(found[list(SPEECH_CHANNELS)], 1), "lips follow the voice"
    assert longer(found, [swinging(1 / 1.1)])[YAW] == pytest.approx(0.88), (
        "a step too far goes back"
    )
    assert longer(one, [swinging(0.01)]).max() == np.float32(LONGEST)
    assert longer(one, [swinging(100.0)]).min() == np.float32(SHORTEST_STRIDE)
    assert len(PART_CHANNELS) == len(STYLE_PARTS) - 1


def test_quantiles_are_the_median_persons_and_alike_on_both_sides() -> None:
    dice = np.random.default_rng(0)
    takes = [dice.normal(size=(500, MOTION_DIM)).astype(np.float32) * s for s in (0.1, 1.0, 9.0)]
    found = median_quantiles(takes)
    assert 0.8 < found.std(1).mean() / median_quantiles(takes[1:2]).std(1).mean() < 1.2
    left, right = (LIP_SHAPES.index(channel_index(f"mouthPress{s}")) for s in ("Left", "Right"))
    assert np.array_equal(found[left], found[right])
    assert np.all(np.diff(apart(np.zeros((2, 5))), axis=1) > 0)


def test_lips_go_as_far_as_people_and_the_rest_is_left_alone() -> None:
    network = MotionGenerator.load().network
    lip, others = LIP_SHAPES[3], [i for i in range(MOTION_DIM) if i not in LIP_SHAPES]
    network.lips_made[:] = torch.linspace(-0.5, 0.5, 21)
    network.lips_real[:] = torch.linspace(-1, 1, 21) ** 2
    tokens = torch.full((5, MOTION_DIM), 0.25)
    shown = network.shown(tokens)
    assert torch.allclose(shown[:, lip], torch.tensor(0.25), atol=0.01)
    assert torch.equal(shown[:, others], network.denormalise(tokens)[:, others])


def test_tokens_are_those_of_the_stream() -> None:
    generator = MotionGenerator.load()
    noise = np.random.default_rng(0).normal(size=2 * SAMPLE_RATE).astype(np.float32) * 0.1
    tokens, _ = tokens_of(generator, Dyad(Waveform(noise)), seed=1)
    made = generator.generate(Dyad(Waveform(noise)), seed=1).values
    assert tokens.shape == (45, MOTION_DIM)
    assert np.corrcoef(tokens[:, YAW], made[:45, YAW])[0, 1] > 0.99


def test_what_leads_aside_is_taken_off() -> None:
    """A walk that comes back by a twentieth a chunk, and is led on by as much as it must not be."""
    drive = np.tile(swells().numpy().T, (MOTION_DIM, 1, 1))
    drift, led_on, push = np.zeros(MOTION_DIM), 0.02, float(drive[YAW, -1, 0])
    for _ in range(20):
        resting = (led_on - push * drift) / 0.05
        drift = less_aside(drift, resting, drive)
    assert np.isclose(push * drift[YAW], led_on, rtol=1e-3)
    assert not drift[SQUINT], "of heads alone"
