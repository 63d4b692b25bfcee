"""Which classes may be saved with a stream's state: those that say so themselves."""

from typing import TypeVar

T = TypeVar("T")
SAVEABLE: dict[str, type] = {}
"""By their names, as `name_of` gives them."""


def saveable(cls: type[T]) -> type[T]:
    """A decorator: values of this dataclass may be saved, and made of saved bytes."""
    SAVEABLE[name_of(cls)] = cls
    return cls


def name_of(cls: type) -> str:
    """module:Class."""
    return f"{cls.__module__}:{cls.__qualname__}"
