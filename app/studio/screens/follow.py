"""From a queued run to what a screen shows of it, and from errors to sentences."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, NoReturn

from app.studio.screens import markup
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Run, Session, Work, Workshop
from weights.errors import VisavisError

_POLL_S = 0.2


def fail(error: VisavisError | str, files: Iterable[str] = ()) -> NoReturn:
    """Raise what gradio shows as a sentence, and gradio_client as an exception with it."""
    import gradio as gr

    raise gr.Error(markup.without_paths(str(error), files), print_exception=False, duration=8)


def submit(workshop: Workshop, visitor: Visitor, work: Work, videos: int = 1) -> Run:
    """Queue a visitor's work; a refusal becomes a sentence."""
    try:
        return workshop.submit(session_of(workshop, visitor), work, videos)
    except VisavisError as error:
        fail(error)


def session_of(workshop: Workshop, visitor: Visitor) -> Session:
    """What belongs to the visitor's page."""
    return workshop.session(visitor.key, visitor.owner)


def cancel_all(workshop: Workshop, visitor: Visitor) -> None:
    """Stop all that is made for the visitor's page."""
    for run in session_of(workshop, visitor).runs:
        run.cancel()


async def follow(run: Run, workshop: Workshop) -> AsyncIterator[str]:
    """The HTML of a run's progress until it has ended. A visitor who goes away cancels it."""
    last = ""
    try:
        while not run.ended:
            now = markup.progress(run, workshop)
            if now != last:
                yield now
                last = now
            await asyncio.sleep(_POLL_S)
    finally:
        if not run.ended:
            run.cancel()


def outcome(run: Run, files: Iterable[str] = ()) -> Any:
    """What an ended run has made, None when it was cancelled; its error becomes a sentence."""
    if run.state == "failed":
        fail(run.error, files)
    return run.result
