"""Transcripts: words with times, and the gestures that go with what they mean.

A transcript comes from espeak-ng (see synthesis.py), from a JSON file with words and times, from
subtitles (SRT, WebVTT: a cue's words share its time), or from plain text, whose words are spread
over the time that somebody speaks. Gestures are found by the table in lexicon.py, clause by clause:
the longest phrase wins, a negation takes away a "yes" in its clause ("not right"), and where two
meanings want the same part of the face the more important one has it.
"""

import json
import os
import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from audio2motion.gestures.gestures import LONGEST_S, Gesture, Span
from audio2motion.gestures.lexicon import FUNCTION_WORDS, GESTURES, NEGATABLE, WORDS
from audio2motion.gestures.text_limits import shown
from audio2motion.gestures.timeline import read_text
from weights.errors import InputError

SUFFIXES = (".json", ".srt", ".vtt", ".txt")
LEAD_S = 0.12
"""A gesture begins this long before its word (nods start before or with it: Chalmers 2011)."""
GAP_S = 0.1
"""At least so long between two gestures for the same part of the face."""
_LONGEST = max(
    len(phrase.split("_"))
    for meanings in WORDS.values()
    for phrases in meanings.values()
    for phrase in phrases.split()
)
SHORTENED_S = 0.6
"""A gesture that was found may be cut to this much to make room for the next."""
NEGATION_BEFORE, NEGATION_AFTER = 4, 2
"""Words that a negation reaches forwards and backwards within its clause."""
# Until Python 3.11.4 a possessive group keeps what it has half read: the last * is a plain one.
_WORD = re.compile(r"[^\W_]++(?:['\u2019\-][^\W_]++)*")
_CLAUSE_END = ",.;:!?\u2026"
_MARKS = re.compile(r"[^\w\s]*+")
_SPACED_MARK = re.compile(r"\s([?!:;])")
_TIME = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,2}):([0-9]{2})[,.]([0-9]{3})")


@dataclass(frozen=True)
class Word:
    """Characters `first` to `last` (exclusive) of a transcript, said from `start` to `end` s."""

    first: int
    last: int
    start: float
    end: float


