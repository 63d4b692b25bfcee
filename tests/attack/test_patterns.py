"""No pattern in the four packages can be made to backtrack: doubling a text doubles the work."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attack.backtracking import Matcher, TooManyStepsError, worst_growth
from tests.conftest import PACKAGES

ROOT = Path(__file__).parents[2]
TAKES_PATTERN = ("compile", "match", "fullmatch", "search", "sub", "subn", "split", "finditer")
TAKES_PATTERN += ("findall",)
GROWTH = 2.8
"""Linear is 2, n log n a little more, square 4."""
WERE_SLOW = {
    r"<[^>\n]*>": "sub",
    r"\d*\.?\d+(?:e[+-]?\d+)?!": "fullmatch",
    r"[.!?]+[\"']*(?=\s)": "finditer",
    r"(a+)+b": "match",
    r"(?:a|a)*b": "match",
    r"\s+$": "search",
    r"\w*\d*x": "match",
    r"https?://(?:[a-z]+/?)+!": "fullmatch",
}
ARE_FAST = {
    r"\w++(?:['-]\w++)*": "finditer",
    r"[a-z-]++@[0-9]++": "fullmatch",
    r"(?<![.])[.]++(?=\s)": "finditer",
    r"a{0,5}b": "match",
}


def uses_in(path: Path) -> list[tuple[str, str, int, str]]:
    """(pattern, how it is used, flags, place) of every pattern in a module."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    source = path.read_text(encoding="utf-8")
    if not re.search(
        r"\bre\.[a-z]", source
    ):  # most have none: parsing them all takes seconds of every process
        return []
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    patterns = [c for c in calls if _is_re(c.func)]
    if not patterns:
        return []
    module = importlib.import_module(name)
    named = {
        id(node.value): target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = []
    for call in patterns:
        place = f"{path.relative_to(ROOT)}:{call.lineno}"
        assert isinstance(call.func, ast.Attribute)
        method = call.func.attr
        if method == "compile":
            compiled = getattr(module, named.get(id(call), ""), None)
            assert isinstance(compiled, re.Pattern), f"{place}: give the pattern a name in capitals"
            hows = _methods_on(named[id(call)], tree) or {"search"}
            pattern, flags = compiled.pattern, compiled.flags
            text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
            flags &= ~re.UNICODE
            found += [(text, how, flags, place) for how in sorted(hows)]
        elif method in TAKES_PATTERN:
            first = call.args[0]
            assert isinstance(first, ast.Constant), f"{place}: a pattern that only a run knows"
            found.append((str(first.value), method, 0, place))
    return found


def _is_re(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "re"
        and node.attr in TAKES_PATTERN
    )


def _methods_on(name: str, tree: ast.AST) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and node.attr in TAKES_PATTERN
    }


USES = [
    use
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    for use in uses_in(path)
]


@pytest.mark.parametrize(("pattern", "how", "flags", "place"), USES, ids=[u[3] for u in USES])
def test_no_text_makes_a_pattern_backtrack(pattern: str, how: str, flags: int, place: str):
    growth, text = worst_growth(pattern, how, flags)
    assert growth < GROWTH, f"{place}: {pattern!r} by {how} grows {growth:.1f} times on {text!r}"


def test_patterns_are_found():
    assert len(USES) > 15
    assert any("transcript" in place for *_, place in USES)


@pytest.mark.parametrize(("pattern", "how"), WERE_SLOW.items())
def test_a_pattern_that_backtracks_is_found_out(pattern: str, how: str):
    assert worst_growth(pattern, how)[0] >= GROWTH


@pytest.mark.parametrize(("pattern", "how"), ARE_FAST.items())
def test_a_pattern_that_does_not_is_left_alone(pattern: str, how: str):
    assert worst_growth(pattern, how)[0] < GROWTH


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WERE_SLOW | ARE_FAST)), st.text("ab1.<>!?'- e@x\n", max_size=12))
def test_the_counting_matcher_finds_what_re_finds(pattern: str, text: str):
    try:
        ours = Matcher(pattern).run(text, "search")
    except TooManyStepsError:
        return
    theirs = re.search(pattern, text)
    assert ours == (theirs and theirs.span())
