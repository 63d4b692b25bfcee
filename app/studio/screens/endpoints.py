"""Functions as gradio wants them: a signature whose names become those of the API's parameters."""

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from app.studio.screens.form import FORM_FIELDS, default_form
from app.studio.screens.visitors import visitor_of
from app.studio.workshop import Workshop


def endpoint(
    function: Callable[..., Any], workshop: Workshop, names: Sequence[str] = FORM_FIELDS
) -> Callable[..., Any]:
    """`function(workshop, visitor, *values)` as a function of (request, one parameter a name).

    gradio finds the request by its annotation, and gradio_client and the API page show the names.
    """
    import gradio as gr

    run: Callable[..., Any]
    if inspect.isasyncgenfunction(function):

        async def run_each(request: Any, *values: Any) -> AsyncIterator[Any]:
            async for result in function(workshop, visitor_of(request), *values):
                yield result

        run = run_each
    else:

        def run_once(request: Any, *values: Any) -> Any:
            return function(workshop, visitor_of(request), *values)

        run = run_once
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("request", kind, annotation=gr.Request)]
    # With a default, gradio_client need not be given an optional file.
    form = default_form(workshop.limits)
    parameters += [
        inspect.Parameter(name, kind, default=getattr(form, name, None)) for name in names
    ]
    run.__signature__ = inspect.Signature(parameters)  # pyrefly: ignore[missing-attribute]
    run.__annotations__ = {"request": gr.Request}
    return run