@dataclass(frozen=True)
class Transcript:
    """What somebody says. `words` is empty where no times are known; `language` is "en", "de-at",
    ..., or None to find it out.
    """

    text: str
    words: tuple[Word, ...] = ()
    language: str | None = None

    @property
    def timed(self) -> bool:
        """Whether it is known when the words are said."""
        return bool(self.words)

    def spread(self, segments: Sequence[tuple[float, float]]) -> "Transcript":
        """The same with its words laid over the (start, end) seconds in which somebody speaks, each
        as long as it has letters.
        """
        return replace(self, words=tuple(_spread(self.text, split_words(self.text), segments)))

    def delayed(self, seconds: float) -> "Transcript":
        """The same, said `seconds` later."""
        words = (replace(w, start=w.start + seconds, end=w.end + seconds) for w in self.words)
        return replace(self, words=tuple(words))

    def followed_by(self, other: "Transcript", start: float) -> "Transcript":
        """This one, a space, and another that begins at `start` seconds."""
        text = f"{self.text} " if self.text else ""
        moved = (
            Word(w.first + len(text), w.last + len(text), w.start + start, w.end + start)
            for w in other.words
        )
        return Transcript(text + other.text, (*self.words, *moved), self.language or other.language)

    def gestures(self) -> tuple[Gesture, ...]:
        """The gestures that its words ask for, in order, each with its source span."""
        language = (self.language or guess_language(self.text)).partition("-")[0]
        wanted = [
            Gesture.at(part.kind, start, part.duration, part.intensity, source=span)
            for start, span in _meanings(self, _phrases(WORDS.get(language, {})))
            for part in GESTURES[span.meaning]
        ]
        rank = list(GESTURES)
        wanted.sort(key=lambda g: (rank.index(g.source.meaning) if g.source else 0, g.start))
        return apart(wanted)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "Transcript":
        """Read `.json`, `.srt`, `.vtt` or `.txt`; characters are those of the file, for JSON of
        its words joined by spaces. Raises InputError.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(f"the transcript {path} must end in {', '.join(SUFFIXES)}")
        text = read_text(path, "transcript")
        if suffix == ".json":
            found = _from_json(text, path)
        else:
            found = Transcript(text) if suffix == ".txt" else _from_cues(text, path)
        if not _WORD.search(found.text):
            raise InputError(f"there are no words in the transcript {path}")
        return found


def split_words(text: str) -> list[tuple[int, int]]:
    """(first, last) characters of each word."""
    return [match.span() for match in _WORD.finditer(text)]


def timed_words(
    text: str, marks: Sequence[tuple[int, float]], pauses: Sequence[tuple[float, float]]
) -> tuple[Word, ...]:
    """Words from marks (character, seconds), as a synthesiser gives them; one without a mark
    takes its time from its neighbours. A word ends where the next begins or a pause (start,
    end) does.
    """
    spans = split_words(text)
    starts: list[float | None] = [None] * len(spans)
    firsts = [first for first, _ in spans]
    for position, seconds in marks:
        i = bisect_right(firsts, position) - 1
        if i >= 0 and position < spans[i][1] and starts[i] is None:
            starts[i] = seconds
    known = [s for s in starts if s is not None]
    end = pauses[-1][1] if pauses else known[-1] if known else 0.0
    # The earliest time that is known behind each word, from the last word to the first.
    following: list[float] = []
    earliest: float | None = None
    for start in reversed(starts):
        following.append(end if earliest is None else earliest)
        if start is not None:
            earliest = start if earliest is None else min(earliest, start)
    quiet = sorted(p for p, _ in pauses)
    latest, words = 0.0, []
    for (first, last), start, after in zip(spans, starts, reversed(following), strict=True):
        begin = latest if start is None else start
        latest = max(latest, begin)
        i = bisect_right(quiet, begin)
        until = quiet[i] if i < len(quiet) and quiet[i] < after else after
        words.append(Word(first, last, begin, max(begin, until)))
    return tuple(words)


def apart(wanted: Sequence[Gesture]) -> tuple[Gesture, ...]:
    """Gestures in order of time, without two at once on the same part of the face: one is cut
    short for the next, or where there is no room for both, the one that comes first in `wanted`
    stays.
    """
    return _shortened(_without_collisions(wanted, (), SHORTENED_S))


def merge(found: Sequence[Gesture], placed: Sequence[Gesture]) -> tuple[Gesture, ...]:
    """Gestures found in a transcript and placed ones, in order of time; a placed one takes the
    place of those that it would meet on the same part of the face.
    """
    kept = _without_collisions(found, placed, LONGEST_S)
    return tuple(sorted([*kept, *placed], key=lambda g: g.start))


def guess_language(text: str) -> str:
    """The language of WORDS whose commonest words the text has most of; English if none."""
    words = Counter(text[a:b].lower() for a, b in split_words(text))
    scores = {
        language: sum(words[word] for word in set(common.split()))
        + sum(phrase in words for phrase in " ".join(WORDS[language].values()).split())
        for language, common in FUNCTION_WORDS.items()
    }
    return max(scores, key=lambda language: scores[language])


# -- meanings --------------------------------------------------------------------------------


class _Token(NamedTuple):
    """A word as it is looked up, and what stands behind it."""

    word: Word
    key: str
    clause: int
    opens: bool
    mark: str


class _Match(NamedTuple):
    """Tokens `first` to `last` (exclusive) that mean something."""

    first: int
    last: int
    meaning: str


_Phrases = dict[tuple[str, ...], str]


def _phrases(words: dict[str, str]) -> _Phrases:
    """Phrase as lower-case words -> meaning; a ^ stays at its first word."""
    return {
        tuple(phrase.split("_")): meaning
        for meaning, phrases in words.items()
        for phrase in phrases.split()
    }


def _meanings(transcript: Transcript, phrases: _Phrases) -> Iterator[tuple[float, Span]]:
    """(start in seconds, span) of everything in a transcript that means something."""
    tokens = _tokens(transcript)
    matches = [m for m in _matches(tokens, phrases) if m.meaning != "neutral"]
    negations = [m for m in matches if m.meaning == "negation"]
    kept = [m for m in matches if m.meaning not in NEGATABLE or not _negated(m, negations, tokens)]
    kept += _by_punctuation(tokens, kept)
    seen: set[tuple[int, str]] = set()
    for match in sorted(kept):
        first, last = tokens[match.first].word, tokens[match.last - 1].word
        # Once in a clause: "ne ... pas" is one negation.
        if (tokens[match.first].clause, match.meaning) in seen:
            continue
        seen.add((tokens[match.first].clause, match.meaning))
        words = transcript.text[first.first : last.last]
        yield (
            round(max(0.0, first.start - LEAD_S), 3),
            Span(first.first, last.last, words, match.meaning),
        )


def _tokens(transcript: Transcript) -> list[_Token]:
    tokens, clause, opens = [], 0, True
    text = transcript.text
    for i, word in enumerate(transcript.words):
        following = transcript.words[i + 1].first if i + 1 < len(transcript.words) else len(text)
        behind = _MARKS.match(text, word.last, following)
        mark = "".join(c for c in (behind.group() if behind else "") if c in _CLAUSE_END)
        # French puts a space before its marks.
        if not mark and (spaced := _SPACED_MARK.match(text, word.last, following)):
            mark = spaced.group(1)
        key = text[word.first : word.last].lower().replace("\u2019", "'")
        tokens.append(_Token(word, key, clause, opens, mark))
        opens = bool(mark)
        clause += opens
    return tokens


def _matches(tokens: list[_Token], phrases: _Phrases) -> list[_Match]:
    # The longest phrase that begins with a word.
    longest: dict[str, int] = {}
    for phrase in phrases:
        opening = phrase[0].removeprefix("^")
        longest[opening] = max(len(phrase), longest.get(opening, 1))
    found, at = [], 0
    while at < len(tokens):
        most = longest.get(tokens[at].key, 1)
        for length in range(min(most, len(tokens) - at), 0, -1):
            piece = tokens[at : at + length]
            if piece[0].clause != piece[-1].clause:
                continue
            keys = tuple(token.key for token in piece)
            meaning = phrases.get(keys)
            if meaning is None and piece[0].opens:
                meaning = phrases.get(("^" + keys[0], *keys[1:]))
            if meaning is None and length == 1 and keys[0].endswith("n't"):
                meaning = "negation" if ("not",) in phrases else None
            if meaning is not None:
                found.append(_Match(at, at + length, meaning))
                at += length - 1
                break
        at += 1
    return found


def _negated(match: _Match, negations: list[_Match], tokens: list[_Token]) -> bool:
    """Whether one of the negations, which are in order, reaches a match."""
    # No two matches share a token, so that only those in reach by their first one can.
    near = slice(
        bisect_left(negations, match.first - NEGATION_BEFORE - _LONGEST, key=itemgetter(0)),
        bisect_right(negations, match.last + NEGATION_AFTER, key=itemgetter(0)),
    )
    return any(_reaches(negation, match, tokens) for negation in negations[near])


def _reaches(negation: _Match, other: _Match, tokens: list[_Token]) -> bool:
    """Whether a negation is near enough to another match in its clause to turn it around."""
    if tokens[negation.first].clause != tokens[other.first].clause:
        return False
    before, after = other.first - negation.last + 1, negation.first - other.last + 1
    return 0 < before <= NEGATION_BEFORE or 0 < after <= NEGATION_AFTER


def _by_punctuation(tokens: list[_Token], found: list[_Match]) -> list[_Match]:
    """A question at its last word; an exclamation that has nothing else, too."""
    more = []
    busy = {tokens[m.first].clause for m in found}
    for i, token in enumerate(tokens):
        if "?" in token.mark:
            more.append(_Match(i, i + 1, "question"))
        elif "!" in token.mark and token.clause not in busy:
            more.append(_Match(i, i + 1, "emphasis"))
    return more


def _without_collisions(
    wanted: Sequence[Gesture], placed: Sequence[Gesture], longest: float
) -> list[Gesture]:
    """Those of `wanted`, first come first served, whose first `longest` seconds meet neither
    those of each other nor anything `placed` on the same part of the face.
    """

    def end(gesture: Gesture) -> float:
        # A smile is one long movement: cut short and begun again it would flicker.
        most = LONGEST_S if gesture.kind == "smile" else longest
        return gesture.start + min(gesture.duration, most) + GAP_S

    taken: dict[str, _Taken] = defaultdict(_Taken)
    for other in placed:
        taken[other.region].add(other.start, other.end + GAP_S)
    kept: list[Gesture] = []
    for gesture in wanted:
        if not taken[gesture.region].meets(gesture.start, end(gesture)):
            taken[gesture.region].add(gesture.start, end(gesture))
            kept.append(gesture)
    return kept


class _Taken:
    """Stretches of time that are taken, merged where they meet, so that they are in order."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []

    def meets(self, start: float, end: float) -> bool:
        """Whether something in it is under way between two times."""
        i = bisect_right(self._ends, start)
        return i < len(self._starts) and self._starts[i] < end

    def add(self, start: float, end: float) -> None:
        """Take a stretch; those that it overlaps become one with it."""
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]


