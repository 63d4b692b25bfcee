"""Whose voice it is: by the lips that go with it."""

import numpy as np
import pytest

import app.dataset.speaking as speaking
from app.dataset.lips import Match, correlation, lag_of, shifted
from app.dataset.speaking import Face, mask_of, only_in, who_speaks, within
from audio2motion.hearing.audio import Waveform
from tests.app.dataset.made import Loudness, voice_of

FRAMES = 250


def talk(spans: list[tuple[int, int]], seed: int = 0) -> np.ndarray:
    """How loud somebody is in each frame, who speaks in those."""
    level = np.zeros(FRAMES)
    for start, end in spans:
        level[start:end] = 0.02 + 0.2 * np.random.default_rng(seed + start).random(end - start)
    return level


@pytest.fixture(autouse=True)
def stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speech is where it is loud: the network for it knows noise for what it is."""

    def found(sound: Waveform) -> list[tuple[float, float]]:
        loud = Loudness().heard_gap(sound, FRAMES) > 0.005
        edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]]))).tolist()
        return [(a / 25, b / 25) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    monkeypatch.setattr(speaking, "speech_segments", found)


def face(level: np.ndarray, first: int = 0) -> Face:
    return Face(first, level[first:], np.ones(len(level) - first, bool))


def test_each_of_two_faces_gets_its_own_turns() -> None:
    a, b = talk([(10, 70), (150, 190)]), talk([(80, 140), (200, 240)], 50)
    first, second = who_speaks(voice_of(a + b), FRAMES, [face(a), face(b)], Loudness())
    assert first.speech == ((0.4, 2.8), (6.0, 7.6)) and second.speech == ((3.2, 5.6), (8.0, 9.6))
    assert first.kind == second.kind == "matched" and not first.doubt and not second.doubt
    loud = Loudness().heard_gap(first.voice, FRAMES)
    assert loud[90:130].max() == 0 and loud[20:60].mean() > 0.05, "the other's turn is silent"


def test_who_is_not_seen_is_nobody_of_those_seen() -> None:
    a, unseen = talk([(10, 70)]), talk([(90, 240)], 99)
    still = np.zeros(FRAMES)
    first, second = who_speaks(voice_of(a + unseen), FRAMES, [face(a), face(still)], Loudness())
    assert first.speech == ((0.4, 2.8),) and second.speech == ()
    assert first.doubt == second.doubt == ((3.6, 9.6),) and second.kind == ""


def test_a_lone_face_has_the_voice_unless_its_lips_deny_it() -> None:
    mine, other = talk([(10, 120)]), talk([(5, 240)], 7)
    (said,) = who_speaks(voice_of(mine), FRAMES, [face(mine)], Loudness())
    assert said.kind == "matched" and said.sync is not None and said.sync.r > 0.9
    (denied,) = who_speaks(voice_of(other), FRAMES, [face(talk([(20, 200)], 3)[::-1])], Loudness())
    assert denied.kind == "" and denied.doubt and denied.sync is not None
    short = talk([(10, 30)])
    (little,) = who_speaks(voice_of(short), FRAMES, [face(np.zeros(FRAMES))], Loudness())
    assert little.kind == "assumed" and little.sync is None


def test_a_late_sound_is_moved_and_told() -> None:
    level = talk([(10, 120), (150, 230)])
    late = np.concatenate([np.zeros(4), level[:-4]])
    (said,) = who_speaks(voice_of(late), FRAMES, [face(level)], Loudness())
    assert said.sync is not None and said.sync.lag == 4 and said.speech[0] == (0.4, 4.8)
    assert np.abs(Loudness().heard_gap(said.voice, FRAMES) - level)[20:200].mean() < 0.01


def test_a_face_that_comes_later_has_its_own_clock() -> None:
    level = talk([(10, 60), (120, 200)])
    (said,) = who_speaks(voice_of(level), FRAMES, [face(level, 100)], Loudness())
    assert said.speech == ((0.8, 4.0),) and said.voice.frames == FRAMES - 100


def test_lags_and_correlations() -> None:
    lips = np.random.default_rng(0).normal(size=200)
    heard = np.concatenate([np.zeros(3), lips])[:200]
    found = lag_of(heard, lips)
    assert found.lag == 3 and found.r == pytest.approx(1.0)
    assert lag_of(np.zeros(10), np.zeros(10)) == Match(0, 0.0)
    assert lag_of(np.zeros(0), np.zeros(0)).r == 0
    known = np.zeros(200, bool)
    known[:2] = True
    assert correlation(lips, lips, 0, known) == 0, "two frames tell nothing"


def test_pieces_of_sound_and_time() -> None:
    assert mask_of([(0.0, 0.08), (0.2, 0.24)], 7).tolist() == [True, True, 0, 0, 0, True, 0]
    assert within([(0.0, 1.0), (2.0, 5.0)], 0.5, 3.0) == ((0.0, 0.5), (1.5, 2.5))
    sound = Waveform(np.ones(16_000, np.float32))
    kept = only_in(sound, [(0.4, 0.5)]).samples
    assert kept[:4000].max() == 0 and kept[7000] == pytest.approx(1) and kept[12_000:].max() == 0
    assert shifted(sound, -5, 5).samples.max() == 0 and len(shifted(sound, 3, 9).samples) == 5760
