#!/usr/bin/env python3
"""Measure the motion generator: lips on people it never saw, closures, and long streams.

    scripts/evaluate/motion.py --data CLIPS [--split test] [--teacher VOICES/judge] [--json]
    scripts/evaluate/motion.py --closures [--json]
    scripts/evaluate/motion.py --data CLIPS --drift 10

How it listens is measured by scripts/evaluate/listening.py.

Lips: clips of one person are played one after another as one stream; figures are means over clips
of Pearson's r between generated and tracked curves within the clip, beside ridge regressions fitted
on the split `train` (window of 5 frames to both sides). `offset` is the shift of the generated
curve, in frames, with the highest mean r (positive: the lips are late). `std` is the ratio of
standard deviations to the tracked curve's. `--teacher` has NAME.npy features of a large speech
encoder (scripts/data/speech.py --judge). The targets are the lip aperture and every channel of jaw
and mouth. `--closures`: do lips touch on p, b and m of espeak-ng's speech in six languages.
`--drift`: does a long stream stay what it is.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.quality.coupling import pearson
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.hearing.speech import SPEECH_DELAY
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from audio2motion.voice.synthesis import synthesize_phonemes
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import EXPRESSION_NAMES, FPS, ROTATION, channel_index
from scripts.data.dataset import clips

REACH = 5
SHIFTS = range(-5, 6)
MOUTH = [n for n in EXPRESSION_NAMES if n.startswith(("jaw", "mouth"))]
LEVEL_FLOOR = 1e-9


def aperture(values: np.ndarray, basis: FaceBasis) -> np.ndarray:
    """[T] gap between the inner lips beyond the neutral face's, in interocular distances."""
    return basis.lip_gap(values.astype(np.float32))


def read(data: Path, splits: set[str], groups: set[str]) -> list[dict]:
    """Clips with sound: name, identity, split, samples and tracked motion of equal length."""
    found = []
    for clip in clips(data):
        if clip.split not in splits or clip.group not in groups or not clip.heard:
            continue
        motion, samples = clip.motion(), clip.samples()
        count = min(len(motion), len(samples) // SAMPLES_PER_FRAME)
        if count < 12:
            continue
        found.append(
            {
                "name": clip.name,
                "person": clip.identity,
                "split": clip.split,
                "samples": samples[: count * SAMPLES_PER_FRAME],
                "motion": motion[:count],
            }
        )
    return found


def log_mel(samples: np.ndarray) -> np.ndarray:
    """[T, 40] log-mel, averaged over each motion frame."""
    import torch

    from audio2motion.hearing.speech import MEL_OVERLAP, MELS_PER_FRAME, MelFrontEnd

    front = MelFrontEnd(40)
    padded = np.concatenate([np.zeros(MEL_OVERLAP, np.float32), samples])
    mel = front.decibels(torch.from_numpy(padded)).numpy()
    mel = mel.reshape(-1, MELS_PER_FRAME, 40).mean(1) / 10
    return mel - mel.mean()


def energy(samples: np.ndarray) -> np.ndarray:
    """[T, 1] log energy of the frames."""
    power = (samples.reshape(-1, SAMPLES_PER_FRAME) ** 2).mean(1)
    level = np.log10(power + LEVEL_FLOOR)
    return (level - level.mean())[:, None]


def windows(features: np.ndarray) -> np.ndarray:
    """[T, (2 REACH + 1) k] each frame with its neighbours."""
    padded = np.pad(features, ((REACH, REACH), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + len(features)] for i in range(2 * REACH + 1)], 1)


def ridge(train: list[dict], test: list[dict], describe, targets: list[str]) -> list[np.ndarray]:
    """Predictions [T, len(targets)] for the test clips of a ridge fitted on the training ones."""
    x = np.concatenate([windows(describe(c)) for c in train])
    y = np.concatenate([np.stack([c[t] for t in targets], 1) for c in train])
    x_mean, x_std, y_mean = x.mean(0), x.std(0) + 1e-6, y.mean(0)
    x = (x - x_mean) / x_std
    gram = x.T @ x + 0.02 * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (y - y_mean))
    return [((windows(describe(c)) - x_mean) / x_std) @ weights + y_mean for c in test]


