"""Sentences out of a reply while it comes: each as soon as it is complete, with its codes."""

import re

from audio2motion.voice.reply_codes import CodeParser, Sentence

LONGEST_SENTENCE = 300
"""Characters after which a sentence is cut at a comma or space, so that its sound can begin."""

# The end of a sentence, closing quotes and the white space that shows that nothing follows; or a
# line break, or a full stop of scripts that put no space after it.
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)»]*+(?=\s)|[。！？]|(?<=\S)(?=[^\S\n]*+\n)")
# Full stops that end no sentence: titles and the like, initials, the number of a list item.
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|e\.g|i\.e|approx)|\b[A-Z])\.$", re.IGNORECASE
)
_LONGEST_ABBREVIATION = len("approx.")
_LIST_NUMBER = re.compile(r"\s*+[0-9]++\.")


class SentenceStream:
    """Text in, in pieces of any length; sentences out, which joined are the spoken text.

    With `codes` a sentence has its marks. Without, they are taken out all the same, and dropped.
    """

    def __init__(self, codes: bool = True, keep_unknown: bool = False) -> None:
        self._parser = CodeParser(keep_unknown)
        self._codes = codes
        self._rest = ""  # what is to be spoken and belongs to no complete sentence yet
        self._done = 0
        self._marks = 0

    @property
    def text(self) -> str:
        """All that is to be spoken so far."""
        return self._parser.text

    @property
    def length(self) -> int:
        """Characters of `text`."""
        return self._parser.length

    def push(self, piece: str) -> list[Sentence]:
        """Take more text in; the sentences that are complete now."""
        return self._take(self._parser.push(piece))

    def flush(self) -> list[Sentence]:
        """The text is over: what is left, which may be nothing but marks."""
        found = self._take(self._parser.flush())
        if self._rest or self._marks < len(self._parser.marks):
            found.append(self._cut(self._rest, last=True))
            self._rest = ""
        return found

    def _take(self, spoken: str) -> list[Sentence]:
        self._rest += spoken
        found, at = [], 0
        # A sentence and one character show all that decides where it ends.
        while length := _end(self._rest[at : at + LONGEST_SENTENCE + 1]):
            found.append(self._cut(self._rest[at : at + length]))
            at += length
        self._rest = self._rest[at:]
        return found

    def _cut(self, text: str, last: bool = False) -> Sentence:
        first, marks = self._marks, self._parser.marks
        end = self._done + len(text)
        while self._marks < len(marks) and (last or marks[self._marks].at < end):
            self._marks += 1
        start, self._done = self._done, end
        return Sentence(text, start, tuple(marks[first : self._marks]) if self._codes else ())


def _end(rest: str) -> int:
    """Where the first sentence of a text ends, which may go on; 0 where it has not ended yet."""
    for match in _END.finditer(rest):
        ended = rest[: match.end()]
        if len(ended) > LONGEST_SENTENCE:
            break
        if ended.strip() and not _goes_on(ended):
            return match.end()
    if len(rest) <= LONGEST_SENTENCE:
        return 0
    comma, space = (rest.rfind(mark, 0, LONGEST_SENTENCE) for mark in (", ", " "))
    best = comma + 1 if comma > 0 else space
    return best if best > 0 else LONGEST_SENTENCE


def _goes_on(ended: str) -> bool:
    """Whether the full stop at the end of a text ends no sentence."""
    tail = max(0, len(ended) - _LONGEST_ABBREVIATION)
    return bool(_ABBREVIATION.search(ended, tail) or _LIST_NUMBER.fullmatch(ended))
