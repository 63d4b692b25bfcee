"""Events without the network: rates and roles of a few minutes, who somebody is, and answers."""

from collections.abc import Iterator

import numpy as np
import pytest

from app.quality.activity import bridged
from app.quality.events import blinks, gaze_angle, grouped, peaks
from audio2motion.behaviour.events import SMILE_CHANNELS, EventState, Scene, Seen, step_events
from audio2motion.behaviour.statistics import PAUSE_S, STRETCH_S, Person, draw_person
from motion2video.motion import FPS, ROTATION, channel_index
from scripts.evaluate.conversations import Turn, plan_turns
from tests.unchecked import unchecked

SEEDS = range(4)
FRAMES = 4500


def voice(rng: np.random.Generator, turns: tuple[Turn, ...], agent: bool) -> np.ndarray:
    """[T] loudness -1..0 of one side: syllables in stretches of talk, -1 in pauses."""
    out = np.full(FRAMES, -1.0)
    for turn in turns:
        at = turn.start
        while turn.agent == agent and at < turn.end - 8:
            end = min(at + int(STRETCH_S.draw(rng, 0.5, 6.0) * FPS), turn.end)
            beats = np.sin(2 * np.pi * 2.2 * np.arange(end - at) / FPS + rng.uniform(0, 6))
            out[at:end] = -0.2 + 0.15 * beats + rng.normal(0, 0.04, end - at)
            at = end + int(PAUSE_S.draw(rng, 0.15, 2.5) * FPS)
    return np.clip(out, -1, 0)


def scenes(seed: int, seen: np.ndarray | None = None) -> Iterator[Scene]:
    rng = np.random.default_rng(seed)
    turns = plan_turns(rng, FRAMES)
    mine, theirs = voice(rng, turns, True), voice(rng, turns, False)
    for t in range(FRAMES):
        yield Scene(
            agent_speaks=bool(mine[t] > -1),
            interlocutor_speaks=bool(theirs[t] > -1),
            energy=float(theirs[t]),
            agent_energy=float(mine[t]),
            seen=None if seen is None else Seen(float(seen[t]), 0.0, 0.0),
        )


def run(seed: int, all_scenes: list[Scene]) -> np.ndarray:
    state, rows = EventState(), []
    with unchecked():
        for frame, scene in enumerate(all_scenes):
            state, row = step_events(state, seed, frame, scene)
            rows.append(row)
    return np.stack(rows)


@pytest.fixture(scope="module")
def conversations() -> list[tuple[np.ndarray, np.ndarray]]:
    """(motion, whether the agent speaks) of four people, three minutes each."""
    out = []
    for seed in SEEDS:
        made = list(scenes(seed))
        speaks = bridged(np.array([s.agent_speaks for s in made]), 10)
        out.append((run(seed, made), speaks))
    return out


def test_rates_are_human(conversations: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Wider than the ranges of a conversation of 20 minutes: these are 12 without a network."""
    nods, counts, frames, direct = 0, np.zeros(2), np.zeros(2), ([], [])
    for values, speaks in conversations:
        found = peaks(values[:, ROTATION.start])
        nods += int((~speaks[found]).sum())
        lids = blinks(values)
        look = gaze_angle(values) < 4.5
        for role, mask in enumerate((~speaks, speaks)):
            counts[role] += mask[lids].sum()
            frames[role] += mask.sum()
            direct[role].append(look[mask])
    minutes = frames / FPS / 60
    assert 12 < nods / minutes[0] < 45
    assert 10 < counts[0] / minutes[0] < 25
    assert 18 < counts[1] / minutes[1] < 36
    assert 0.6 < np.concatenate(direct[0]).mean() < 0.92
    assert 0.25 < np.concatenate(direct[1]).mean() < 0.65


def test_speaker_moves_more_than_a_listener(
    conversations: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    energy = ([], [])
    for values, speaks in conversations:
        speed = np.degrees(np.diff(values[:, ROTATION], axis=0)) * FPS
        for role, mask in enumerate((~speaks, speaks)):
            energy[role].append((speed[mask[1:]] ** 2).sum(1))
    heard, said = (np.concatenate(e).mean() for e in energy)
    assert said > 1.3 * heard
    assert heard > 10


def test_nothing_is_a_metronome(conversations: list[tuple[np.ndarray, np.ndarray]]) -> None:
    intervals = np.concatenate([np.diff(blinks(values)) for values, _ in conversations])
    assert intervals.std() / intervals.mean() > 0.5
    starts = [[n[0] for n in grouped(peaks(v[:, ROTATION.start]))] for v, _ in conversations]
    gaps = np.concatenate([np.diff(s) for s in starts])
    assert gaps.std() / gaps.mean() > 0.5


def test_people_differ_and_stay_who_they_are() -> None:
    people = [draw_person(seed) for seed in range(200)]
    assert draw_person(7) == people[7]
    for name in vars(Person()):
        values = np.array([getattr(p, name) for p in people])
        assert 0.15 < np.log(values).std() < 0.5
        assert 0.5 <= values.min() <= values.max() <= 2
        assert 0.85 < np.median(values) < 1.18


@pytest.mark.slow
def test_a_smile_comes_back_later_and_smaller() -> None:
    smile = np.zeros(FRAMES)
    for start in range(100, FRAMES - 100, 200):
        smile[start : start + 60] = 0.6
    answers, without = (
        np.mean([run(seed, list(scenes(seed, s)))[:, SMILE_CHANNELS[0]] for seed in (0, 1)], axis=0)
        for s in (smile, np.zeros(FRAMES))
    )
    added = answers - without
    onset = added[100:-100].reshape(-1, 100)[: 2 * (len(added) // 200 - 1)]
    folded = onset.reshape(-1, 200).mean(0)
    peak = folded.max()
    assert 0.15 < peak < 0.5
    half = int(np.argmax(folded > peak / 2))
    assert 5 <= half <= 25


@pytest.mark.slow
def test_events_follow_only_the_past() -> None:
    made = list(scenes(1))
    cut = 2000
    silent = [*made[:cut], *(Scene(False, False) for _ in range(FRAMES - cut))]
    one, two = run(1, made), run(1, silent)
    assert np.array_equal(one[:cut], two[:cut])
    assert not np.array_equal(one[cut:], two[cut:])


def test_eyes_stay_on_the_partner_while_the_head_turns() -> None:
    """A turn of the network's head is made up for by the eyes."""
    turned = (0.0, 0.15, 0.0)
    state, frames = EventState(), []
    for frame in range(50):
        state, out = step_events(state, 3, frame, Scene(True, False, head=turned, gaze=(0.0, 0.0)))
        out[ROTATION] += turned
        frames.append(out)
    assert gaze_angle(np.stack(frames))[10:].max() < 2
    assert np.stack(frames)[20:, channel_index("eyeLookOutRight")].min() > 0.1