def score(clips: list[dict], predictions: list[np.ndarray], targets: list[str]) -> dict:
    """Mean r, std ratio, best offset and mean squared error for every target."""
    out = {}
    for k, target in enumerate(targets):
        rs = [pearson(p[:, k], c[target]) for c, p in zip(clips, predictions, strict=True)]
        made = np.mean([p[:, k].std() for p in predictions])
        true = np.mean([c[target].std() for c in clips])
        shifted = {
            s: np.mean(
                [
                    pearson(
                        p[max(0, s) : len(p) + min(0, s), k],
                        c[target][max(0, -s) : len(p) - max(0, s)],
                    )
                    for c, p in zip(clips, predictions, strict=True)
                ]
            )
            for s in SHIFTS
        }
        error = np.mean(
            [((p[:, k] - c[target]) ** 2).mean() for c, p in zip(clips, predictions, strict=True)]
        )
        out[target] = {
            "r": round(float(np.mean(rs)), 3),
            "std": round(float(made / true), 2),
            "offset": max(shifted, key=lambda s: shifted[s]),
            "mse": round(float(error), 5),
        }
    return out


def generated(
    clips: list[dict], generator: MotionGenerator, basis: FaceBasis, seed: int
) -> list[np.ndarray]:
    """[T, k] the targets made for every clip, persons as streams."""
    people = defaultdict(list)
    for clip in clips:
        people[clip["person"]].append(clip)
    for group in people.values():
        joined = Waveform(np.concatenate([c["samples"] for c in group]))
        motion = generator.generate(Dyad(joined), seed=seed)
        at = 0
        for clip in group:
            count = len(clip["motion"])
            part = motion[at : at + count]
            made = [part.channel(name) for name in MOUTH]
            clip["made"] = np.stack([aperture(part.values, basis), *made], 1)
            at += count
    return [c["made"] for c in clips]


def heard(clips: list[dict], generator: MotionGenerator) -> list[np.ndarray]:
    """[T, f] what the speech encoder says of every clip, its delay taken back."""
    import torch

    with torch.inference_mode():
        ahead = np.zeros(SPEECH_DELAY * SAMPLES_PER_FRAME, np.float32)
        return [
            generator.encoder.analyse(np.concatenate([c["samples"], ahead]))
            .features[SPEECH_DELAY:]
            .numpy()
            for c in clips
        ]


def lips(options: argparse.Namespace, generator: MotionGenerator) -> dict:
    """The table of held-out people."""
    basis = FaceBasis.load()
    clips = read(options.data, {"train", options.split}, set(options.groups))
    targets = ["aperture", *MOUTH]
    for clip in clips:
        clip |= {name: clip["motion"].channel(name) for name in MOUTH}
        clip["aperture"] = aperture(clip["motion"].values, basis)
        clip["mel"] = log_mel(clip["samples"])
        clip["energy"] = energy(clip["samples"])
    train = [c for c in clips if c["split"] == "train"]
    test = [c for c in clips if c["split"] == options.split][: options.limit]
    table = {"generator": score(test, generated(test, generator, basis, options.seed), targets)}
    for clip, features in zip(clips, heard(clips, generator), strict=True):
        clip["speech encoder"] = features
    for name in ("energy", "mel", "speech encoder"):
        found = ridge(train, test, lambda c, n=name: c[n], targets)
        table[f"ridge on {name}"] = score(test, found, targets)
    if options.teacher:
        for clip in clips:
            feature = np.load(options.teacher / f"{clip['name']}.npy").astype(np.float32)
            padded = np.pad(feature, ((0, REACH), (0, 0)), mode="edge")
            clip["teacher"] = padded[: len(clip["motion"])]
        found = ridge(train, test, lambda c: c["teacher"], targets)
        table["ridge on teacher"] = score(test, found, targets)
    return {"split": options.split, "clips": len(test), "rows": table}


CLOSURE_TEXTS = (
    ("en-us", "Bob put a map upon my cup. Maybe a big problem, but people jump up and come home."),
    ("en-gb+f3", "My mum bought a pumpkin pie. Pam prepared a broom, a lamp and a brown umbrella."),
    ("de+f2", "Mama packt Papa eine Pumpe ein. Bitte komm am Abend mit dem Boot um halb sieben."),
    ("fr-fr+m3", "Papa a mis la pomme sur la table. Un bon ami m'emporte beaucoup de bois."),
    ("es+f4", "Mi amigo pide un poco de pan. La bomba rompe el puente, pero el hombre escapa."),
    ("pl+m5", "Mama kupuje pomidory. Pan pije piwo i bardzo lubi moje bomby na parapecie."),
)
CLOSURE_REACH = 2
"""Frames (80 ms) before and after a phoneme in which its closure may be."""
CLOSURE_SHARE = 0.2
"""Lips are shut below this share of the utterance's wide openings (90th percentile)."""
_VOWELS = "aeiouyæɑɐɒʌəɚɛɜɪɔʊøœ"


