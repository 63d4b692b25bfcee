"""Options that several commands share: one argument to the command, spelled out for the user.

Each option is written once, with the name of a field of MotionRequest and its default.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from app.render.request import MotionRequest

Command = Callable[..., None]


def spelled_out(
    argument: str,
    options: dict[str, Any],
    read: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> Callable[[Command], Command]:
    """A decorator: the command with every option, from field to annotation, instead of its one
    argument, which gets what `read` makes of their values.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [p for name, p in signature.parameters.items() if name != argument]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=getattr(MotionRequest, name),
                annotation=kind,
            )
            for name, kind in options.items()
        ]
        required = [p for p in own if p.default is inspect.Parameter.empty]
        optional = [p for p in own if p.default is not inspect.Parameter.empty]
        parameters = [*required, *added, *optional]

        @functools.wraps(command)
        def run(*given: Any, **named: Any) -> None:
            bound = run.__signature__.bind(*given, **named)  # type: ignore[attr-defined]
            values = bound.arguments
            group = {name: values.pop(name) for name in options if name in values}
            command(**{argument: read(group)}, **values)

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        del run.__wrapped__  # or annotations are taken from the command
        return run

    return decorate
