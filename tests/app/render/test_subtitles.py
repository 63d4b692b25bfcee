"""What the agent says as writing: in cues, in a file, in the picture."""

import numpy as np
import pytest

from app.render.subtitles import Burner, Cue, cues_of, cut, to_webvtt, written
from audio2motion.gestures.transcript import Transcript, Word, split_words
from weights.errors import InputError


def said(text: str, *starts: float) -> Transcript:
    """Words that begin at `starts` and last 0.2 s."""
    spans = zip(split_words(text), starts, strict=True)
    return Transcript(text, tuple(Word(*span, start, start + 0.2) for span, start in spans))


def test_a_subtitle_is_a_sentence_with_its_marks_and_stays_a_moment() -> None:
    cues = cues_of(said('Yes, "well" then! And you?', 0.5, 0.8, 1.1, 1.4, 1.6))
    assert [cue.text for cue in cues] == ['Yes, "well" then!', "And you?"]
    assert (cues[0].start, cues[0].end) == (0.5, 1.4)  # until the next
    assert (cues[1].start, cues[1].end) == (1.4, pytest.approx(2.2))


def test_a_pause_or_too_many_letters_begin_another() -> None:
    assert [c.text for c in cues_of(said("so it is", 0.0, 0.2, 2.0))] == ["so it", "is"]
    long = " ".join(["wonderful"] * 14)
    cues = cues_of(said(long, *np.arange(14) / 5))
    assert len(cues) == 4 and all(len(cue.text) <= 42 for cue in cues)
    assert " ".join(cue.text for cue in cues) == long


def test_times_of_subtitle_files_are_no_words() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nGood day,\n\n2\n00:00:03,000 --> 00:00:04,000\nyou."
    first = text.index("Good")
    words = (Word(first, first + 4, 1.0, 1.5), Word(first + 5, first + 8, 1.5, 2.0))
    last = text.index("you")
    cues = cues_of(Transcript(text, (*words, Word(last, last + 3, 3.0, 4.0))))
    assert [cue.text for cue in cues] == ["Good day,", "you."]


def test_a_part_has_its_own_clock() -> None:
    cues = (Cue(0.0, 1.0, "a"), Cue(1.0, 3.0, "b"), Cue(5.0, 6.0, "c"))
    assert cut(cues, 2.0, 5.0) == (Cue(0.0, 1.0, "b"),)


def test_a_file_says_hours_and_no_tags() -> None:
    text = to_webvtt([Cue(3661.5, 3662.0004, "1 < 2 & so")])
    assert text == "WEBVTT\n\n01:01:01.500 --> 01:01:02.000\n1 &lt; 2 &amp; so\n"


def test_writing_is_white_at_the_bottom_of_a_small_picture_and_within_it() -> None:
    drawn = written("What a wonderful morning it is, and how good to see you", (256, 256))
    inside = drawn[..., 3] > 0
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert rows[0] > 160 and rows[-1] < 254 and columns[0] > 2 and columns[-1] < 253
    letters = (drawn[..., :3].min(-1) > 200) & inside
    assert letters.sum() > 300 and rows[-1] - rows[0] > 25  # two lines


def test_a_word_that_is_too_long_is_broken_and_a_text_that_is_gets_smaller() -> None:
    drawn = written("x" * 50, (128, 64))
    inside = drawn[..., 3] > 0
    assert inside.any() and not inside[:28].any() and not inside[:, [0, -1]].any()


def test_frames_are_written_on_while_it_is_said_and_no_longer() -> None:
    burner = Burner([Cue(0.2, 0.6, "Hello")], 5.0)
    grey = np.full((64, 96, 3), 90, np.uint8)
    changed = [bool((burner.burn(grey, i) != grey).any()) for i in range(5)]
    assert changed == [False, True, True, False, False]
    clear = np.zeros((64, 96, 4), np.uint8)
    assert burner.burn(clear, 1)[..., 3].max() == 255 and not clear.any()


def test_letters_that_no_font_has_are_refused() -> None:
    Burner([Cue(0.0, 1.0, "It’s a good day – isn’t it…")], 25.0)
    with pytest.raises(InputError, match=r"cannot be burned.*as a file"):
        Burner([Cue(0.0, 1.0, "Good day \U0010fffe")], 25.0)
