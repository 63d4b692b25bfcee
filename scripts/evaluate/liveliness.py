#!/usr/bin/env python3
"""How alive generated talking is beside real people: how far and fast everything moves, and whether
it can be told from real.

    python -m scripts.evaluate.liveliness --clips TALKERS/judge/test [--weights FILE] [--seeds 2]

CLIPS (scripts/data/talkers.py) has NAME.npz and NAME.wav of real talkers that nothing was trained
on; the same sound is generated with several seeds, which no two clips share. `std` and `speed` are
medians over clips of generated / real: the standard deviation within a clip, and the mean speed, of
curves smoothed by [1 2 1] / 4, less their median. `above 6 Hz` is the share of head speed's power
there, generated / real. `FD` is the Frechet distance of 2 s windows (deviation, speed, range and
jerk of the groups in units of the real ones' deviation). `auc`, where scikit-learn is installed, is
that of boosted trees on the same windows and the groups' correlations, people left out: .5 = cannot
be told from real. Then how what belongs together moves together, made and real: the correlation,
over all clips, of changes within two frames; how jagged it moves, the mean change of speed by the
mean speed, unsmoothed; and how long what is raised stays so, in seconds: of a moment at which it is
raised by more than RAISED, how long it is in all, in the mean. With --beside, `auc` and `FD` are
those of the people of another folder (its real training takes): so much do people differ.
"""

import argparse
import importlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.quality import distributions
from audio2motion.hearing.audio import Dyad
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from motion2video.motion import FPS, ROTATION, channel_index
from scripts.data.dataset import clips, judged