def _shortened(gestures: Sequence[Gesture]) -> tuple[Gesture, ...]:
    """In order of time, each over before the next begins on the same part of the face."""
    result: list[Gesture] = []
    following: dict[str, float] = {}
    for gesture in reversed(sorted(gestures, key=lambda g: g.start)):
        room = following.get(gesture.region, gesture.end + GAP_S) - GAP_S - gesture.start
        following[gesture.region] = gesture.start
        result.append(replace(gesture, duration=round(min(gesture.duration, room), 3)))
    return tuple(reversed(result))


# -- files -----------------------------------------------------------------------------------


def _spread(
    text: str, spans: Sequence[tuple[int, int]], segments: Sequence[tuple[float, float]]
) -> Iterator[Word]:
    """Words laid over segments of time, longer ones for longer."""
    lengths = [last - first + 1 for first, last in spans]
    rate = sum(end - start for start, end in segments) / max(sum(lengths), 1)
    # Voiced seconds up to the end of each segment.
    voiced = list(accumulate(end - start for start, end in segments))

    def at(seconds: float) -> float:
        i = bisect_left(voiced, seconds)
        if i == len(segments):
            return segments[-1][1] if segments else 0.0
        return segments[i][0] + seconds - (voiced[i - 1] if i else 0.0)

    done = 0
    for (first, last), length in zip(spans, lengths, strict=True):
        # The start of a word is in the segment that the word is in, not at the end of the last.
        yield Word(first, last, at(done * rate + 1e-6), at((done + length) * rate))
        done += length


