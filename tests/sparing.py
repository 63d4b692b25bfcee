"""Shapes are looked at in the first calls of every function in each test, and in some of the later
ones: the thousandth frame has the shape of the tenth, and looking takes longer than many a call.

A function is made ready to be looked at when it is first called, not when its module is loaded, and
one that is defined inside another not each time that the other runs.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import jaxtyping
from jaxtyping import config

MOST, MOST_INNER = 40, 8
"""Calls of a function in a test that are all looked at, and those of one inside another."""
THEN = 16
"""Of later calls one in so many is looked at."""

_jaxtyped: Callable[..., Any] = jaxtyping.jaxtyped
_inner: dict[CodeType, "_Tally"] = {}
_test = 0


class _Tally:
    """How often something was called in the present test."""

    __slots__ = ("_calls", "_most", "_test")

    def __init__(self, most: int) -> None:
        self._most, self._test, self._calls = most, _test, 0

    def due(self) -> bool:
        """Count a call; whether it is looked at."""
        if self._test != _test:
            self._test, self._calls = _test, 0
        self._calls += 1
        return self._calls <= self._most or self._calls % THEN == 0


def begin_test() -> None:
    """From here on first calls are first calls again."""
    global _test
    _test += 1


def look_sparingly() -> None:
    """Make jaxtyping's import hook do so; before it is installed."""
    jaxtyping.jaxtyped = jaxtyped  # pyrefly: ignore[bad-assignment]


def jaxtyped(thing: Any = None, *, typechecker: Any) -> Any:
    """In place of jaxtyping's own decorator, as the import hook uses it."""
    if thing is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing) and isinstance(thing.__init__, FunctionType):
            thing.__init__ = _looked_at(thing.__init__, typechecker)
        return thing
    if isinstance(thing, FunctionType):
        return _looked_at(thing, typechecker)
    return _jaxtyped(thing, typechecker=typechecker)


def _looked_at(function: FunctionType, typechecker: Any) -> Callable[..., Any]:
    if hasattr(function, "_looked_at"):  # of a base class
        return function
    if "<locals>" in function.__qualname__:
        tally = _inner.setdefault(function.__code__, _Tally(MOST_INNER))
    else:
        tally = _Tally(MOST)
    looking: Callable[..., Any] | None = None

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal looking
        if config.jaxtyping_disable or not tally.due():
            return function(*args, **kwargs)
        if looking is None:
            looking = _jaxtyped(function, typechecker=typechecker)
        return looking(*args, **kwargs)

    called._looked_at = True  # pyrefly: ignore[missing-attribute]
    return called
