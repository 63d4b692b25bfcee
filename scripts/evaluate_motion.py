#!/usr/bin/env python3
"""Measure the motion generator: lips on people it never saw, and how it listens.

    scripts/evaluate_motion.py --data CLIPS [--split test] [--teacher DIR] [--json]
    scripts/evaluate_motion.py --conversation [--minutes 5] [--json]

Lips: clips of one person are played one after another as one stream; figures are means over clips
of Pearson's r between generated and tracked curves within the clip, beside ridge regressions fitted
on the split `train` (window of 5 frames to both sides). `offset` is the shift of the generated
curve, in frames, with the highest mean r (positive: the lips are late). `std` is the ratio of
standard deviations to the tracked curve's. `--teacher` has NAME.npy features of a large speech
encoder. Conversation: espeak-ng voices take turns; events are counted in the agent's motion.
"""

import argparse
import csv
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.signal import butter, find_peaks, sosfiltfilt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from audio2motion.audio import SAMPLES_PER_FRAME, Dyad, Waveform, speech_probability
from audio2motion.generator import GeneratorConfig, MotionGenerator
from motion2video.geometry import FaceBasis
from motion2video.motion import Motion

REACH = 5
SHIFTS = range(-5, 6)
LEVEL_FLOOR = 1e-9


def aperture(values: np.ndarray, basis: FaceBasis) -> np.ndarray:
    """[T] gap between the inner lips beyond the neutral face's, in interocular distances."""
    return basis.offsets(values.astype(np.float32))[:, [13, 14], 1] @ np.array([1.0, -1.0])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r; 0 where one does not move."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-9 else 0.0


