"""How many steps a backtracking matcher takes: what a pattern can cost, counted and not timed.

Python's own parser gives the tree of a pattern; here it is matched as `re` does, without its short
cuts, one step for each character that is compared and each choice that is tried. Times on a busy
machine would say less.
"""

import re
import re._constants as c  # pyrefly: ignore[missing-import]
import re._parser as parser  # pyrefly: ignore[missing-import]
from collections.abc import Callable, Iterator
from typing import Any

MOST_STEPS = 20_000


class TooManyStepsError(Exception):
    """A pattern took more than MOST_STEPS."""


class Matcher:
    """Matches a pattern and counts the steps. Raises TooManyStepsError."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        tree = parser.parse(pattern, flags)
        self._flags, self._items = tree.state.flags, list(tree)
        self._singles: dict[str, Callable[[str], bool]] = {}
        self.steps = 0

    def run(self, text: str, how: str) -> tuple[int, int] | None:
        """As re's match, fullmatch or search, from any position on."""
        starts = range(len(text) + 1) if how not in ("match", "fullmatch") else (0,)
        for start in starts:
            for end in self._seq(self._items, text, start):
                if how != "fullmatch" or end == len(text):
                    return start, end
        return None

    def every(self, text: str) -> None:
        """As re's finditer."""
        at = 0
        while at <= len(text):
            end = next(iter(self._seq(self._items, text, at)), None)
            at = at + 1 if end is None or end == at else end

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TooManyStepsError

    def _seq(self, items: list, text: str, at: int) -> Iterator[int]:
        if not items:
            yield at
            return
        for middle in self._one(items[0], text, at):
            yield from self._seq(items[1:], text, middle)

    def _one(self, item: tuple, text: str, at: int) -> Iterator[int]:
        self._step()
        op, value = item
        if op in (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN):
            if at < len(text) and self._single(item, text[at]):
                yield at + 1
        elif op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            yield from self._repeat(op, value, text, at)
        elif op is c.BRANCH:
            for branch in value[1]:
                yield from self._seq(list(branch), text, at)
        elif op is c.SUBPATTERN:
            yield from self._seq(list(value[3]), text, at)
        elif op is c.ATOMIC_GROUP:
            yield from self._first(self._seq(list(value), text, at))
        elif op is c.AT:
            if self._at(value, text, at):
                yield at
        elif op in (c.ASSERT, c.ASSERT_NOT):
            if self._looks(value, text, at) == (op is c.ASSERT):
                yield at
        else:
            raise NotImplementedError(f"{op} in a pattern: teach tests/attack/backtracking.py")

    def _first(self, ends: Iterator[int]) -> Iterator[int]:
        for end in ends:
            yield end
            return

    def _repeat(self, op: object, bounds: tuple, text: str, at: int) -> Iterator[int]:
        low, high, body = bounds
        items, most = list(body), float("inf") if high is c.MAXREPEAT else int(high)

        def more(count: int, place: int) -> Iterator[int]:
            self._step()
            if op is c.MIN_REPEAT and count >= low:
                yield place
            if count < most:
                for after in self._seq(items, text, place):
                    if after > place or count < low:
                        yield from more(count + 1, after)
            if op is not c.MIN_REPEAT and count >= low:
                yield place

        yield from self._first(more(0, at)) if op is c.POSSESSIVE_REPEAT else more(0, at)

    def _looks(self, value: tuple, text: str, at: int) -> bool:
        direction, items = value
        if direction > 0:
            return next(iter(self._seq(list(items), text, at)), None) is not None
        low, _ = items.getwidth()
        back = at - low
        return back >= 0 and at in self._seq(list(items), text, back)

    def _at(self, where: object, text: str, at: int) -> bool:
        lines = bool(self._flags & re.MULTILINE)
        if where is c.AT_BEGINNING:
            return at == 0 or (lines and text[at - 1] == "\n")
        if where is c.AT_BEGINNING_STRING:
            return at == 0
        if where is c.AT_END_STRING:
            return at == len(text)
        if where is c.AT_END:
            last = at == len(text) or (at == len(text) - 1 and text[at] == "\n")
            return last or (lines and text[at] == "\n")
        if where in (c.AT_BOUNDARY, c.AT_NON_BOUNDARY):
            word = [0 <= i < len(text) and _is(r"\w", text[i]) for i in (at - 1, at)]
            return (word[0] != word[1]) == (where is c.AT_BOUNDARY)
        raise NotImplementedError(f"{where}")

    def _single(self, item: tuple, character: str) -> bool:
        key = str(item)
        if key not in self._singles:
            self._singles[key] = _class_of(item, self._flags)
        return self._singles[key](character)


def _is(category: str, character: str) -> bool:
    return re.match(category, character) is not None


_CATEGORIES = {
    c.CATEGORY_DIGIT: r"\d",
    c.CATEGORY_NOT_DIGIT: r"\D",
    c.CATEGORY_SPACE: r"\s",
    c.CATEGORY_NOT_SPACE: r"\S",
    c.CATEGORY_WORD: r"\w",
    c.CATEGORY_NOT_WORD: r"\W",
}