def closures(generator: MotionGenerator, seed: int) -> dict:
    """Whether lips shut on p, b and m of espeak-ng's speech, whose phoneme times are known, and how
    often the same finds a closure at a vowel or at any moment. An opening is one that is shut at
    none of its frames.
    """
    basis = FaceBasis.load()
    rows = {}
    for voice, text in CLOSURE_TEXTS:
        sound, phones = synthesize_phonemes(text, voice)
        gap = aperture(generator.generate(Dyad(sound), seed=seed).values, basis)
        shut = gap < CLOSURE_SHARE * np.quantile(gap, 0.9)
        near = np.convolve(shut, np.ones(2 * CLOSURE_REACH + 1), "same") > 0

        def share(phonemes, seen) -> float:
            spans = [
                seen[int(p.start * FPS) : max(int(p.start * FPS) + 1, round(p.end * FPS))]
                for p in phonemes
            ]
            return round(float(np.mean([s.any() for s in spans if len(s)])), 3)

        speech = slice(int(phones[0].start * FPS), int(phones[-1].end * FPS))
        vowels = [p for p in phones if p.ipa[:1] in _VOWELS and p.ipa]
        rows[voice] = {
            "p, b, m": share([p for p in phones if p.ipa[:1] in ("p", "b", "m")], near),
            "vowels shut throughout": round(1 - share(vowels, ~shut), 3),
            "frames shut": round(float(shut[speech].mean()), 3),
        }
    mean = {k: round(float(np.mean([r[k] for r in rows.values()])), 3) for k in rows["de+f2"]}
    return {"mean": mean, **rows}


def drift(generator: MotionGenerator, clips: list[dict], minutes: int, seed: int) -> list[dict]:
    """The motion minute by minute through a long monologue of real speech: what feeds on itself
    would show in the means and deviations.
    """
    sound, count = [], 0
    while count < minutes * 60 * 16000:
        sound += [c["samples"] for c in clips]
        count = sum(map(len, sound))
    samples = np.concatenate(sound)[: minutes * 60 * 16000]
    values = generator.generate(Dyad(Waveform(samples)), seed=seed).values
    basis, rows = FaceBasis.load(), []
    frames = round(60 * FPS)
    for minute in range(minutes):
        part = values[minute * frames : (minute + 1) * frames]
        turned, gap = np.degrees(part[:, ROTATION]), aperture(part, basis)
        rows.append(
            {
                "minute": minute + 1,
                "aperture mean": round(float(gap.mean()), 4),
                "aperture std": round(float(gap.std()), 4),
                "rotation mean": turned.mean(0).round(2).tolist(),
                "rotation std": turned.std(0).round(2).tolist(),
                "smile mean": round(float(part[:, channel_index("mouthSmileLeft")].mean()), 3),
            }
        )
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--groups", nargs="+", default=["lrc"])
    parser.add_argument("--limit", type=int, default=10_000, help="clips at most")
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--closures", action="store_true")
    parser.add_argument("--drift", type=int, metavar="MINUTES")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, help="a generator's file; else the embedded one")
    parser.add_argument("--config", type=json.loads, default={}, help="of GeneratorConfig, as JSON")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    config = GeneratorConfig(**options.config)
    generator = MotionGenerator.load(config, weights=options.weights)
    if options.closures:
        print(json.dumps(closures(generator, options.seed), indent=None if options.json else 2))
        return
    if options.data is None:
        parser.error("--data is needed (or --closures)")
    if options.drift:
        clips = read(options.data, {options.split}, set(options.groups))
        for row in drift(generator, clips, options.drift, options.seed):
            print(json.dumps(row))
        return
    result = lips(options, generator)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['clips']} clips of the split {result['split']}")
    for target in ("aperture", *MOUTH):
        for row, values in result["rows"].items():
            v = values[target]
            print(
                f"{target:20} {row:16} r {v['r']:6.3f}  std {v['std']:5.2f}  "
                f"offset {v['offset']:+d}  mse {v['mse']:.5f}"
            )


if __name__ == "__main__":
    main()