def read(data: Path, splits: set[str], groups: set[str]) -> list[dict]:
    """Clips with sound: name, identity, split, samples and tracked motion of equal length."""
    clips = []
    with (data / "index.csv").open() as file:
        for row in csv.DictReader(file):
            if row["split"] not in splits or row["group"] not in groups or not row["audio"]:
                continue
            motion = Motion.load(data / row["motion"])
            samples = Waveform.load(data / row["audio"]).samples
            count = min(len(motion), len(samples) // SAMPLES_PER_FRAME)
            if count < 12:
                continue
            clips.append(
                {
                    "name": row["clip"],
                    "person": row["identity"],
                    "split": row["split"],
                    "samples": samples[: count * SAMPLES_PER_FRAME],
                    "motion": motion[:count],
                }
            )
    return clips


def log_mel(samples: np.ndarray) -> np.ndarray:
    """[T, 40] log-mel, averaged over each motion frame."""
    import torch

    from audio2motion.speech import MEL_OVERLAP, MELS_PER_FRAME, MelFrontEnd

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
        rs = [correlation(p[:, k], c[target]) for c, p in zip(clips, predictions, strict=True)]
        made = np.mean([p[:, k].std() for p in predictions])
        true = np.mean([c[target].std() for c in clips])
        shifted = {
            s: np.mean(
                [
                    correlation(
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
    """[T, 2] jawOpen and aperture made for every clip, persons as streams."""
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
            clip["made"] = np.stack([part.channel("jawOpen"), aperture(part.values, basis)], 1)
            at += count
    return [c["made"] for c in clips]


def lips(options: argparse.Namespace, generator: MotionGenerator) -> dict:
    """The table of held-out people."""
    basis = FaceBasis.load()
    clips = read(options.data, {"train", options.split}, set(options.groups))
    targets = ["jawOpen", "aperture"]
    for clip in clips:
        clip["jawOpen"] = clip["motion"].channel("jawOpen")
        clip["aperture"] = aperture(clip["motion"].values, basis)
        clip["mel"] = log_mel(clip["samples"])
        clip["energy"] = energy(clip["samples"])
    train = [c for c in clips if c["split"] == "train"]
    test = [c for c in clips if c["split"] == options.split][: options.limit]
    table = {"generator": score(test, generated(test, generator, basis, options.seed), targets)}
    for name in ("energy", "mel"):
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


_LINES = (
    "So I went to the market yesterday morning, and you would not believe what happened there.",
    "Really? That sounds like a wonderful story, please tell me more about it.",
    "A man with a big blue umbrella bought up all of the bread before anybody else came by.",
    "We could meet at the bridge on Monday, if that works for you and your brother.",
    "I think that is a good plan. Maybe we should also bring some food and a map.",
    "Every evening the birds come back to the same tree, and we watch them from the window.",
)


def conversation(minutes: float) -> tuple[Dyad, np.ndarray]:
    """Two espeak-ng voices in turn, and [T] whether the agent holds the turn."""
    from audio2motion.synthesis import synthesize

    rng = np.random.default_rng(0)
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    seconds, turn = 0.0, 0
    while seconds < 60 * minutes:
        text = " ".join(_LINES[i] for i in rng.choice(len(_LINES), 2, replace=False))
        voice = ("en-us", "en-gb+f3")[turn % 2]
        said = synthesize(text, voice, int(rng.integers(140, 180))).samples
        pause = np.zeros(int(rng.uniform(0.2, 0.9) * 16000), np.float32)
        sides[turn % 2].extend([said, pause])
        sides[1 - turn % 2].extend([np.zeros_like(said), pause])
        seconds += (len(said) + len(pause)) / 16000
        turn += 1
    agent, other = (Waveform(np.concatenate(s)) for s in sides)
    dyad = Dyad(agent, other)
    return dyad, speech_probability(agent)[: dyad.frames] > 0.4


def nods(pitch: np.ndarray) -> np.ndarray:
    """Frames of nods: peaks of the pitch above 0.3 Hz with a prominence of 1.5 degrees."""
    fast = sosfiltfilt(butter(2, 0.3, "high", fs=25, output="sos"), np.degrees(pitch))
    return find_peaks(fast, prominence=1.5)[0]


def listening(options: argparse.Namespace, generator: MotionGenerator) -> dict:
    """Events in a made-up conversation, and the speed of making it."""
    dyad, speaking = conversation(options.minutes)
    start = time.perf_counter()
    motion = generator.generate(dyad, seed=options.seed)
    seconds = time.perf_counter() - start
    assert dyad.interlocutor is not None
    hears = speech_probability(dyad.interlocutor)[: len(motion)] > 0.4
    gap = aperture(motion.values, FaceBasis.load())
    quiet = ~np.convolve(speaking, np.ones(21), "same").astype(bool)
    found = nods(motion.rotation[:, 0])
    lids = motion.channel("eyeBlinkLeft")
    blinks = find_peaks(lids, height=0.5, distance=4)[0]
    pauses = np.nonzero(hears[:-1] & ~hears[1:])[0]
    listens = hears & ~speaking
    close = np.zeros(len(motion), bool)
    for t in pauses:
        close[t : t + 25] = True
    heard = [t for t in found if not speaking[t]]
    share = np.mean([close[t] for t in heard]) if heard else 0.0
    step = np.abs(np.diff(motion.rotation, axis=0)).sum(1)
    degrees = np.degrees(motion.rotation)
    return {
        "minutes": round(motion.seconds / 60, 2),
        "times real time": round(motion.seconds / seconds, 2),
        "nods/min listening": round(float(len(heard) / max(1, (~speaking).sum()) * 1500), 1),
        "nods/min speaking": round(
            float((len(found) - len(heard)) / max(1, speaking.sum()) * 1500), 1
        ),
        "P(nod < 1 s after a pause) / chance": round(
            float(share / max(1e-6, close[~speaking].mean())), 2
        ),
        "blinks/min listening": round(
            float((~speaking[blinks]).sum() / (~speaking).sum() * 1500), 1
        ),
        "blinks/min speaking": round(float(speaking[blinks].sum() / speaking.sum() * 1500), 1),
        "aperture std silent": round(float(gap[quiet].std()), 4),
        "aperture std speaking": round(float(gap[speaking].std()), 4),
        "rotation std listening, degrees": degrees[listens].std(0).round(2).tolist(),
        "rotation std speaking, degrees": degrees[speaking].std(0).round(2).tolist(),
        "head speed speaking / listening": round(
            float(step[speaking[1:]].mean() / step[listens[1:]].mean()), 2
        ),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--groups", nargs="+", default=["lrc"])
    parser.add_argument("--limit", type=int, default=10_000, help="clips at most")
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--conversation", action="store_true")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--agent-scale", type=float, default=GeneratorConfig.agent_scale)
    parser.add_argument("--lip-temperature", type=float, default=GeneratorConfig.lip_temperature)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    config = GeneratorConfig(
        steps=options.steps,
        agent_scale=options.agent_scale,
        lip_temperature=options.lip_temperature,
    )
    generator = MotionGenerator.load(config)
    if options.conversation:
        result = listening(options, generator)
        print(json.dumps(result, indent=None if options.json else 2))
        return
    if options.data is None:
        parser.error("--data is needed (or --conversation)")
    result = lips(options, generator)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['clips']} clips of the split {result['split']}")
    for row, values in result["rows"].items():
        for target, v in values.items():
            print(
                f"{row:18} {target:9} r {v['r']:6.3f}  std {v['std']:5.2f}  "
                f"offset {v['offset']:+d}  mse {v['mse']:.5f}"
            )


if __name__ == "__main__":
    main()
