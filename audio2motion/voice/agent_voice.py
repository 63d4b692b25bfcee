"""What the agent says, whoever says it: a file, a synthesiser or a language model, as one stream.

Every source is an AgentVoice: `speak()` gives pieces of sound as they come, with the words that
they say, where those are known, and the codes in them (see reply_codes.py). `listen` joins them.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from audio2motion.gestures.transcript import Transcript, Word
from audio2motion.hearing.audio import SAMPLE_RATE, Sound, Waveform
from audio2motion.voice.reply_codes import Characters, ReplyCode, Sentence, at_word, place
from audio2motion.voice.sentences import SentenceStream
from audio2motion.voice.speakers import DEFAULT_VOICE, Speaker, find_speaker
from audio2motion.voice.synthesis import check_text
from weights.errors import InputError, MediaError


@dataclass(frozen=True, eq=False)
class SpokenPiece:
    """A piece of what is said: `sound` at 16 kHz, from `start` seconds on.

    The first piece of a sentence has its `text`, where that lies in all that is said (`span`), its
    `words` and its `codes`, so that they are known before they are due: their times are in this
    sentence, at or after `start`. The other pieces have an empty text and the span of the sentence
    they go on with. `exact` is False where the times of words and codes are estimates, because the
    sentence's length was not known yet. Texts joined are all the text, sounds joined all the sound;
    a sound may be empty.
    """

    sound: Waveform
    start: float
    text: str = ""
    span: Characters = (0, 0)
    words: tuple[Word, ...] = ()
    codes: tuple[ReplyCode, ...] = ()
    exact: bool = True


@runtime_checkable
class Pieces(Protocol):
    """Pieces in order. `close` stops the speaker at once and lets go of files and connections."""

    def __iter__(self) -> Iterator[SpokenPiece]: ...

    def __next__(self) -> SpokenPiece: ...

    def close(self) -> None: ...


class AgentVoice(ABC):
    """Where the agent's voice comes from, and its `language`, where that is known."""

    language: str | None = None

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
    """A text that a voice of `list_speakers` says, a sentence at a time; exact times of its words.

    Codes in it (`"[smile] Hello."`) are not spoken; everything else in brackets is. `notify` is
    told when another voice has to stand in.
    """

    def __init__(
        self,
        text: str,
        voice: str = DEFAULT_VOICE,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self._text, self._speaker, self._notify = text, find_speaker(voice), notify
        self.language = self._speaker.language

    def speak(self) -> Pieces:
        """Speak the text; raises what `Speaker.say` raises, at a piece."""
        return self._pieces()

    def _pieces(self) -> Generator[SpokenPiece, None, None]:
        stream = SentenceStream(keep_unknown=True)
        sentences = [*stream.push(self._text), *stream.flush()]
        if self._notify is not None and self._speaker.notice is not None:
            self._notify(self._speaker.notice)
        if self._speaker.natural is None:
            yield from _at_once(sentences, stream.text, self._speaker)
        else:
            check_text(stream.text)
            yield from _one_by_one(sentences, self._speaker)


def _at_once(sentences: Sequence[Sentence], text: str, speaker: Speaker) -> Iterator[SpokenPiece]:
    """espeak-ng is quick, and the melody of a text is not that of its sentences one by one."""
    sound, said = speaker.say(text)
    ends = [word.last for word in said.words]
    begins = [min(word.start, sound.seconds) for word in said.words] + [sound.seconds]
    # A sentence starts with the word at or after its first character.
    starts = [begins[bisect_right(ends, sentence.span[0])] for sentence in sentences]
    starts = [0.0, *starts[1:], sound.seconds]
    firsts = [word.first for word in said.words]
    for sentence, start, end in zip(sentences, starts, starts[1:], strict=False):
        past = sentence.first + len(sentence.text)
        words = said.words[bisect_left(firsts, sentence.first) : bisect_left(firsts, past)]
        first, last = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
        yield SpokenPiece(
            Waveform(sound.samples[first:last]),
            first / SAMPLE_RATE,
            sentence.text,
            sentence.span,
            words,
            place(sentence, start, words),
        )


def _one_by_one(sentences: Sequence[Sentence], speaker: Speaker) -> Iterator[SpokenPiece]:
    """A network takes its time: each sentence is heard while the next is not there yet."""
    start = 0.0
    for sentence in sentences:
        sound, words = Waveform.silence(0.0), ()
        if sentence.has_words:
            sound, said = speaker.say(sentence.text)
            words = tuple(
                Word(
                    w.first + sentence.first,
                    w.last + sentence.first,
                    w.start + start,
                    w.end + start,
                )
                for w in said.words
            )
        codes = place(sentence, start, words)
        yield SpokenPiece(sound, start, sentence.text, sentence.span, words, codes)
        start += sound.seconds


@dataclass(frozen=True, eq=False)
class SpokenReply:
    """All that was said: the sound, its words (no text where they are not known), the codes."""

    sound: Waveform
    transcript: Transcript
    codes: tuple[ReplyCode, ...]

    @property
    def text(self) -> str:
        """What was said, without codes."""
        return self.transcript.text

    def delayed(self, seconds: float, tail: float = 0.0) -> "SpokenReply":
        """The same after `seconds` of silence, with `tail` seconds of it at the end."""
        silence, end = Waveform.silence(seconds), Waveform.silence(tail)
        sound = Waveform(np.concatenate([silence.samples, self.sound.samples, end.samples]))
        codes = tuple(replace(c, time=c.time + silence.seconds) for c in self.codes)
        return SpokenReply(sound, self.transcript.delayed(silence.seconds), codes)


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
    words: list[Word] = []
    codes: list[ReplyCode] = []
    for piece, end in zip(sentences, ends, strict=False):
        part = piece if piece.exact else _spread(piece, end)
        words += part.words
        codes += part.codes
    # Codes after the last word came when it had been said; here they can still go with it.
    late = [code for piece in heard if not piece.text for code in piece.codes]
    codes += [at_word(code, words[-1]) for code in late if words]
    text = "".join(piece.text for piece in heard)
    return SpokenReply(sound, Transcript(text, tuple(words), voice.language), tuple(codes))


def _spread(piece: SpokenPiece, end: float) -> SpokenPiece:
    """A sentence that was over at `end`: its words, each as long as it has letters, and codes."""
    within = Transcript(piece.text).spread([(piece.start, end)]).words
    words = tuple(
        replace(word, start=new.start, end=new.end)
        for word, new in zip(piece.words, within, strict=True)
    )
    first_there = {word.first: word for word in words}
    codes = tuple(
        at_word(code, first_there[code.span[0]]) if code.span[0] in first_there else code
        for code in piece.codes
    )
    return replace(piece, words=words, codes=codes)
