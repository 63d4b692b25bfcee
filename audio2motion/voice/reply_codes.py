"""Codes in a reply's text, such as `[nod]`: asked for, taken out as the text comes, put in time.

A language model is asked (`system_prompt`) to put `[happiness]`, `[nod]` and the like in
front of the word they belong to. `CodeParser` takes them out of text that comes in pieces of any
length; what is left is spoken. A code belongs to the next word of its sentence, or to the last one
where none follows. Where there is no gesture among them, gestures are found in the words instead:
see transcript.py.

What is in brackets and is not a code:
- a few words, as in `[laughs]` or `[warm smile]`, or a reference, as in `[1]`: dropped by default,
  because models write stage directions; spoken where `keep_unknown`, because a person wrote it;
- anything longer or with other characters in it: plain text, and spoken.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple

from audio2motion.gestures.emotion import EMOTIONS
from audio2motion.gestures.gestures import KINDS, Gesture, Span
from audio2motion.gestures.transcript import LEAD_S, Word, apart

Kind = Literal["emotion", "gesture"]
Characters = tuple[int, int]
"""Characters of the spoken text: the first, and the one after the last."""
CODE = "code"
"""What a gesture's source says it was taken for when it was a code."""

SPEAKING = (
    "You are talking with somebody face to face, and your words are spoken aloud. Answer in plain "
    "spoken sentences, briefly: no lists, headings, markdown or emoji."
)
MARKING = (
    "Mark your text with codes in square brackets, each right before the word it belongs to. "
    "Emotions: {emotions}. Gestures: {gestures}. An emotion lasts until the next one. Use a code "
    "only where a person would really show it, about one a sentence, and put nothing else in "
    "brackets. Example: [happiness] Oh, [nod] yes, I would love to!"
)
# The longest text between two brackets that is waited for.
_LONGEST = 40
_SEPARATORS = re.compile(r"[,;/|+&]|\band\b")
_BETWEEN_WORDS = re.compile(r"[\s_-]++")
_STAGE_DIRECTION = re.compile(r"[\w' -]++")
# What models write instead of the names they were given.
_ALIASES = {
    "happiness": "happy joy joyful cheerful glad excited",
    "sadness": "sad sorrow sorry",
    "anger": "angry annoyed",
    "fear": "afraid scared fearful worried",
    "disgust": "disgusted",
    "surprise": "surprised amazed astonished",
    "contempt": "contemptuous disdain",
    "neutral": "calm",
    "nod": "nods nodding",
    "shake": "shakes shake-head head-shake shakes-head shaking-head headshake",
    "tilt": "tilts tilts-head tilt-head head-tilt",
    "brow-raise": "raise-brows raises-brows eyebrow-raise raise-eyebrows raises-eyebrows browraise",
    "smile": "smiles smiling grin grins",
    "frown": "frowns frowning",
    "blink": "blinks",
    "wink": "winks",
    "look-away": "looks-away lookaway",
    "look-at": "looks-at look-at-you look-at-camera lookat",
}


@dataclass(frozen=True)
class ReplyCode:
    """What the face shall do: an emotion (one of emotion.EMOTIONS; until the next one) or a
    gesture (one of gestures.KINDS), at `time` seconds of the reply, when the word at characters
    `span` of its spoken text is said.
    """

    kind: Kind
    name: str
    time: float
    span: Characters


class Mark(NamedTuple):
    """A code in the text: it stood in front of character `at` of what is spoken."""

    kind: Kind
    name: str
    at: int


class Sentence(NamedTuple):
    """A piece of the spoken text, with the marks in it; `first` is where it starts there."""

    text: str
    first: int
    marks: tuple[Mark, ...]

    @property
    def span(self) -> Characters:
        """Where its words are, without the white space around them."""
        start = self.first + len(self.text) - len(self.text.lstrip())
        return start, max(start, self.first + len(self.text.rstrip()))

    @property
    def has_words(self) -> bool:
        """Whether there is anything to say in it."""
        return any(c.isalnum() or c == "_" for c in self.text)


def system_prompt(persona: str | None = None, codes: bool = True) -> str:
    """What the model is told before the conversation: how to speak, the codes, and who it is."""
    parts = [SPEAKING]
    if codes:
        named = {"emotions": EMOTIONS, "gestures": KINDS}
        listed = {key: ", ".join(f"[{n}]" for n in names) for key, names in named.items()}
        parts.append(MARKING.format(**listed))
    return " ".join(parts) + (f"\n\n{persona.strip()}" if persona else "")


