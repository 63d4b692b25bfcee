"""How much wider scores swing in people than they are sampled."""

import numpy as np

from audio2motion.hearing.audio import SAMPLE_RATE, Dyad, Waveform
from audio2motion.network.generator import MotionGenerator
from motion2video.motion import MOTION_DIM, channel_index
from scripts.train.spread import WIDENED, spread

SQUINT = channel_index("eyeSquintLeft")


def test_what_swings_less_is_widened_within_bounds_and_alike_on_both_sides() -> None:
    people, sampled = np.ones((3, MOTION_DIM), np.float32), np.ones((3, MOTION_DIM), np.float32)
    assert np.all(spread(people, sampled) == 1)
    sampled[:, SQUINT] = 0.8
    found = spread(people, sampled)
    assert np.isclose(found[SQUINT], (1 / 0.8 + 1) / 2)
    assert found[SQUINT] == found[channel_index("eyeSquintRight")]
    sampled[:] = 0.01
    found = spread(people, sampled)
    assert np.isclose(found.max(), max(WIDENED.values()))
    assert found[channel_index("mouthStretchLeft")] == 1, "left alone"


def test_what_is_spread_swings_farther_and_nothing_else() -> None:
    generator = MotionGenerator.load()
    noise = np.random.default_rng(0).normal(size=4 * SAMPLE_RATE).astype(np.float32) * 0.1
    dyad = Dyad(Waveform(noise))
    generator.network.spread.fill_(1)
    plain = generator.generate(dyad, seed=0).values
    generator.network.spread[SQUINT] = 1.4
    wide = generator.generate(dyad, seed=0).values
    others = np.arange(MOTION_DIM) != SQUINT
    assert wide[:, SQUINT].std() > 1.2 * plain[:, SQUINT].std()
    assert np.array_equal(wide[:, others], plain[:, others])