def _from_cues(text: str, path: Path) -> Transcript:
    """SRT and WebVTT: the words of a cue share its time. A cue ends at a blank line or the next."""
    plain: list[str] = []
    words: list[Word] = []
    times: tuple[float, float] | None = None
    found, at, start, first = False, 0, 0, 0

    def close() -> None:
        if times is not None:
            spans = [(a + first, b + first) for a, b in split_words("\n".join(plain[start:]))]
            words.extend(_spread(text, spans, [times]))

    for line in text.split("\n"):
        cue = _cue(line)
        if cue is not None or not line.strip():
            close()
            times = cue
            start, first = len(plain) + 1, at + len(line) + 1
        if cue is not None:
            found = True
            if cue[1] < cue[0]:
                raise InputError(f"the cue {shown(line.strip())} of {path} ends before it starts")
        plain.append(_untagged(line))
        at += len(line) + 1
    close()
    if not found:
        raise InputError(f"there are no times such as 00:01.000 --> 00:02.500 in {path}")
    return Transcript("\n".join(plain), tuple(words))


def _cue(line: str) -> tuple[float, float] | None:
    """Start and end of a cue, from its line of times; None for any other line."""
    before, arrow, after = line.partition("-->")
    if not arrow:
        return None
    start = _TIME.fullmatch(before.strip(" \t"))
    end = _TIME.match(after.lstrip(" \t"))
    return None if start is None or end is None else (_seconds(start), _seconds(end))


def _seconds(time: re.Match[str]) -> float:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in time.groups())
    return 3600 * hours + 60 * minutes + seconds + thousandths / 1000


def _untagged(line: str) -> str:
    """A line without tags such as <b> or <v Ann>, which are not said; spaces keep every character
    in its place.
    """
    parts, at = [], 0
    while (opens := line.find("<", at)) >= 0 and (closes := line.find(">", opens)) >= 0:
        parts += [line[at:opens], " " * (closes + 1 - opens)]
        at = closes + 1
    return "".join((*parts, line[at:]))


def _from_json(text: str, path: Path) -> Transcript:
    """[{word, start, end}], {words: [...]} or {segments: [{words: [...]} or {text, start, end}]},
    with a `language` if wanted: what speech recognisers write.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error})") from error
    items = data if isinstance(data, list) else None
    language = None
    if isinstance(data, dict):
        items = data.get("words", data.get("segments"))
        language = data.get("language")
    if not isinstance(items, list) or not isinstance(language, str | None):
        raise InputError(f"{path} holds no list of words, each with a word, a start and an end")
    said, words, length = [], [], 0
    for item in items:
        inner = item.get("words") if isinstance(item, dict) else None
        for entry in inner if isinstance(inner, list) else [item]:
            piece, start, end = _entry(entry, path)
            spans = [(a + length, b + length) for a, b in split_words(piece)]
            said.append(piece)
            words += _spread(piece, spans, [(start, end)])
            length += len(piece) + 1
    return Transcript(" ".join(said), tuple(words), language)


def _entry(entry: Any, path: Path) -> tuple[str, float, float]:
    try:
        said = entry.get("word", entry.get("text"))
        start, end = float(entry["start"]), float(entry["end"])
        if not isinstance(said, str) or not 0 <= start <= end < float("inf"):
            raise ValueError
        said.encode()
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise InputError(
            f"got {shown(entry)} in {path}; wanted a word, and a start and an end in seconds"
        ) from None
    return said.strip(), start, end