class CodeParser:
    """Takes the codes out of a text that comes in pieces; where it was cut makes no difference.

    `text` is all that is to be spoken so far, `marks` the codes found so far.
    """

    def __init__(self, keep_unknown: bool = False) -> None:
        self.marks: list[Mark] = []
        self.length = 0
        self._spoken: list[str] = []
        self._pushed: list[str] = []  # of it, what the current push has added
        self._keep_unknown = keep_unknown
        self._open: list[str] | None = None  # an opening bracket and what came after it
        self._space: list[str] = []  # white space that may turn out to have stood around a code
        self._after_code = False

    @property
    def text(self) -> str:
        """All that is to be spoken so far."""
        self._spoken = ["".join(self._spoken)]
        return self._spoken[0]

    def push(self, piece: str) -> str:
        """Take more of the text in; returns what is to be spoken beyond what was."""
        for character in piece:
            self._read(character)
        return self._added()

    def flush(self) -> str:
        """The text is over: what was held back is plain text, and returned as by `push`."""
        self._give_up()
        return self._added()

    def _added(self) -> str:
        added = "".join(self._pushed)
        self._pushed = []
        self._spoken.append(added)
        return added

    def _read(self, character: str) -> None:
        if self._open is None:
            if character == "[":
                self._open = [character]
            else:
                self._speak(character)
        elif character == "]":
            self._close("".join(self._open[1:]))
        elif character in "[\n" or len(self._open) > _LONGEST:
            self._give_up()
            self._read(character)
        else:
            self._open.append(character)

    def _give_up(self) -> None:
        """A bracket that will not close is plain text."""
        held, self._open = self._open, None
        for character in held or ():
            self._speak(character)

    def _close(self, inside: str) -> None:
        self._open = None
        found = [named for part in _SEPARATORS.split(inside) if (named := _named(part))]
        if not found and (self._keep_unknown or not _STAGE_DIRECTION.fullmatch(inside)):
            for character in f"[{inside}]":
                self._speak(character)
            return
        self.marks += [Mark(kind, name, self.length) for kind, name in found]
        self._after_code = True

    def _speak(self, character: str) -> None:
        if character.isspace():
            # One space is left where a code stood between two; none at the very start.
            if not (self._after_code and (self._space or not self.length)):
                self._space.append(character)
            return
        if self._after_code and character in ".,;:!?":
            self._space = []
        self._pushed += [*self._space, character]
        self.length += len(self._space) + 1
        self._space, self._after_code = [], False


def place(sentence: Sentence, start: float, words: Sequence[Word]) -> tuple[ReplyCode, ...]:
    """The codes of a sentence that begins at `start` seconds, at its words, in order of time."""
    end = sentence.first + len(sentence.text)
    codes = []
    ends = [word.last for word in words]
    for kind, name, at in sentence.marks:
        word = words[min(bisect_right(ends, at), len(words) - 1)] if words else None
        code = ReplyCode(kind, name, start, (sentence.first, end))
        codes.append(code if word is None else at_word(code, word))
    return tuple(sorted(codes, key=lambda code: code.time))


def at_word(code: ReplyCode, word: Word) -> ReplyCode:
    """The code moved to a word."""
    return replace(code, time=word.start, span=(word.first, word.last))


def gestures_of(codes: Iterable[ReplyCode], text: str) -> tuple[Gesture, ...]:
    """The gestures that codes in `text` ask for, each with its word as its source; of two for the
    same part of the face at the same time, the first.
    """
    return apart(
        [
            Gesture.at(
                code.name,
                round(max(0.0, code.time - LEAD_S), 3),
                source=Span(*code.span, text[slice(*code.span)], CODE),
            )
            for code in codes
            if code.kind == "gesture"
        ]
    )


def leading_emotion(codes: Iterable[ReplyCode], seconds: float) -> str | None:
    """The emotion that is shown longest in `seconds` of speech; None where there is none."""
    emotions = sorted((c for c in codes if c.kind == "emotion"), key=lambda code: code.time)
    shown: dict[str, float] = {}
    for i, code in enumerate(emotions):
        end = emotions[i + 1].time if i + 1 < len(emotions) else seconds
        shown[code.name] = shown.get(code.name, 0.0) + max(0.0, end - code.time)
    return max(shown, key=lambda name: shown[name], default=None)


@cache
def _names() -> dict[str, tuple[Kind, str]]:
    known: dict[str, tuple[Kind, str]] = {name: ("emotion", name) for name in EMOTIONS}
    known |= {name: ("gesture", name) for name in KINDS}
    for name, others in _ALIASES.items():
        known |= dict.fromkeys(others.split(), known[name])
    return known


def _named(part: str) -> tuple[Kind, str] | None:
    """The code that a piece between brackets is, be it `Nods`, `brow raise` or `emotion: fear`."""
    before, colon, after = part.replace("=", ":").partition(":")
    word = after if colon and before.strip().lower() in ("emotion", "gesture") else before
    return _names().get("-".join(_BETWEEN_WORDS.split(word.strip().lower())))