WINDOW, HOP = 50, 25
SHORTEST = 125
FOLDS = 5
TREMBLING_HZ = 6.0
_SIDES = ("Left", "Right")
GROUPS: dict[str, list[int]] = {
    "pitch": [52],
    "yaw": [53],
    "roll": [54],
    "brow up": [channel_index(n) for n in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")],
    "jaw": [channel_index("jawOpen")],
    "pucker": [channel_index("mouthPucker")],
    "gaze x": [channel_index("eyeLookOutLeft"), channel_index("eyeLookInRight")],
} | {
    group: [channel_index(f"{name}{side}") for side in _SIDES]
    for group, name in (
        ("brow down", "browDown"),
        ("smile", "mouthSmile"),
        ("lips up", "mouthUpperUp"),
        ("lips down", "mouthLowerDown"),
        ("stretch", "mouthStretch"),
        ("squint", "eyeSquint"),
        ("blink", "eyeBlink"),
    )
}
TOGETHER = {
    f"{name}, both sides": ([channel_index(f"{channel}Left")], [channel_index(f"{channel}Right")])
    for name, channel in (
        *(("smile", "mouthSmile"), ("brow down", "browDown")),
        *(("outer brow", "browOuterUp"), ("eye wide", "eyeWide")),
    )
} | {
    "brow, inner and outer": ([channel_index("browInnerUp")], GROUPS["brow up"][1:]),
    "brow up and down": (GROUPS["brow up"], GROUPS["brow down"]),
    "blink and squint": (GROUPS["blink"], GROUPS["squint"]),
    "eye out and in": ([channel_index("eyeLookOutLeft")], [channel_index("eyeLookInLeft")]),
}
LAG = 2
HELD = ("brow up", "brow down", "smile", "squint")
RAISED = 0.15


@dataclass(frozen=True, eq=False)
class Take:
    """One person's curves [T, 14], and the head's rotation [T, 3]; whether a machine made them."""

    person: str
    curves: np.ndarray
    head: np.ndarray
    made: bool


def curves(values: np.ndarray) -> np.ndarray:
    """[T, 14] the groups, smoothed, less their median."""
    found = np.stack([values[:, group].mean(1) for group in GROUPS.values()], 1)
    padded = np.pad(found, ((1, 1), (0, 0)), mode="edge")
    found = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return found - np.median(found, 0)


def speeds(found: np.ndarray) -> np.ndarray:
    """[14] mean absolute speeds, per frame."""
    return np.abs(np.diff(found, axis=0)).mean(0)


def windows(found: np.ndarray, correlations: bool) -> np.ndarray:
    """[n, k] what 2 s of curves are like."""
    out = []
    for start in range(0, len(found) - WINDOW + 1, HOP):
        part = found[start : start + WINDOW]
        speed = np.diff(part, axis=0) * FPS
        jerk = np.abs(np.diff(speed, axis=0)).mean(0)
        row = [part.std(0), np.abs(speed).mean(0), np.ptp(part, 0), jerk]
        if correlations:
            noise = 1e-6 * np.random.default_rng(start).normal(size=part.shape)
            table = np.atleast_2d(np.corrcoef((part + noise).T))
            row.append(table[np.triu_indices(len(table), 1)])
        out.append(np.concatenate(row))
    return np.array(out)


def alike(takes: list[np.ndarray], one: list[int], other: list[int]) -> float:
    """How two groups of channels of motions [T, 90] change together."""
    steps = np.concatenate([values[LAG:] - values[:-LAG] for values in takes])
    return float(np.corrcoef(steps[:, one].mean(1), steps[:, other].mean(1))[0, 1])


def jagged(takes: list[np.ndarray], group: list[int]) -> float:
    """The mean change of speed of a group of channels of motions [T, 90], by its mean speed."""
    found = [values[:, group].mean(1) for values in takes]
    speed, change = (
        np.concatenate([np.abs(np.diff(curve, k)) for curve in found]).mean() for k in (1, 2)
    )
    return float(change / max(speed, 1e-9))


def held(takes: list[np.ndarray], group: list[int]) -> float:
    """Seconds for which a group of channels of motions [T, 90] stays raised, of a moment at which
    it is, in the mean; 0 where it never is.
    """
    runs = []
    for values in takes:
        up = np.pad(values[:, group].mean(1) > RAISED, 1).astype(int)
        turns = np.flatnonzero(np.diff(up))
        runs.append(turns[1::2] - turns[::2])
    frames = np.concatenate(runs)
    return float(np.square(frames).sum() / max(frames.sum(), 1) / FPS)


def trembling(head: np.ndarray) -> float:
    """Power of the head's speed above TREMBLING_HZ."""
    speed = np.diff(head, axis=0)
    power = np.abs(np.fft.rfft(speed - speed.mean(0), axis=0)) ** 2
    at = np.fft.rfftfreq(len(speed), 1 / FPS)
    return float(power[at > TREMBLING_HZ].sum() / len(speed) ** 2)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The distance of two Gaussians [n, k], in units of the deviations of `a`."""
    mean, std = a.mean(0), a.std(0) + 1e-6
    a, b = (a - mean) / std, (b - mean) / std
    return distributions.frechet(b, a)


def both_kinds(takes: list[Take]) -> list[np.ndarray]:
    """What 2 s of real takes are like, and of those that were made."""
    return [
        np.concatenate([windows(take.curves, False) for take in takes if take.made is made])
        for made in (False, True)
    ]


def discrimination(takes: list[Take]) -> float | None:
    """AUC of boosted trees that are asked about people they have not seen; None without
    scikit-learn.
    """
    if importlib.util.find_spec("sklearn") is None:
        return None
    ensemble: Any = importlib.import_module("sklearn.ensemble")
    metrics: Any = importlib.import_module("sklearn.metrics")
    rows = [windows(take.curves, True) for take in takes]
    people = sorted({take.person for take in takes})
    order = np.random.default_rng(0).permutation(people)
    fold_of = {str(person): i % FOLDS for i, person in enumerate(order)}
    x = np.concatenate(rows)
    y = np.concatenate([[take.made] * len(r) for take, r in zip(takes, rows, strict=True)])
    fold = np.concatenate(
        [[fold_of[take.person]] * len(r) for take, r in zip(takes, rows, strict=True)]
    )
    score = np.zeros(len(y))
    for k in range(FOLDS):
        trees = ensemble.HistGradientBoostingClassifier(random_state=0, class_weight="balanced")
        trees.fit(x[fold != k], y[fold != k])
        score[fold == k] = trees.predict_proba(x[fold == k])[:, 1]
    return float(metrics.roc_auc_score(y, score))


def measure(clips: Path, generator: MotionGenerator, seeds: int) -> dict[str, Any]:
    """The whole table."""
    takes, stds, fast, tremble, both = [], [], [], [], ([], [])
    for take, (name, sound, motion) in enumerate(judged(clips)):
        count = len(motion)
        if count < SHORTEST:
            continue
        real = motion.values.astype(np.float64)
        person, true = name.split("__")[0], curves(real)
        takes.append(Take(person, true, real[:, ROTATION], False))
        both[0].append(real)
        for seed in range(seeds):
            dice = take * seeds + seed  # one for all would make everybody's head move alike
            values = generator.generate(Dyad(sound), seed=dice).values[:count].astype(np.float64)
            made = curves(values)
            both[1].append(values)
            takes.append(Take(person, made, values[:, ROTATION], True))
            stds.append(made.std(0) / np.maximum(1e-4, true.std(0)))
            fast.append(speeds(made) / np.maximum(1e-5, speeds(true)))
            tremble.append(
                trembling(values[:, ROTATION]) / max(trembling(real[:, ROTATION]), 1e-12)
            )
    kinds = both_kinds(takes)
    return {
        "people": len({take.person for take in takes}),
        "windows": sum(map(len, kinds)),
        "auc": discrimination(takes),
        "FD": frechet(kinds[0], kinds[1]),
        "above 6 Hz": float(np.median(tremble)),
        "std": dict(zip(GROUPS, np.median(stds, 0).round(2).tolist(), strict=True)),
        "speed": dict(zip(GROUPS, np.median(fast, 0).round(2).tolist(), strict=True)),
        "together": {name: [alike(x, *two) for x in both] for name, two in TOGETHER.items()},
        "jagged": {name: [jagged(x, group) for x in both] for name, group in GROUPS.items()},
        "held": {name: [held(x, GROUPS[name]) for x in both] for name in HELD},
    }


def people_apart(judging: Path, others: Path) -> tuple[float | None, float]:
    """AUC and Frechet distance of real people beside other real people."""
    found = [
        Take(name.split("__")[0], curves(motion.values), motion.values[:, ROTATION], False)
        for name, _, motion in judged(judging)
        if len(motion) >= SHORTEST
    ]
    for clip in clips(others, "train"):
        if clip.group == "real" and clip.frames >= SHORTEST:
            values = clip.motion().values
            found.append(Take(f"{clip.identity}'", curves(values), values[:, ROTATION], True))
    return discrimination(found), frechet(*both_kinds(found))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="a generator's file; else the embedded one")
    parser.add_argument("--config", type=json.loads, default={}, help="of GeneratorConfig, as JSON")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--beside", type=Path, help="TALKERS: real people instead of made motion")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.beside:
        auc, apart = people_apart(options.clips, options.beside)
        print(json.dumps({"auc": auc, "FD": apart}))
        return
    config = GeneratorConfig(**options.config)
    generator = MotionGenerator.load(config, weights=options.weights)
    table = measure(options.clips, generator, options.seeds)
    if options.json:
        print(json.dumps(table))
        return
    for name in ("people", "windows", "auc", "FD", "above 6 Hz"):
        value = table[name]
        print(f"{name:12}", "-" if value is None else f"{value:.3f}")
    for group in GROUPS:
        print(f"{group:12} std {table['std'][group]:.2f}  speed {table['speed'][group]:.2f}")
    for figure in ("together", "jagged", "held"):
        for name, (real, made) in table[figure].items():
            print(f"{f'{name}, {figure}':32} made {made:5.2f}  real {real:5.2f}")


if __name__ == "__main__":
    main()
