"""The files that examples name are there, and every example that needs no more of them can run."""

from pathlib import Path

import pytest

from app.cli.commands import main
from app.render.samples import as_srt, write_samples
from app.render.turns import load_turns
from audio2motion.gestures.timeline import load_timeline
from audio2motion.gestures.transcript import Transcript
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.speakers import find_speaker


def test_samples_are_what_the_examples_want_and_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "me.jpg").write_text("mine")
    assert main(["samples", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "me.jpg is there already" in said.err and str(tmp_path / "me.jpg") not in said.out
    assert (tmp_path / "me.jpg").read_text() == "mine"
    answer, left, right = (
        Waveform.load(tmp_path / f"{name}.wav") for name in ("answer", "left", "right")
    )
    assert answer.seconds > 2 and left.seconds == right.seconds
    words = Transcript.load(tmp_path / "answer.srt")
    assert words.timed and words.words[-1].end < answer.seconds + 0.1
    assert len(load_timeline(tmp_path / "timeline.json")) == 3
    asked, *said = load_turns(tmp_path / "dialogue.json")
    assert asked.recording == tmp_path / "question.wav" and all(turn.text for turn in said)
    assert write_samples(tmp_path, lambda notice: None) == []


def test_a_cue_is_a_word_with_its_marks_and_is_read_again() -> None:
    _, words = find_speaker("en-us").say("No, not right. Yes!")
    text = as_srt(words)
    assert "No,\n" in text and "right.\n" in text and "-->" in text


def test_a_folder_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["samples", str(tmp_path / "file")]) == 2
    assert "cannot write into" in capsys.readouterr().err
