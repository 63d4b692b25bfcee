"""Transcripts: times of words, what is found in them, and files of all kinds."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from audio2motion.gestures.gestures import Gesture
from audio2motion.gestures.lexicon import FUNCTION_WORDS, GESTURES, WORDS
from audio2motion.gestures.transcript import Transcript, guess_language, merge, split_words
from audio2motion.voice.synthesis import synthesize_phonemes, synthesize_transcript
from weights.errors import InputError


def found(text: str, language: str | None = None) -> list[tuple[str, str]]:
    """(kind, word) of the gestures in a text that is said at two words a second."""
    whole = Transcript(text, language=language)
    said = whole.spread([(0.0, max(1.0, 0.5 * len(split_words(text))))])
    gestures = said.gestures()
    for gesture in gestures:
        assert gesture.source is not None
        assert text[gesture.source.first : gesture.source.last] == gesture.source.word
    return [(g.kind, g.source.word) for g in gestures if g.source]


def test_every_meaning_has_gestures_and_words() -> None:
    for language, words in WORDS.items():
        assert set(words) - {"neutral"} <= set(GESTURES) and "neutral" in words
        assert set(GESTURES) - set(words) == {"question"}, language  # found by its mark
        every = " ".join(words.values()).split()
        twice = {w for w in every if every.count(w) > 1}
        assert not twice, f"{language}: {twice}"
    assert set(FUNCTION_WORDS) == set(WORDS)


@pytest.mark.parametrize(
    ("text", "kind", "word"),
    [
        ("Yes, we can do that.", "nod", "Yes"),
        ("That is right.", "nod", "right"),
        ("I would never do it.", "shake", "never"),
        ("I don't like it.", "shake", "don't"),
        ("I don\u2019t like it.", "shake", "don\u2019t"),
        ("Do you know the place?", "brow-raise", "place"),
        ("Hello, this is Ann.", "smile", "Hello"),
        ("Maybe we can go home.", "look-away", "Maybe"),
        ("It is very big.", "brow-raise", "very"),
        ("I am so sorry about that.", "tilt", "sorry"),
        ("That is terrible news.", "frown", "terrible"),
        ("I was just kidding.", "wink", "just kidding"),
        ("Listen, I have a plan.", "look-at", "Listen"),
        ("There is no doubt about it.", "nod", "no doubt"),
        ("That is not bad for a start.", "smile", "not bad"),
        ("Ja, das geht.", "nod", "Ja"),
        ("Das ist nicht der Weg.", "shake", "nicht"),
        ("Oui, c'est la maison.", "nod", "Oui"),
        ("Je ne suis pas dans la maison.", "shake", "pas"),
        ("Sí, es una casa.", "nod", "Sí"),
        ("Nunca voy a la casa.", "shake", "Nunca"),
    ],
)
def test_words_ask_for_gestures(text: str, kind: str, word: str) -> None:
    assert (kind, word) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "That's not right.",
        "I don't think that is true.",
        "I do not agree with you.",
        "Certainly not.",
        "Of course not.",
        "Absolutely not, my friend.",
        "Das stimmt nicht.",
        "Das ist nicht wahr und nicht richtig.",
        "Ce n'est pas vrai.",
        "Je ne suis pas d'accord avec vous.",
        "No es verdad, no.",
        "Claro que no.",
    ],
)
def test_negation_beats_yes(text: str) -> None:
    kinds = {kind for kind, _ in found(text)}
    assert "shake" in kinds and "nod" not in kinds


@pytest.mark.parametrize(
    "text",
    [
        "Turn right now and go on.",
        "The house on the right hand side.",
        "Make sure that the door is shut.",
        "The table is in the kitchen.",
        "Das ist ja die Frau mit dem Hund.",
    ],
)
def test_what_only_looks_like_yes(text: str) -> None:
    assert found(text) == []


def test_a_negation_ends_with_its_clause() -> None:
    kinds = [kind for kind, _ in found("No, that is quite right.")]
    assert kinds == ["shake", "nod"]


def test_one_part_of_the_face_does_one_thing_at_a_time() -> None:
    text = "Yes, no, yes, no, right, exactly, never, very, really? Hello! Great, wonderful, sorry!"
    gestures = Transcript(text, language="en").spread([(0.0, 7.0)]).gestures()
    assert len(gestures) > 6
    for region in {g.region for g in gestures}:
        own = [g for g in gestures if g.region == region]
        assert all(a.end < b.start for a, b in pairwise(own)), region


def test_a_placed_gesture_takes_the_place_of_a_found_one() -> None:
    gestures = Transcript("Yes, hello there.").spread([(1.0, 3.0)]).gestures()
    nods = [g for g in gestures if g.kind == "nod"]
    placed = Gesture.at("shake", nods[0].start + 0.2)
    merged = merge(gestures, [placed])
    assert placed in merged and nods[0] not in merged
    assert {g.kind for g in merged} >= {"smile", "shake"}
    assert [g.start for g in merged] == sorted(g.start for g in merged)
    assert merge(gestures, [Gesture.at("shake", 50.0)])[:-1] == gestures
    two = [Gesture.at("nod", 1.0), Gesture.at("nod", 1.1)]
    assert list(merge([], two)) == two, "what a person places stays"


def test_languages_are_told_apart() -> None:
    for text, language in (
        ("This is the house that I have seen.", "en"),
        ("Das ist das Haus, das ich gesehen habe.", "de"),
        ("C'est la maison que je vous ai montrée.", "fr"),
        ("Esta es la casa que yo he visto.", "es"),
        ("Xyzzy.", "en"),
    ):
        assert guess_language(text) == language
    assert found("No, no.", "sv") == []


# -- times -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        (
            "Hello! Don't do that, Mr. Smith: it's 42 degrees. No, that's not right... Is it?",
            "en-us",
        ),
        ("Grüß Gott, das stimmt nicht. Ja, genau!", "de"),
        ("Ça va ? Ce n'est pas vrai, l'état.", "fr-fr"),
    ],
)
def test_a_synthesiser_knows_when_its_words_are_said(text: str, voice: str) -> None:
    sound, said = synthesize_transcript(text, voice)
    same, phonemes = synthesize_phonemes(text, voice)
    assert np.array_equal(sound.samples, same.samples)
    assert [(w.first, w.last) for w in said.words] == split_words(text)
    starts = [w.start for w in said.words]
    assert starts == sorted(starts) and len(set(starts)) == len(starts)
    for word in said.words:
        assert word.start < word.end <= sound.seconds
        near = min(abs(word.start - p.start) for p in phonemes)
        # A stop begins with its closure, before the phoneme's own event.
        assert near < 0.05, "a word begins with one of its phonemes"
    assert said.language == voice.lower()


def test_words_end_where_a_pause_begins() -> None:
    sound, said = synthesize_transcript("Hello. Goodbye.")
    first, second = said.words
    assert second.start - first.end > 0.15
    quiet = sound.samples[round(first.end * 16_000 + 800) : round(second.start * 16_000 - 800)]
    assert np.abs(quiet).max() < 0.02


def test_plain_text_is_spread_over_speech() -> None:
    said = Transcript("One two three four five six").spread([(1.0, 2.0), (5.0, 6.0)])
    starts = [w.start for w in said.words]
    assert starts == sorted(starts) and starts[0] == pytest.approx(1.0, abs=1e-3)
    assert all(1 <= s <= 2 or 5 <= s <= 6 for s in starts)
    assert said.words[-1].end == pytest.approx(6.0)
    assert Transcript("One").spread([]).words[0].start == 0


# -- files -------------------------------------------------------------------------------------


def load(path: Path, text: str) -> Transcript:
    path.write_text(text, encoding="utf-8")
    return Transcript.load(path)


def words_of(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [
        (transcript.text[w.first : w.last], round(w.start, 2), round(w.end, 2))
        for w in transcript.words
    ]


def test_json_of_recognisers(tmp_path: Path) -> None:
    wanted = [("No", 1.0, 1.5), ("right", 2.0, 2.5)]
    words = '[{"word": " No,", "start": 1, "end": 1.5}, {"word": "right", "start": 2, "end": 2.5}]'
    for text in (words, f'{{"words": {words}}}', f'{{"segments": [{{"words": {words}}}]}}'):
        said = load(tmp_path / "t.json", text)
        assert words_of(said) == wanted and said.text == "No, right"
    said = load(
        tmp_path / "t.json",
        '{"language": "de", "segments": [{"text": " Das Ja ", "start": 1, "end": 2}]}',
    )
    assert said.language == "de" and words_of(said) == [("Das", 1.0, 1.57), ("Ja", 1.57, 2.0)]


def test_subtitles(tmp_path: Path) -> None:
    srt = "1\n00:00:01,000 --> 00:00:02,000\n<i>Yes.</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nNo!\n"
    said = load(tmp_path / "t.srt", srt.replace("\n", "\r\n"))
    assert words_of(said) == [("Yes", 1.0, 2.0), ("No", 3.0, 4.0)]
    assert [g.kind for g in said.gestures()] == ["nod", "shake"]
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000 align:start\n<v Ann>Hello there\n\nNOTE no one\n"
    said = load(tmp_path / "t.vtt", vtt)
    assert [w for w, _, _ in words_of(said)] == ["Hello", "there"]
    span = said.gestures()[0].source
    assert span is not None and vtt[span.first : span.last] == "Hello"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.json", "{", "is not JSON"),
        ("t.json", "{}", "holds no list of words"),
        ("t.json", '[{"word": "a"}]', "wanted a word, and a start and an end in seconds"),
        ("t.json", '[{"word": "a", "start": 2, "end": 1}]', "wanted a word"),
        ("t.json", "[]", "there are no words"),
        ("t.srt", "Hello", "there are no times such as"),
        ("t.srt", "00:00:02,000 --> 00:00:01,000\nNo", "ends before it starts"),
        ("t.txt", " ... ", "there are no words"),
        ("t.doc", "Hello", "must end in .json, .srt, .vtt, .txt"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load(tmp_path / name, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no transcript"):
        Transcript.load(tmp_path / "none.srt")
