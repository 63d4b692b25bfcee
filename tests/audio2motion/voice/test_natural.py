"""Natural voices: the times of their phonemes and words, long texts, and their models' files."""

import numpy as np
import pytest

from audio2motion.hearing.audio import SAMPLE_RATE
from audio2motion.voice import natural
from audio2motion.voice.agent_voice import TextVoice, listen
from audio2motion.voice.natural import (
    NATURAL,
    NaturalVoice,
    Speech,
    synthesize_naturally,
)
from audio2motion.voice.speakers import find_speaker
from audio2motion.voice.synthesis import utter
from weights import load_safetensors
from weights.errors import DependencyError

TEXT = "Sasha sees six sheep. Papa, stop it!"
QUICK, FINE = NATURAL["joe"], NATURAL["heart"]
needs_voices = pytest.mark.voices


@pytest.fixture(scope="module", params=[QUICK.name, FINE.name])
def speech(request: pytest.FixtureRequest) -> Speech:
    return synthesize_naturally(TEXT, NATURAL[request.param])


@needs_voices
def test_words_and_phonemes_are_in_order_and_inside(speech: Speech) -> None:
    said = speech.transcript
    assert [TEXT[w.first : w.last] for w in said.words] == [
        "Sasha", "sees", "six", "sheep", "Papa", "stop", "it"
    ]  # fmt: skip
    for times in (
        [t for p in speech.phonemes for t in (p.start, p.end)],
        [t for w in said.words for t in (w.start, w.end)],
    ):
        assert times == sorted(times) and times[0] >= 0.0 and times[-1] <= speech.sound.seconds
    assert 2.0 < speech.sound.seconds < 6.0 and 0.2 < speech.sound.peak <= 1.0
    begins = [p.start for p in speech.phonemes if p.ipa in ("ʃ", "s", "p", "ɪ")]
    assert {w.start for w in said.words} <= set(begins), "a word begins where its phoneme does"


@needs_voices
def test_phonemes_are_where_the_sound_is(speech: Speech) -> None:
    """Hissing is bright, vowels are dark; a place that is 60 ms wrong tells neither."""

    def brightness(shift: float) -> float:
        found: dict[bool, list[float]] = {True: [], False: []}
        for ipa, start, end in speech.phonemes:
            first, last = (round((t + shift) * SAMPLE_RATE) for t in (start, end))
            piece = speech.sound.samples[max(0, first) : last]
            if ipa in ("s", "ʃ") or any(vowel in ipa for vowel in "æɑiɪ"):
                found[ipa in ("s", "ʃ")].append(
                    float(np.std(np.diff(piece)) / (np.std(piece) + 1e-3))
                )
        return float(np.mean(found[True]) - np.mean(found[False]))

    assert brightness(0.0) > 0.8
    assert max(brightness(-0.06), brightness(0.06)) < brightness(0.0)


@needs_voices
@pytest.mark.parametrize("voice", [QUICK, FINE])
def test_same_arguments_same_samples(voice: NaturalVoice) -> None:
    one, two = (synthesize_naturally("Oh.", voice).sound.samples for _ in range(2))
    assert np.array_equal(one, two)


@needs_voices
def test_a_text_is_heard_sentence_by_sentence() -> None:
    text = "Hi there. [nod] It costs 1,234 dollars!"
    pieces = list(TextVoice(text, QUICK.name).speak())
    assert [p.text.strip() for p in pieces] == ["Hi there.", "It costs 1,234 dollars!"]
    assert pieces[1].start == pytest.approx(pieces[0].sound.seconds)
    (nod,) = pieces[1].codes
    assert nod.name == "nod" and nod.time == pieces[1].words[0].start
    reply = listen(TextVoice(text, QUICK.name))
    spoken = [reply.text[w.first : w.last] for w in reply.transcript.words]
    assert spoken == ["Hi", "there", "It", "costs", "1", "234", "dollars"]
    assert reply.transcript.language == "en-us"


def test_marks_stand_where_espeak_pauses() -> None:
    text = "Mr. Smith said: it cost 1,234 dollars, no?"
    signs = natural._signs(text, utter(text, "en-us"))
    assert [sign.mark for sign in signs if sign.mark] == [":", ",", ",", "?"]
    begun = [text[first:].split()[0] for sign in signs for first in sign.begins]
    assert begun[:5] == ["Mr.", "Smith", "said:", "it", "cost"]


def test_no_sentence_is_longer_than_a_network_takes() -> None:
    text = "one thousand and one nights " * 60 + "and " + "a" * 900 + ". The end."
    signs = natural._signs(text, utter(text, "en-us"))
    spelt = [(sign, [7] * max(1, len(sign.ipa))) for sign in signs]
    parts = list(natural._sentences(spelt))
    assert [pair for part in parts for pair in part] == spelt, "nothing is left out"
    assert max(sum(len(ids) for _, ids in part) for part in parts) <= 510
    assert not parts[0][-1][0].ipa, "cut between two words"


def test_an_output_is_added_to_a_model() -> None:
    onnx = pytest.importorskip("onnx")
    inner = onnx.helper.make_node("Abs", ["x"], ["inner"])
    outer = onnx.helper.make_node("Neg", ["inner"], ["y"])
    kind = (onnx.TensorProto.FLOAT, [1])
    x, y = (onnx.helper.make_tensor_value_info(name, *kind) for name in "xy")
    model = onnx.helper.make_model(onnx.helper.make_graph([inner, outer], "g", [x], [y]))
    watched = onnx.load_from_string(natural._watched(model.SerializeToString(), "inner"))
    assert [output.name for output in watched.graph.output] == ["y", "inner"]
    assert len(watched.graph.node) == 2


@pytest.mark.weights("kokoro_voices")
def test_all_letters_are_known() -> None:
    styles, config = load_safetensors("kokoro_voices")
    assert set(styles) == {v.name for v in NATURAL.values() if v.engine == "kokoro"}
    assert {style.shape for style in styles.values()} == {(510, 256)}
    for accent, (_, letters) in natural._LETTERS.items():
        assert set("".join(letters.values())) <= set(config["vocabulary"]), accent


def test_other_models_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DependencyError, match="not the known one"):
        natural._session(b"another model", "0" * 64, "lengths", "a_package")
    monkeypatch.setattr(natural, "_PIPER", "no_such_package")
    natural._piper.cache_clear()
    with pytest.raises(DependencyError, match="needs the package no_such_package"):
        synthesize_naturally("Hello.", QUICK)


def test_espeak_stands_in_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(natural, "_KOKORO", ("no_such_package",))
    told: list[str] = []
    reply = listen(TextVoice("Hello. You there.", FINE.name, told.append))
    assert len(told) == 1 and "not installed (extra `voices`" in told[0]
    expected = listen(TextVoice("Hello. You there.", "en-us+f4", told.append))
    assert np.array_equal(reply.sound.samples, expected.sound.samples) and len(told) == 1
    assert find_speaker("de+f3").language == "de" and find_speaker("emma").language == "en-gb"
