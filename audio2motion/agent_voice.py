"""What the agent says, whoever says it: a file, espeak-ng or a language model, as one stream.

Every source is an AgentVoice: `speak()` gives pieces of sound as they come, with the words that
they say, where those are known, and the codes in them (see reply_codes.py). `listen` joins them.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from audio2motion.audio import SAMPLE_RATE, Sound, Waveform
from audio2motion.reply_codes import ReplyCode, Span, place
from audio2motion.sentences import SentenceStream
from audio2motion.synthesis import Word, synthesize_words
from weights.errors import InputError, MediaError


@dataclass(frozen=True, eq=False)
class SpokenPiece:
    """A piece of what is said: `sound` at 16 kHz, from `start` seconds on.

    The first piece of a sentence has its `text`, where that lies in all that is said (`span`) and
    its `codes`, so that they are known before they are due: their times are in this sentence, at or
    after `start`. The other pieces have an empty text and the span of the sentence they go on with.
    `exact` is False where the times of codes are estimates, because the sentence's length was not
    known yet. Texts joined are all the text, sounds joined all the sound; a sound may be empty.
    """

    sound: Waveform
    start: float
    text: str = ""
    span: Span = (0, 0)
    codes: tuple[ReplyCode, ...] = ()
    exact: bool = True


@runtime_checkable
class Pieces(Protocol):
    """Pieces in order. `close` stops the speaker at once and lets go of files and connections."""

    def __iter__(self) -> Iterator[SpokenPiece]: ...

    def __next__(self) -> SpokenPiece: ...

    def close(self) -> None: ...


class AgentVoice(ABC):
    """Where the agent's voice comes from."""

    @abstractmethod
    def speak(self) -> Pieces:
        """Begin to speak; every call says it anew. Raises a VisavisError, here or at a piece."""


class FileVoice(AgentVoice):
    """A recording, a second at a time; its words are not known. Raises MediaError unless 16 kHz."""

    def __init__(self, sound: Sound) -> None:
        if sound.sample_rate != SAMPLE_RATE:
            raise MediaError(f"got a voice at {sound.sample_rate} Hz; wanted {SAMPLE_RATE}")
        self._sound = sound

    def speak(self) -> Pieces:
        """The recording from its start."""
        return self._pieces()

    def _pieces(self) -> Generator[SpokenPiece, None, None]:
        start = 0
        for block in self._sound.blocks():
            yield SpokenPiece(Waveform(block), start / SAMPLE_RATE)
            start += len(block)


class TextVoice(AgentVoice):
    """A text that espeak-ng speaks with `voice`, a sentence at a time; exact times of its words.

    Codes in it (`"[smile] Hello."`) are not spoken; everything else in brackets is.
    """

    def __init__(self, text: str, voice: str = "en-us") -> None:
        self._text, self._voice = text, voice

    def speak(self) -> Pieces:
        """Speak the text; raises what `synthesize` raises at the first piece."""
        return self._pieces()

    def _pieces(self) -> Generator[SpokenPiece, None, None]:
        stream = SentenceStream(keep_unknown=True)
        sentences = [*stream.push(self._text), *stream.flush()]
        # In one go: the melody of a text is not that of its sentences one by one.
        sound, words = synthesize_words(stream.text, self._voice)
        starts = [_said(words, s.span[0], sound.seconds) for s in sentences]
        starts = [0.0, *starts[1:], sound.seconds]
        for sentence, start, end in zip(sentences, starts, starts[1:], strict=False):
            codes = place(
                sentence,
                start,
                lambda at, s=sentence, t=start, e=end: _said(words, s.first + at, e) - t,
            )
            first, last = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
            part = Waveform(sound.samples[first:last])
            yield SpokenPiece(part, first / SAMPLE_RATE, sentence.text, sentence.span, codes)


def _said(words: list[Word], at: int, end: float) -> float:
    """Seconds at which the word at or after character `at` begins; `end` where none does."""
    return next((min(word.start, end) for word in words if word.last > at), end)


@dataclass(frozen=True, eq=False)
class SpokenReply:
    """All that was said: the sound, its words as `text` ("" where not known), the codes in them."""

    sound: Waveform
    text: str
    codes: tuple[ReplyCode, ...]

    def delayed(self, seconds: float) -> "SpokenReply":
        """The same after `seconds` of silence."""
        silence = Waveform.silence(seconds)
        sound = Waveform(np.concatenate([silence.samples, self.sound.samples]))
        codes = tuple(replace(c, time=c.time + silence.seconds) for c in self.codes)
        return SpokenReply(sound, self.text, codes)


def listen(voice: AgentVoice) -> SpokenReply:
    """Hear a voice to its end. Times that could only be estimated while a sentence was still being
    spoken are put right by its true length.

    Raises what the voice raises; InputError when it says nothing.
    """
    pieces = voice.speak()
    heard: list[SpokenPiece] = []
    try:
        heard.extend(pieces)
    finally:
        pieces.close()
    samples = [piece.sound.samples for piece in heard]
    if not sum(map(len, samples)):
        raise InputError("the agent's voice said nothing; wanted at least a word")
    sound = Waveform(np.concatenate(samples))
    sentences = [piece for piece in heard if piece.text]
    ends = [*(piece.start for piece in sentences[1:]), sound.seconds]
    codes: list[ReplyCode] = []
    for piece, end in zip(sentences, ends, strict=False):
        codes += piece.codes if piece.exact else _spread(piece, piece.codes, end)
    # Codes after the last word came when it had been said; here they can still go with it.
    late = [code for piece in heard if not piece.text for code in piece.codes]
    if late and sentences:
        last = sentences[-1]
        word = [m.span() for m in re.finditer(r"\w+", last.text)][-1:] or [(0, len(last.text))]
        offset = last.span[1] - len(last.text.rstrip())
        span = (word[0][0] + offset, word[0][1] + offset)
        codes += _spread(last, tuple(replace(code, span=span) for code in late), sound.seconds)
    return SpokenReply(sound, "".join(piece.text for piece in heard), tuple(codes))


def _spread(piece: SpokenPiece, codes: tuple[ReplyCode, ...], end: float) -> list[ReplyCode]:
    """Codes of a sentence in proportion to where its characters stand."""
    first, last = piece.span
    pace = (end - piece.start) / max(1, last - first)
    return [
        replace(c, time=piece.start + min(max(0, c.span[0] - first), last - first) * pace)
        for c in codes
    ]
