"""Parts that are loaded when they are first asked for."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Later(Generic[T]):
    """Something that `load` makes, once, for whoever asks first; the others wait. When it fails,
    the next who asks tries again.
    """

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._made: list[T] = []

    def get(self) -> T:
        """It. Raises what loading raises."""
        with self._lock:
            if not self._made:
                self._made.append(self._load())
            return self._made[0]


class _Part:
    """A field that may be given as a `Later`; reading it loads it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, holder: Any, owner: type) -> Any:
        if holder is None:
            raise AttributeError(self._name)
        held = holder.__dict__[self._name]
        return held.get() if isinstance(held, Later) else held

    def __set__(self, holder: Any, value: Any) -> None:
        holder.__dict__[self._name] = value


def may_come_later(*names: str) -> Callable[[type[T]], type[T]]:
    """A decorator above `dataclass`: these fields may be given as a `Later` of what they hold."""

    def decorate(cls: type[T]) -> type[T]:
        for name in names:
            setattr(cls, name, _Part(name))
        return cls

    return decorate
