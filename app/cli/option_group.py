"""A command's options out of a dataclass of settings: one argument to the command, spelled out for
the user.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

from typer import Option

from app.render.knobs import Setting, settings

Command = Callable[..., None]


def takes(
    argument: str, kind: type, names: Collection[str] | None = None, *, optional: bool = False
) -> Callable[[Command], Command]:
    """A decorator: the command has an option for every setting of `kind` (or those of `names`)
    instead of its one argument, which gets their values by name. Several may stand above each
    other.

    When `optional`, only the values of options that were used are there, as they were written.
    """
    chosen = [s for s in settings(kind) if names is None or s.name in names]
    added = [_parameter(setting, optional) for setting in chosen]

    def read(given: dict[str, Any]) -> dict[str, Any]:
        values = {s.name: given.pop(s.name) for s in chosen if s.name in given}
        if optional:
            return {name: value for name, value in values.items() if value not in (None, [])}
        return {s.name: _read(s, values[s.name]) for s in chosen if s.name in values}

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [p for name, p in signature.parameters.items() if name != argument]
        # Those without a default come first: `sorted` keeps the order of the rest.
        parameters = sorted([*added, *own], key=lambda p: p.default is not inspect.Parameter.empty)
        asked = signature.replace(parameters=parameters)

        inner, reads = getattr(command, "takes", (command, {}))
        reads = {**reads, argument: read}

        @functools.wraps(inner)
        def run(**given: Any) -> None:
            for name, read_group in reads.items():
                given[name] = read_group(given)
            inner(**given)

        run.takes = inner, reads  # pyrefly: ignore[missing-attribute]
        run.__signature__ = asked  # pyrefly: ignore[missing-attribute]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        del run.__wrapped__  # or annotations are taken from the command
        return run

    return decorate


def _parameter(setting: Setting, optional: bool) -> inspect.Parameter:
    """The option of a setting as the parameter that typer reads it from."""
    knob, many = setting.knob, bool(setting.origins & {Sequence, Mapping})
    name = setting.option
    if bool in setting.origins:
        name = f"{name}/--no-{name.removeprefix('--')}"
    told = f"{setting.help} Repeatable." if many else setting.help
    kind: Any = list[str] if many else _plain(setting)
    needed = setting.default is MISSING and not optional
    default = None if optional or needed else setting.default
    if knob.scale != 1:
        kind, default = float, setting.default / knob.scale
    if default is None and not needed:
        kind = kind | None
    option = Option(
        name, help=told, show_default=knob.unset or True, autocompletion=_completion(setting)
    )
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=inspect.Parameter.empty if needed else default,
        annotation=Annotated[kind, option],
    )


def _completion(setting: Setting) -> Callable[[str], list[str]] | None:
    """What a shell offers for a word that is one of several; None where any may be given."""
    choices = setting.knob.choices  # of a Literal, typer knows by itself
    if not choices:
        return None

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def _plain(setting: Setting) -> Any:
    """The type that one value of an option has."""
    if setting.is_file:
        return Path
    literals = [kind for kind in setting.members if get_origin(kind) is Literal]
    return (*literals, *(k for k in (str, bool, float, int) if k in setting.origins))[0]


def _read(setting: Setting, value: Any) -> Any:
    if value and Mapping in setting.origins:
        from audio2motion.gestures.controls import parse_regions

        return parse_regions(value)
    return setting.scaled(value)
