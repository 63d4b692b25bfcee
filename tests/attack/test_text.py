"""What people write is parsed or refused in a sentence, in a time that grows with its length."""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import audio2motion.voice.synthesis as synthesis
from app.render.request import MotionRequest
from audio2motion.gestures.gestures import AIMED, KINDS, Gesture
from audio2motion.gestures.text_limits import MAX_ADDRESS, MAX_CHARACTERS, MAX_GESTURES, MAX_NAME
from audio2motion.gestures.timeline import load_timeline, parse_gesture
from audio2motion.gestures.transcript import Transcript, split_words
from audio2motion.voice.sentences import SentenceStream
from tests.attack.long_texts import CUE, LONG, most, write
from weights.errors import InputError, LimitError, VisavisError

KEPT = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PIECES = st.sampled_from(
    [
        *("<", ">", "\n", "\n\n", " ", "-->", ",", ":", ".", "[", "]", "@", "x", "/", '"', "{"),
        *("yes", "no", "not at all", "nod", "1", "00:01.000", "00:02,500", CUE, "\ufeff", "\0"),
        *("WEBVTT", "kind,start", "[nod]", "[smile", "e9", "9" * 20, "NaN", "\u2028", "é", "}"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join)


@KEPT
@given(TEXTS, st.sampled_from([".srt", ".vtt", ".txt", ".json"]))
def test_any_transcript_is_read_or_refused(tmp_path: Path, text: str, suffix: str):
    path = write(tmp_path / f"t{suffix}", text)
    try:
        found = Transcript.load(path)
        gestures = (found if found.timed else found.spread([(0.0, 9.0)])).gestures()
    except VisavisError as error:
        assert "\n" not in str(error).replace(str(path), "")
        return
    assert all(0 <= w.first < w.last <= len(found.text) for w in found.words)
    assert all(a.start <= b.start for a, b in pairwise(gestures))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("word", "text", "start", "end", "words", "segments", "language", "kind"),
                    *("gestures", "duration", "intensity", "aim", "source", "first", "meaning"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@KEPT
@given(JSON)
def test_any_json_is_read_or_refused(tmp_path: Path, value: object):
    path = write(tmp_path / "t.json", json.dumps(value))
    for read in (Transcript.load, load_timeline):
        try:
            assert read(path) is not None
        except VisavisError as error:
            assert str(error)


@KEPT
@given(TEXTS)
def test_any_csv_timeline_is_read_or_refused(tmp_path: Path, text: str):
    path = write(tmp_path / "t.csv", f"kind,start\n{text}")
    try:
        assert isinstance(load_timeline(path), tuple)
    except VisavisError as error:
        assert str(error)


@KEPT
@given(TEXTS)
def test_any_gesture_is_read_or_refused(text: str):
    try:
        assert parse_gesture(text).kind in KINDS
    except VisavisError as error:
        assert len(str(error)) < 400


@KEPT
@given(
    st.sampled_from(KINDS),
    st.integers(0, 86_000_000),
    st.integers(80, 60_000),
    st.integers(0, 2000),
    st.integers(1, 40),
)
def test_a_gesture_that_is_written_is_read_again(
    tmp_path: Path, kind: str, start: int, duration: int, intensity: int, right: int
):
    aim = (float(right), 0.0) if kind in AIMED else None
    gesture = Gesture.at(kind, start / 1000, duration / 1000, intensity / 1000, aim)
    angles = "" if aim is None else f"/{right},0"
    text = f"{kind}{angles}@{start / 1000}:{duration / 1000}x{intensity / 1000}"
    assert parse_gesture(text) == gesture
    assert load_timeline(write(tmp_path / "t.json", json.dumps([asdict(gesture)]))) == (gesture,)


@KEPT
@given(TEXTS, st.integers(1, 7), st.booleans())
def test_codes_are_taken_out_of_any_text_however_it_is_cut(text: str, step: int, keep: bool):
    whole, cut = SentenceStream(keep_unknown=keep), SentenceStream(keep_unknown=keep)
    at_once = [*whole.push(text), *whole.flush()]
    pieces = [s for i in range(0, len(text), step) for s in cut.push(text[i : i + step])]
    assert [*pieces, *cut.flush()] == at_once
    assert "".join(s.text for s in at_once) == whole.text


@pytest.fixture(scope="module")
def taken() -> dict[str, float]:
    """CPU seconds by text, in a process of its own, where beartype checks nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.attack.long_texts"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_long_text_takes_a_second_or_so(name: str, taken: dict[str, float]):
    assert taken[name] < most(name)


def test_a_word_is_where_it_was_when_tags_are_left_out(tmp_path: Path):
    text = f"WEBVTT\n\n{CUE}<v Ann>Yes</v> 3 < 4\n2\n00:03.000 --> 00:04.000\nno\n"
    found = Transcript.load(write(tmp_path / "t.vtt", text))
    assert len(found.text) == len(text)
    said = [text[w.first : w.last] for w in found.words]
    assert said == ["Yes", "3", "4", "2", "no"]
    assert [(w.first, w.last) for w in found.words][-1] == (text.rindex("no"), len(text) - 1)
    assert split_words("<b") == [(1, 2)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": "a" * (MAX_CHARACTERS + 1)}, "a text of 20001 characters"),
        ({"ask": "a" * (MAX_CHARACTERS + 1)}, "an? ask of 20001 characters"),
        ({"ask": "a", "persona": "a" * (MAX_CHARACTERS + 1)}, "persona of 20001 characters"),
        ({"text": "a", "voice": "e" * (MAX_NAME + 1)}, "voice of 201 characters"),
        ({"emotion": "e" * (MAX_NAME + 1)}, "emotion of 201 characters"),
        ({"gaze": "1" * (MAX_NAME + 1)}, "gaze of 201 characters"),
        ({"style": "1" * (MAX_NAME + 1)}, "style of 201 characters"),
        ({"ask": "a", "llm_url": "h" * (MAX_ADDRESS + 1)}, "llm url of 2001 characters"),
        ({"gestures": ["nod@1"] * (MAX_GESTURES + 1)}, "got 10001 gestures"),
        ({"gestures": ["nod@" + "1" * 10**5]}, r"got the gesture 'nod@1+\.\.\.'; wanted KIND"),
    ],
)
def test_a_field_longer_than_anybody_needs_is_refused(fields: dict, said: str):
    with pytest.raises(InputError, match=said):
        MotionRequest(**fields)


def test_a_text_that_would_be_spoken_for_hours_is_stopped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(synthesis, "MAX_SPEECH_S", 60.0)
    begun = time.process_time()
    with pytest.raises(LimitError, match="takes over 1 minutes to speak"):
        synthesis.synthesize("\u6f22" * MAX_CHARACTERS)
    assert time.process_time() - begun < 5
