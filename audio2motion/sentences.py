"""Sentences out of a reply while it comes: each as soon as it is complete, with its codes."""

import re

from audio2motion.reply_codes import CodeParser, Sentence

LONGEST_SENTENCE = 300
"""Characters after which a sentence is cut at a comma or space, so that its sound can begin."""

# The end of a sentence, closing quotes and the white space that shows that nothing follows; or a
# line break, or a full stop of scripts that put no space after it.
_END = re.compile(r"[.!?…]+[\"'”’)»]*(?=\s)|[。！？]|(?<=\S)(?=\s*\n)")
# Full stops that end no sentence: titles and the like, initials, the number of a list item.
_NO_END = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|e\.g|i\.e|approx)|\b[A-Z]|^\s*\d+)\.$", re.IGNORECASE
)


class SentenceStream:
    """Text in, in pieces of any length; sentences out, which joined are the spoken text.

    With `codes` a sentence has its marks. Without, they are taken out all the same, and dropped.
    """

    def __init__(self, codes: bool = True, keep_unknown: bool = False) -> None:
        self._parser = CodeParser(keep_unknown)
        self._codes = codes
        self._done = 0
        self._marks = 0

    @property
    def text(self) -> str:
        """All that is to be spoken so far."""
        return self._parser.text

    def push(self, piece: str) -> list[Sentence]:
        """Take more text in; the sentences that are complete now."""
        self._parser.push(piece)
        found = []
        while (end := self._end()) is not None:
            found.append(self._cut(end))
        return found

    def flush(self) -> list[Sentence]:
        """The text is over: what is left, which may be nothing but marks."""
        self._parser.flush()
        found = self.push("")
        if self._done < len(self.text) or self._marks < len(self._parser.marks):
            found.append(self._cut(len(self.text), last=True))
        return found

    def _end(self) -> int | None:
        rest = self.text[self._done :]
        for match in _END.finditer(rest):
            ended = rest[: match.end()]
            if len(ended) > LONGEST_SENTENCE:
                break
            if ended.strip() and not _NO_END.search(ended):
                return self._done + match.end()
        if len(rest) <= LONGEST_SENTENCE:
            return None
        comma, space = (rest.rfind(mark, 0, LONGEST_SENTENCE) for mark in (", ", " "))
        best = comma + 1 if comma > 0 else space
        return self._done + (best if best > 0 else LONGEST_SENTENCE)

    def _cut(self, end: int, last: bool = False) -> Sentence:
        marks = self._parser.marks[self._marks :]
        taken = marks if last else [mark for mark in marks if mark.at < end]
        self._marks += len(taken)
        text = self.text[self._done : end]
        first, self._done = self._done, end
        return Sentence(text, first, tuple(taken) if self._codes else ())
