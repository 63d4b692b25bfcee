#!/usr/bin/env python3
"""Who moves what: the share of every group's variance that goes when the network does nothing.

    python -m scripts.evaluate.contributions --clips TALKERS/judge/val [--weights FILE] [--seeds 2]

CLIPS (scripts/data/talkers.py) has NAME.npz and NAME.wav. Each take is talked, and listened to as
the voice and the face of somebody else. Then once more with the same seed and a network that says
nothing but its mean: share = 1 - variance without / variance with, within a take, summed over takes
and over the channels of a group. What is left is done by something else than the network.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from torch import Tensor

from app.quality.groups import GROUPS
from audio2motion.hearing.audio import Dyad, Waveform
from audio2motion.network.chunks import Chunk
from audio2motion.network.condition import Condition
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from audio2motion.network.stream import GeneratorState
from motion2video.motion import MOTION_DIM, Motion
from scripts.data.dataset import judged


class Mute(MotionGenerator):
    """The same with a network that says nothing but its mean."""

    def _sample(
        self, state: GeneratorState, condition: Condition, now: Chunk
    ) -> tuple[GeneratorState, Tensor]:
        state, x_1 = super()._sample(state, condition, now)
        return state, x_1 * 0


def variances(
    generator: MotionGenerator, clips: list[tuple[Waveform, Motion]], talks: bool, seeds: int
) -> np.ndarray:
    """[90] variance within takes, summed over them."""
    total = np.zeros(MOTION_DIM)
    for sound, motion in clips:
        still = Waveform(np.zeros_like(sound.samples))
        for seed in range(seeds):
            if talks:
                made = generator.generate(Dyad(sound, still), seed=seed)
            else:
                made = generator.generate(Dyad(still, sound), motion, seed=seed)
            total += made.values.astype(np.float64).var(0)
    return total


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="a generator's file; else the embedded one")
    parser.add_argument("--config", type=json.loads, default={}, help="of GeneratorConfig, as JSON")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    whole = MotionGenerator.load(GeneratorConfig(**options.config), weights=options.weights)
    mute = Mute(whole.encoder, whole.network, whole.config)
    clips = [(sound, motion) for _, sound, motion in judged(options.clips)]
    print(f"{'':18}talking  listening")
    shares = [
        (
            variances(whole, clips, talks, options.seeds),
            variances(mute, clips, talks, options.seeds),
        )
        for talks in (True, False)
    ]
    for group, channels in GROUPS.items():
        row = [
            1 - without[channels].sum() / max(1e-12, every[channels].sum())
            for every, without in shares
        ]
        print(f"{group:18}{row[0]:7.2f}  {row[1]:9.2f}")


if __name__ == "__main__":
    main()
