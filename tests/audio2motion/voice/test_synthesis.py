"""Speech from text: voices, determinism, and phonemes that are where the sound is."""

import threading

import numpy as np
import pytest

from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from audio2motion.voice.synthesis import (
    list_variants,
    list_voices,
    synthesize,
    synthesize_phonemes,
)
from weights.errors import InputError

LONG = "\u02d0"  # the IPA mark of a long vowel
TEXT = "Sasha sees six sheep. Papa, stop it!"


def pitch(sound: Waveform) -> float:
    """Median pitch in hertz, by the peak of the autocorrelation of voiced 40 ms pieces."""
    found = []
    for at in range(0, len(sound) - 640, 640):
        piece = sound.samples[at : at + 640]
        piece = piece - piece.mean()
        if np.sqrt(np.mean(piece**2)) < 0.05:
            continue
        correlation = np.correlate(piece, piece, "full")[639:] / np.dot(piece, piece)
        lag = 40 + int(np.argmax(correlation[40:260]))
        if correlation[lag] > 0.6:
            found.append(SAMPLE_RATE / lag)
    return float(np.median(found))


@pytest.mark.parametrize(
    "voice", ["en-us", "EN_US", "en-gb", "de", "fr", "ar", "cmn", "zh", "English (America)"]
)
def test_voices_speak(voice: str) -> None:
    sound = synthesize("One, two, three.", voice)
    assert sound.sample_rate == SAMPLE_RATE
    assert 0.8 < sound.seconds < 3.0
    assert 0.2 < sound.peak <= 1.0


def test_voices_differ() -> None:
    spoken = {v: synthesize("table", v).samples.tobytes() for v in ("en-us", "en-gb", "de", "fr")}
    assert len(set(spoken.values())) == 4
    # A name that is only a language gives the voice that has it first.
    assert spoken["fr"] == synthesize("table", "fr-fr").samples.tobytes()


def test_same_arguments_same_samples() -> None:
    first = synthesize(TEXT)
    synthesize("Etwas anderes dazwischen.", "de", pitch=90)
    np.testing.assert_array_equal(synthesize(TEXT).samples, first.samples)


def test_threads_take_turns() -> None:
    expected = {text: synthesize(text).samples for text in ("hello", "good bye", "thank you")}
    wrong = []

    def speak(text: str) -> None:
        for _ in range(4):
            if not np.array_equal(synthesize(text).samples, expected[text]):
                wrong.append(text)

    threads = [threading.Thread(target=speak, args=(text,)) for text in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_variant_rate_and_pitch_do_what_they_say() -> None:
    plain = synthesize(TEXT)
    assert pitch(synthesize(TEXT, "en-us+f3")) > 1.3 * pitch(plain)
    assert pitch(synthesize(TEXT, pitch=80)) > 1.15 * pitch(plain)
    assert synthesize(TEXT, words_per_minute=240).seconds < 0.8 * plain.seconds
    assert "f3" in list_variants()


def test_phonemes_are_where_the_sound_is() -> None:
    sound, phonemes = synthesize_phonemes(TEXT)
    hiss, vowel = [], []
    spoken = np.zeros(len(sound), bool)
    for ipa, start, end in phonemes:
        first, last = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
        piece = sound.samples[first:last]
        spoken[first:last] = True
        # A difference filter: near 2 for noise at the top of the band, near 0 for a low tone.
        brightness = np.std(np.diff(piece)) / (np.std(piece) + 1e-9)
        if ipa in ("s", "ʃ"):
            hiss.append(brightness)
        elif "æ" in ipa or LONG in ipa:
            vowel.append(brightness)
    assert (len(hiss), len(vowel)) == (7, 5)
    assert min(hiss) > 2 * max(vowel)
    # Pauses are silent: 5 ms at their edges belong to the resampler.
    pause = np.convolve(spoken, np.ones(161), "same") == 0
    assert pause.sum() > 0.2 * SAMPLE_RATE
    assert np.abs(sound.samples[pause]).max() < 1e-3


def test_phonemes_are_in_order_and_inside() -> None:
    sound, phonemes = synthesize_phonemes("A short sentence. And another one.")
    times = [t for p in phonemes for t in (p.start, p.end)]
    assert times == sorted(times)
    assert times[0] >= 0.0
    assert times[-1] <= sound.seconds + 1e-3
    assert all(p.ipa for p in phonemes)
    text = "".join(p.ipa for p in phonemes)
    assert text.startswith("ɐʃ"), text


def test_list_voices() -> None:
    voices = {voice.name: voice for voice in list_voices()}
    assert len(voices) > 100
    assert "en-us" in voices["en-us"].languages
    assert voices["de"].description == "German"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "empty"),
        (" \n", {}, "empty"),
        ("...", {}, "nothing to say"),
        ("a\0b", {}, "not plain text"),
        ("\ud800", {}, "not plain text"),
        ("x" * 20_001, {}, "20001 characters"),
        ("hello", {"voice": "atlantean"}, r"no voice 'atlantean'; there are \d+, such as .*en-us"),
        ("hello", {"voice": "de-zz"}, "such as de, "),
        ("hello", {"voice": ""}, "no voice"),
        ("hello", {"voice": "en-us+nobody"}, "variant 'nobody'"),
        ("hello", {"voice": "../../etc/passwd"}, "no voice"),
        ("hello", {"words_per_minute": 10}, "words a minute"),
        ("hello", {"pitch": 100}, "pitch 100"),
    ],
)
def test_errors_say_what_is_wrong(text: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        synthesize(text, **options)
