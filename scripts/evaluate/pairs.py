#!/usr/bin/env python3
"""Write pairs for `visavis evaluate`: real talkers, and what the generator makes of their voices.

    python -m scripts.evaluate.pairs --clips TALKERS/judge/test --out PAIRS [--weights FILE]
    visavis evaluate PAIRS/made PAIRS/real --html table.html

CLIPS (scripts/data/talkers.py) has NAME.npz and NAME.wav of real talkers that nothing was trained
on. PAIRS/real and PAIRS/made get motion files with the same sound beside them, PAIRS/other what is
made with another seed, for `--against`: by chance alone two takes of one system differ by so much.
"""

import argparse
import json
from pathlib import Path

from audio2motion.hearing.audio import Dyad
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from scripts.data.dataset import judged


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="a generator's file; else the embedded one")
    parser.add_argument("--config", type=json.loads, default={}, help="of GeneratorConfig, as JSON")
    options = parser.parse_args()
    config = GeneratorConfig(**options.config)
    generator = MotionGenerator.load(config, weights=options.weights)
    folders = {name: options.out / name for name in ("real", "made", "other")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    for number, (name, sound, motion) in enumerate(judged(options.clips)):
        takes = {"real": motion}
        for k, side in enumerate(("made", "other")):
            made = generator.generate(Dyad(sound), seed=2 * number + k)
            takes[side] = made[: len(motion)]
        for side, take in takes.items():
            take.save(folders[side] / f"{name}.npz")
            sound.save(folders[side] / f"{name}.wav")


if __name__ == "__main__":
    main()
