"""Voices as one protocol: files and texts, in pieces that join to the whole."""

import struct

import numpy as np
import pytest

from audio2motion.hearing.audio import Waveform
from audio2motion.hearing.sound_stream import SoundStream
from audio2motion.voice.agent_voice import AgentVoice, FileVoice, Pieces, TextVoice, listen
from audio2motion.voice.synthesis import synthesize, synthesize_transcript
from tests.audio2motion.voice.endpoint_server import wav
from weights.errors import InputError, MediaError

TEXT = "Hello there, my friend. It costs 42 dollars.\nIs that too much?"


def test_a_file_is_said_piece_by_piece() -> None:
    sound = synthesize(TEXT)
    pieces = list(FileVoice(sound).speak())
    assert len(pieces) > 2 and all(not p.text and not p.codes for p in pieces)
    reply = listen(FileVoice(sound))
    assert np.array_equal(reply.sound.samples, sound.samples) and reply.text == ""
    with pytest.raises(MediaError, match="8000 Hz"):
        FileVoice(Waveform.silence(1.0, 8000))


def test_a_text_is_said_sentence_by_sentence() -> None:
    pieces = list(TextVoice(TEXT, "en-us").speak())
    assert [p.text.strip() for p in pieces] == [
        "Hello there, my friend.", "It costs 42 dollars.", "Is that too much?"
    ]  # fmt: skip
    assert [TEXT[slice(*p.span)] for p in pieces] == [p.text.strip() for p in pieces]
    joined = np.concatenate([p.sound.samples for p in pieces])
    assert np.array_equal(joined, synthesize(TEXT).samples), "as if it were said in one go"


def test_codes_of_a_text_are_where_its_words_are() -> None:
    reply = listen(
        TextVoice("[smile] Hello there. Is it [nod] really so [probably]? [wink]", "en-us")
    )
    plain = "Hello there. Is it really so [probably]?"
    _, said = synthesize_transcript(plain)
    assert reply.text == plain
    assert [c.name for c in reply.codes] == ["smile", "nod", "wink"]
    starts = {plain[w.first : w.last]: w.start for w in said.words}
    assert [c.time for c in reply.codes[:2]] == [starts["Hello"], starts["really"]]
    assert reply.transcript == said
    later = reply.delayed(2.0)
    assert later.transcript.words[0].start == 2.0 + starts["Hello"]
    assert later.codes[1].time == 2.0 + starts["really"]
    assert later.sound.seconds == pytest.approx(reply.sound.seconds + 2.0)


@pytest.mark.parametrize(
    "voice", [FileVoice(Waveform.silence(3.0)), TextVoice("Hi. You.", "en-us")]
)
def test_every_voice_can_be_closed(voice: AgentVoice) -> None:
    pieces = voice.speak()
    assert isinstance(pieces, Pieces)
    next(pieces)
    pieces.close()
    assert next(pieces, None) is None


@pytest.mark.parametrize("text", ["", "[nod]", "..."])
def test_nothing_to_say_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        listen(TextVoice(text))


def heard(data: bytes, size: int, pcm_rate: int | None = None) -> np.ndarray:
    stream = SoundStream(pcm_rate)
    parts = [stream.push(data[at : at + size]) for at in range(0, len(data), size)]
    return np.concatenate([*parts, stream.flush()])


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000])
def test_streamed_sound_is_the_same_however_it_is_cut(rate: int) -> None:
    data = wav(0.1, rate)
    whole = heard(data, len(data))
    assert len(whole) == 1600 and np.abs(whole).max() == pytest.approx(12_000 / 32_768, abs=0.02)
    for size in (1, 7, 1000):
        np.testing.assert_allclose(heard(data, size), whole, atol=1e-6)
    np.testing.assert_allclose(heard(data[44:], 999, rate), whole, atol=1e-6)
    known = wav(0.1, rate, unknown_length=False)
    np.testing.assert_allclose(heard(known + b"LIST trailing", 1000), whole, atol=1e-6)


def test_stereo_and_float() -> None:
    values = np.stack([np.full(160, 0.5), np.full(160, -0.25)], 1).astype("<f4")
    header = b"RIFF\0\0\0\0WAVE" + b"JUNK\3\0\0\0abc\0"
    header += b"fmt \x10\0\0\0" + struct.pack("<HHIIHH", 3, 2, 16_000, 128_000, 8, 32)
    data = header + b"data\0\0\0\0" + values.tobytes()
    np.testing.assert_allclose(heard(data, 5), 0.125)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "before any sound"),
        (b"RIFF", "before any sound"),
        (b"<html>", "not a wav"),
        (b"RIFF\0\0\0\0AVI LIST", "not a wav"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "before their format"),
        (b"RIFF\0\0\0\0WAVEfmt \2\0\0\0\1\0", "format is cut off"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 85, 1, 8000, 0, 0, 0), "85"),
        (b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x00", "does not end"),
        (wav(0.1, unknown_length=False)[:500], "bytes of sound are missing"),
    ],
)
def test_what_is_no_sound_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        heard(data, 100)