def _class_of(item: tuple, flags: int) -> Callable[[str], bool]:
    """A test of one character."""
    op, value = item
    if op is c.ANY:
        return lambda x: bool(flags & re.DOTALL) or x != "\n"
    parts = [item] if op in (c.LITERAL, c.NOT_LITERAL) else value

    def has(x: str) -> bool:
        negated = False
        found = False
        for kind, given in parts:
            if kind is c.NEGATE:
                negated = True
            elif kind is c.LITERAL:
                found |= ord(x) == given
            elif kind is c.NOT_LITERAL:
                found |= ord(x) != given
            elif kind is c.RANGE:
                found |= given[0] <= ord(x) <= given[1]
            else:
                found |= _is(_CATEGORIES[given], x)
        return found != negated

    if flags & re.IGNORECASE:
        return lambda x: has(x.lower()) or has(x.upper())
    return has


def characters_of(pattern: str, flags: int = 0) -> str:
    """One character of each kind that a pattern tells apart, and one of none."""
    found: set[str] = set()

    def walk(items: Any) -> None:
        if isinstance(items, parser.SubPattern | list | tuple):
            for item in items:
                walk(item)
            if isinstance(items, tuple) and len(items) == 2 and items[0] in _SAMPLES:
                found.update(_SAMPLES[items[0]](items[1]))

    walk(list(parser.parse(pattern, flags)))
    return "".join(sorted(found | {"a", "1", " ", "\x00"}))


_SAMPLES: dict[object, Callable] = {
    c.LITERAL: chr,
    c.NOT_LITERAL: chr,
    c.RANGE: lambda given: chr(given[0]),
    c.CATEGORY: lambda given: {c.CATEGORY_SPACE: " \n", c.CATEGORY_DIGIT: "1"}.get(given, "a_"),
}


def repeated_characters(pattern: str, flags: int = 0) -> str:
    """Of `characters_of`, those that a repeat without a bound (or a far one) can take."""
    found: set[str] = set()

    def walk(items: Any) -> None:
        if isinstance(items, tuple) and len(items) == 2 and items[0] in _REPEATS:
            _, high, body = items[1]
            if high is c.MAXREPEAT or high > 20:
                inside = Matcher("", flags)
                for kind in _kinds(body):
                    found.update(x for x in letters if inside._single(kind, x))
        if isinstance(items, parser.SubPattern | list | tuple):
            for item in items:
                walk(item)

    letters = characters_of(pattern, flags)
    walk(list(parser.parse(pattern, flags)))
    return "".join(sorted(found)) or "a"


def _kinds(items: Any) -> Iterator[tuple]:
    """The items of a tree that take one character."""
    if isinstance(items, tuple) and len(items) == 2 and items[0] in _SINGLE:
        yield items
    elif isinstance(items, parser.SubPattern | list | tuple):
        for item in items:
            yield from _kinds(item)


_REPEATS = (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT)
_SINGLE = (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN)


def ways_in(pattern: str, flags: int = 0) -> set[str]:
    """For each repeat of a pattern the shortest text in front of it."""
    letters, found = characters_of(pattern, flags), set()

    def sample(item: tuple) -> str:
        op, value = item
        if op in _SINGLE:
            return next((x for x in letters if Matcher("", flags)._single(item, x)), "")
        if op in _REPEATS:
            return "".join(map(sample, value[2])) * value[0]
        if op is c.BRANCH:
            return "".join(map(sample, value[1][0]))
        inner = value[3] if op is c.SUBPATTERN else value if op is c.ATOMIC_GROUP else ()
        return "".join(map(sample, inner))

    def walk(items: Any, before: str) -> None:
        for op, value in items:
            if op in _REPEATS:
                found.add(before)
                walk(value[2], before)
            elif op is c.BRANCH:
                for branch in value[1]:
                    walk(branch, before)
            elif op in (c.SUBPATTERN, c.ATOMIC_GROUP):
                walk(value[3] if op is c.SUBPATTERN else value, before)
            before += sample((op, value))

    walk(list(parser.parse(pattern, flags)), "")
    return found


def worst_growth(pattern: str, how: str, flags: int = 0) -> tuple[float, str]:
    """The most that steps grow by when a text grows to twice its length, over texts that repeat
    what the pattern repeats, with anything in front; and that text. Linear is 2, square 4.
    """
    letters, repeated = characters_of(pattern, flags), repeated_characters(pattern, flags)[:12]
    texts = [(front, pump) for pump in repeated for front in ("", *letters)]
    texts += [(front, pump) for pump in repeated for front in ways_in(pattern, flags)]
    texts += [("", a + b) for a in repeated for b in letters[:12] if a != b]
    worst, at = 0.0, ""
    for front, pump in texts:
        steps = [_steps(pattern, how, flags, front + pump * n + "\x01") for n in (20, 40)]
        # Below a few steps a character there is nothing to grow.
        growth = steps[1] / max(steps[0], 8 * 20)
        if growth > worst:
            worst, at = growth, front + pump
        if worst >= 4:
            break
    return worst, at


def _steps(pattern: str, how: str, flags: int, text: str) -> int:
    matcher = Matcher(pattern, flags)
    try:
        if how in ("match", "fullmatch", "search"):
            matcher.run(text, how)
        else:
            matcher.every(text)
    except TooManyStepsError:
        return 10 * MOST_STEPS if len(text) > 30 else MOST_STEPS
    return matcher.steps
