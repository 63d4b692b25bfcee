"""What is known of a setting: written once, at its field, and read by every place that asks for it.

The command line, a batch's manifest, the API and the studio take help, range, choices and type of
a setting from here, and the value that holds it is checked by the same facts.
"""

import os
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from numbers import Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from audio2motion.gestures.text_limits import MAX_ADDRESS, MAX_GESTURES, MAX_NAME, shown
from weights.errors import InputError

FileKind = Literal["picture", "sound", "video", "motion", "text"]


@dataclass(frozen=True)
class Knob:
    """`help` is a sentence or two for the user, without the range `low` to `high` in `unit` and the
    `choices`, which are told with it. `longest` is how many characters a text may have.

    On the command line it is `option` (None: its name), where a number counts `scale` of those that
    the field holds, and `unset` says what counts when it is not given; on a screen it is called
    `label` (empty: its name). A file is one of `kinds`. Nobody but who runs a server sets what is
    `servers_own`: an address would be fetched, with the server's key, and a key file read.
    """

    help: str
    low: int | float | None = None
    high: int | float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    longest: int = MAX_NAME
    option: str | None = None
    scale: int = 1
    unset: str | None = None
    label: str = ""
    kinds: tuple[FileKind, ...] = ()
    servers_own: bool = False


@dataclass(frozen=True)
class Setting:
    """A field of a dataclass of settings: its `hint` is its type without the knob, its `default`
    MISSING where there is none.
    """

    name: str
    hint: Any
    default: Any
    knob: Knob

    @cached_property
    def members(self) -> tuple[Any, ...]:
        """The types of which it takes a value: those of its union, or itself."""
        return members(self.hint)

    @cached_property
    def origins(self) -> frozenset[Any]:
        """Its members without what is in them: a tuple of floats is a tuple."""
        return frozenset(get_origin(kind) or kind for kind in self.members)

    @property
    def is_file(self) -> bool:
        """Whether it names a file."""
        return os.PathLike in self.origins

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it may be; empty where any may."""
        literals = [get_args(kind) for kind in self.members if get_origin(kind) is Literal]
        return self.knob.choices or sum(literals, ())

    @property
    def option(self) -> str:
        """What it is called on the command line."""
        return self.knob.option or f"--{self.name.replace('_', '-')}"

    def scaled(self, given: Any) -> Any:
        """The field's value for what is given on the command line."""
        if self.knob.scale == 1:
            return given
        value = given * self.knob.scale
        return round(value) if int in self.origins else value

    @property
    def label(self) -> str:
        """What it is called on a screen."""
        return self.knob.label or self.name.replace("_", " ").capitalize()

    @property
    def help(self) -> str:
        """What there is to say to a user."""
        knob, told = self.knob, [self.knob.help]
        if knob.low is not None and knob.high is not None:
            told.append(f"{self._range}.")
        if knob.choices:
            told.append(f"{', '.join(knob.choices[:-1])} or {knob.choices[-1]}.")
        return " ".join(told)

    @property
    def _range(self) -> str:
        ends = (self.knob.low, self.knob.high)
        told = " to ".join(f"{end:g}" if isinstance(end, float) else str(end) for end in ends)
        return f"{told} {self.knob.unit}".rstrip()

    def check(self, value: object) -> None:
        """Raise InputError for a number, word, text or list that is none of what is wanted."""
        words, knob = self.name.replace("_", " "), self.knob
        if isinstance(value, str | bytes):
            most = max(knob.longest, MAX_ADDRESS) if self.is_file else knob.longest
            if len(value) > most:
                raise InputError(
                    f"got a {words} of {len(value)} characters; at most {most} are taken"
                )
            if self.choices and value not in self.choices:
                wanted = f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
                raise InputError(f"got the {words} {shown(value)}; wanted {wanted}")
        elif isinstance(value, Sequence | Mapping) and self.origins & {Sequence, Mapping}:
            if len(value) > MAX_GESTURES:
                raise InputError(f"got {len(value)} {words}; at most {MAX_GESTURES} are taken")
        elif isinstance(value, Real) and knob.low is not None and knob.high is not None:
            if knob.low <= float(value) <= knob.high:
                return
            raise InputError(f"got the {words} {shown(value)}; wanted {self._range}")


@cache
def settings(kind: type) -> tuple[Setting, ...]:
    """The settings of a dataclass, in order; raises TypeError for a field without a Knob."""
    hints = get_type_hints(kind, include_extras=True)
    made = []
    for field in fields(kind):
        hint, *extras = get_args(hints[field.name]) or (None,)
        knobs = [extra for extra in extras if isinstance(extra, Knob)]
        if not knobs:
            raise TypeError(f"the field {field.name} of {kind.__name__} has no Knob")
        made.append(Setting(field.name, hint, field.default, knobs[0]))
    return tuple(made)


@cache
def by_name(kind: type) -> dict[str, Setting]:
    """The settings of a dataclass by their names."""
    return {setting.name: setting for setting in settings(kind)}


def check(value: object) -> None:
    """Raise InputError for the first setting of a dataclass that cannot be used."""
    for setting in settings(type(value)):
        setting.check(getattr(value, setting.name))


def members(hint: Any) -> tuple[Any, ...]:
    """The types that a type is made of: those of a union, or itself."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(kind for part in get_args(hint) for kind in members(part))
    return (hint,)
