#!/usr/bin/env python3
"""Measure how the generator listens: rates, lags and roles, and the shuffle test.

    scripts/evaluate/listening.py --data DATA --speech VOICES [--split test] [--minutes 24] [--json]

Conversations of two minutes, `--minutes` in all, are put together from recorded voices and tracked
faces of people held out (scripts/evaluate/conversations.py) and generated with one seed each. The
table is that of scripts/evaluate/listening_figures.py. `--split val` has other people and other
voices: tune on it.

The shuffle test is the directed gain of app/quality/directed_gain.py, in 1e-4 nats: what the
partner's voice (and face) tells of the listener beyond the listener's own past. It must be
positive for matched partners, and not for partners of other conversations, nor for the generator
run again without hearing or seeing anybody. `--motions DIR` keeps what was generated, or takes it
from there.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.quality.answering import case_of
from app.quality.directed_gain import Case, Gain, directed_gain
from audio2motion.hearing.audio import Dyad, Waveform, speech_probability
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import Motion
from scripts.evaluate.conversations import Conversation, converse
from scripts.evaluate.listening_figures import Figure, Listener, figures

SPEECH_ON = 0.5


def generate(
    generator: MotionGenerator,
    conversations: list[Conversation],
    hears: bool,
    store: Path | None,
) -> list[np.ndarray]:
    """Motion [T, 90] of every conversation; with `hears` False nobody else is there."""
    made = []
    for seed, conversation in enumerate(conversations):
        path = store and store / f"{conversation.name} {'hears' if hears else 'alone'}.npz"
        if path and path.is_file():
            motion = Motion.load(path)
        else:
            dyad = conversation.dyad if hears else Dyad(conversation.dyad.agent)
            seen = conversation.motion if hears else None
            motion = generator.generate(dyad, seen, seed=seed)
            if path:
                motion.save(path)
        made.append(motion.values)
    return made


def listeners(conversations: list[Conversation], motions: list[np.ndarray]) -> list[Listener]:
    """What was made, with the voices' activity."""
    basis, out = FaceBasis.load(), []
    for conversation, values in zip(conversations, motions, strict=True):
        voices = (conversation.dyad.agent, conversation.dyad.interlocutor)
        active = [_active(v, len(values)) for v in voices if v is not None]
        gap = basis.offsets(values)[:, [13, 14], 1] @ np.array([1.0, -1.0])
        out.append(Listener(conversation, values, active[0], active[1], gap))
    return out


def _active(voice: Waveform, frames: int) -> np.ndarray:
    return speech_probability(voice)[:frames] > SPEECH_ON


def case(listener: Listener) -> Case:
    """The curves for the directed gain."""
    talk, frames = listener.conversation, len(listener.values)
    assert talk.dyad.interlocutor is not None
    return case_of(
        talk.partner,
        listener.values,
        (talk.dyad.agent, listener.agent),
        (talk.dyad.interlocutor, listener.other),
        None if talk.motion is None else talk.motion.values[:frames],
    )


def shuffle_test(hearing: list[Listener], alone: list[Listener]) -> dict[str, Gain]:
    """Directed gains: matched, mismatched, and of the generator that is alone."""
    cases, deaf = [case(x) for x in hearing], [case(x) for x in alone]
    out = {}
    for driver in ("voice", "motion"):
        kept = [i for i, c in enumerate(cases) if driver == "voice" or c.drivers["motion"].any()]
        some, some_deaf = [cases[i] for i in kept], [deaf[i] for i in kept]
        out[f"{driver}, matched partner"] = directed_gain(some, driver)
        out[f"{driver}, mismatched partner"] = directed_gain(some, driver, mismatched=True)
        out[f"{driver}, generator without partner"] = directed_gain(
            some_deaf, driver, reference=some
        )
    return out


def verdict(name: str, gain: Gain) -> bool:
    """Matched: above 0. Mismatched: not above 0. Without a partner: 0 within the interval."""
    if "without" in name:
        return gain.low <= 0 <= gain.high
    return gain.is_positive == ("mismatched" not in name)


def report(table: list[Figure], gains: dict[str, Gain]) -> None:
    """Print both tables."""
    for f in table:
        ends = ["" if e is None else f"{e:.2f}" for e in (f.low, f.high)]
        wanted = "" if f.passes is None else f"{ends[0]} .. {ends[1]}"
        word = {None: "", True: "pass", False: "FAIL"}[f.passes]
        print(f"{f.name:50} {f.value:8.2f}  {wanted:14} {word:5} {f.chance}")
    for name, g in gains.items():
        word = "pass" if verdict(name, g) else "FAIL"
        low, high = g.low * 1e4, g.high * 1e4
        print(f"directed gain, {name:40} {g.net * 1e4:7.2f} [{low:.2f}, {high:.2f}]  {word}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--minutes", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=0, help="of the conversations")
    parser.add_argument("--weights", type=Path, help="a generator's file; else the embedded one")
    parser.add_argument("--config", type=json.loads, default={}, help="of GeneratorConfig, as JSON")
    parser.add_argument("--motions", type=Path, help="folder to keep generated motion in")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.motions:
        options.motions.mkdir(parents=True, exist_ok=True)
    conversations = converse(
        options.data, options.speech, options.split, options.minutes, options.seed
    )
    generator = MotionGenerator.load(GeneratorConfig(**options.config), weights=options.weights)
    hearing, alone = (
        listeners(conversations, generate(generator, conversations, hears, options.motions))
        for hears in (True, False)
    )
    table = figures(hearing)
    gains = shuffle_test(hearing, alone)
    if not options.json:
        report(table, gains)
        return
    rows = [{**vars(f), "passes": f.passes} for f in table]
    found = {n: {**vars(g), "passes": verdict(n, g)} for n, g in gains.items()}
    print(json.dumps({"split": options.split, "figures": rows, "directed gain": found}))


if __name__ == "__main__":
    main()
