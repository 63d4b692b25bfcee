"""Codes in a text: found wherever it is cut, never spoken, placed where the words stand."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio2motion.gestures.emotion import EMOTIONS
from audio2motion.gestures.gestures import KINDS, Span
from audio2motion.gestures.transcript import LEAD_S, Word
from audio2motion.voice.reply_codes import (
    CodeParser,
    Mark,
    ReplyCode,
    Sentence,
    gestures_of,
    leading_emotion,
    place,
    system_prompt,
)
from audio2motion.voice.sentences import LONGEST_SENTENCE, SentenceStream

TEXT = (
    "[happiness] Oh, [nod] yes! I'd love to [smile]. Dr. Wu [laughs] costs 3.5 "
    "[eyebrow raise]dollars.\n\n[see https://x.org/a?b] Well [1]... [sad, shakes head] no [wink]"
)
SPOKEN = "Oh, yes! I'd love to. Dr. Wu costs 3.5 dollars.\n\n[see https://x.org/a?b] Well... no"


def parsed(*pieces: str, keep_unknown: bool = False) -> CodeParser:
    parser = CodeParser(keep_unknown)
    for piece in pieces:
        parser.push(piece)
    parser.flush()
    return parser


def test_codes_are_taken_out() -> None:
    parser = parsed(TEXT)
    assert parser.text == SPOKEN
    names = ["happiness", "nod", "smile", "brow-raise", "sadness", "shake", "wink"]
    assert [m.name for m in parser.marks] == names
    assert [m.kind for m in parser.marks if m.name == "sadness"] == ["emotion"]


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_where_the_text_is_cut_makes_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[a:b] for a, b in pairwise(edges)]
    parser, whole = parsed(*pieces), parsed(TEXT)
    assert (parser.text, parser.marks) == (whole.text, whole.marks)
    stream, at_once = SentenceStream(), SentenceStream()
    found = [s for piece in pieces for s in stream.push(piece)] + stream.flush()
    assert found == at_once.push(TEXT) + at_once.flush()
    assert "".join(s.text for s in found) == SPOKEN


@pytest.mark.parametrize("name", [*EMOTIONS, *KINDS])
def test_every_code_is_asked_for_and_understood(name: str) -> None:
    assert f"[{name}]" in system_prompt()
    (mark,) = parsed(f"Well, [{name.title()}] fine.").marks
    assert mark == Mark("emotion" if name in EMOTIONS else "gesture", name, 5)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("an [open bracket", "an [open bracket"),
        ("a [[nod] b", "a [ b"),
        ("[\nnod]", "[\nnod]"),
        ("x[" + "y" * 60 + "] z", "x[" + "y" * 60 + "] z"),
        ("one ] two", "one ] two"),
        ("[] empty", "[] empty"),
        ("[emotion: fear] Help", "Help"),
        ("[sighs deeply] Help", "Help"),
    ],
)
def test_odd_brackets(text: str, spoken: str) -> None:
    assert parsed(text).text == spoken


def test_a_person_may_write_in_brackets() -> None:
    parser = parsed("[nod] It [probably] works.", keep_unknown=True)
    assert parser.text == "It [probably] works." and len(parser.marks) == 1


def test_sentences_come_as_soon_as_they_are_complete() -> None:
    stream = SentenceStream()
    assert stream.push("Good morning") == [] and stream.push(".") == []
    assert [s.text for s in stream.push(" H")] == ["Good morning."]
    assert [s.text for s in stream.push("ow? “Fine!” St. John said 2.5 e.g. so.")] == [
        " How?",
        " “Fine!”",
    ]
    assert [s.text for s in stream.flush()] == [" St. John said 2.5 e.g. so."]
    assert stream.flush() == []


def test_a_sentence_without_end_is_cut() -> None:
    sentences = SentenceStream().push("word after word, " * 40)
    assert sentences and all(len(s.text) <= LONGEST_SENTENCE for s in sentences)
    assert all(s.text.endswith(",") for s in sentences)
    assert SentenceStream().push("x" * 1000)[0].text == "x" * LONGEST_SENTENCE
    assert [s.text for s in SentenceStream().push("你好。再见。")] == ["你好。", "再见。"]


def test_codes_are_placed_at_their_words() -> None:
    sentence = Sentence(" Oh, yes!", 10, (Mark("gesture", "nod", 14), Mark("emotion", "fear", 99)))
    words = (Word(11, 13, 2.1, 2.3), Word(15, 18, 2.625, 3.0))
    nod, fear = place(sentence, 2.0, words)
    assert nod == ReplyCode("gesture", "nod", 2.625, (15, 18))
    assert fear.span == (15, 18), "after the last word: with it"


def test_codes_can_be_dropped() -> None:
    stream = SentenceStream()
    sentences = stream.push("Yes. [smile] Fine. No. ") + stream.flush()
    assert [[m.name for m in s.marks] for s in sentences] == [[], ["smile"], []]
    assert not any(s.marks for s in SentenceStream(codes=False).push("Yes. [smile] No! So"))


def test_gestures_of_codes_have_their_words_and_room() -> None:
    text = "Oh, yes! Well, no."
    codes = [
        ReplyCode("emotion", "fear", 0.0, (0, 2)),
        ReplyCode("gesture", "smile", 0.05, (0, 2)),
        ReplyCode("gesture", "nod", 0.5, (4, 7)),
        ReplyCode("gesture", "shake", 0.6, (4, 7)),
        ReplyCode("gesture", "tilt", 1.3, (9, 13)),
    ]
    smile, nod, tilt = gestures_of(codes, text)
    assert smile.start == 0.0 and nod.source == Span(4, 7, "yes", "code")
    assert nod.start == pytest.approx(0.5 - LEAD_S) and nod.end < tilt.start
    assert (smile.kind, nod.kind, tilt.kind) == ("smile", "nod", "tilt"), "no two at once"


def test_the_leading_emotion_is_shown_longest() -> None:
    codes = [ReplyCode("emotion", n, t, (0, 1)) for n, t in (("fear", 0.0), ("anger", 1.0))]
    assert leading_emotion(codes, 5.0) == "anger" and leading_emotion(codes, 1.5) == "fear"
    assert leading_emotion([ReplyCode("gesture", "nod", 0.0, (0, 1))], 5.0) is None
