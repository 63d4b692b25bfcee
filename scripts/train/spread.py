"""Fit how much wider scores swing in people than they are sampled (buffer `spread` of role
`motion_generator`).

    python -m scripts.train.spread --takes TALKERS [--weights FILE] [--out FILE]

Noise is scaled down where lips must follow the voice, and what a small network cannot tell is
missing everywhere: its normal scores swing less than people's. Values are a steep function of
scores where something rarely moves far, as a lip that is raised or lowered: of .75 of the scores
.4 of the motion is left, and teeth hardly show. So the voices of the real training takes are
generated from, and the medians over takes of both deviations give the factor. The other shapes of
the lips are left alone: widened, they open lips farther than people do.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.network.generator import MotionGenerator
from motion2video.motion import EXPRESSION_NAMES, FPS, MOTION_DIM
from scripts.data.dataset import clips
from weights import find
from weights.tensors import read_safetensors, save_safetensors

WIDENED = {
    "eyeBlink": 1.3,
    "eyeSquint": 1.4,
    "jawOpen": 1.2,
    "mouthLowerDown": 1.4,
    "mouthUpperUp": 1.4,
}
"""The most by shape, chosen on people of `val`: lips stay as correlated with the true ones."""
SECONDS = 30.0
SHORTEST = 5.0


def deviations(
    generator: MotionGenerator, takes: Path
) -> tuple[Float[np.ndarray, "n 90"], Float[np.ndarray, "n 90"]]:
    """Of the scores of every real training take with sound, and of what is made of its sound."""
    with (takes / "index.csv").open(newline="", encoding="utf8") as file:
        real = {row["clip"] for row in csv.DictReader(file) if row["group"] == "real"}
    found = []
    for clip in clips(takes, "train"):
        if clip.name not in real or clip.audio is None or clip.frames < SHORTEST * FPS:
            continue
        samples, motion = Waveform.load(clip.audio).samples, clip.motion()
        count = min(len(motion), len(samples) // SAMPLES_PER_FRAME, int(SECONDS * FPS))
        sound = Waveform(samples[: count * SAMPLES_PER_FRAME])
        made = generator.generate(Dyad(sound), seed=0).values[:count]
        scores = [generator.network.normalise(torch.from_numpy(v)) for v in (motion.values, made)]
        found.append([s[:count].std(0).numpy() for s in scores])
    people, sampled = np.array(found).transpose(1, 0, 2)
    return people, sampled


def spread(
    people: Float[np.ndarray, "n 90"], sampled: Float[np.ndarray, "n 90"]
) -> Float[np.ndarray, "90"]:
    """The factors, 1 for what is not WIDENED; both sides of a face have the same."""
    wider = np.median(people, 0) / np.median(sampled, 0).clip(0.1)
    out = np.ones(MOTION_DIM, np.float32)
    for shape, most in WIDENED.items():
        sides = [i for i, name in enumerate(EXPRESSION_NAMES) if name.startswith(shape)]
        out[sides] = np.clip(wider[sides].mean(), 1, most)
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--takes", type=Path, required=True, help="see scripts.data.talkers")
    parser.add_argument("--weights", type=Path, help="a generator's file; else the embedded one")
    parser.add_argument("--out", type=Path, help="else the same file")
    options = parser.parse_args()
    path = options.weights or find("motion_generator")
    generator = MotionGenerator.load(weights=path)
    generator.network.spread.fill_(1)
    people, sampled = deviations(generator, options.takes)
    factors = spread(people, sampled)
    for name, factor in zip(EXPRESSION_NAMES, factors, strict=False):
        if factor != 1:
            print(f"{name:24} {factor:.2f}")
    print(f"{len(people)} takes")
    tensors, header = read_safetensors(path)
    save_safetensors(options.out or path, tensors | {"spread": factors.astype(np.float16)}, header)


if __name__ == "__main__":
    main()
