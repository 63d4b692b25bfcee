"""From a queued errand to what a screen shows of it, and from errors to sentences."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from app.jobs.errand import Errand, Work
from app.render.subtitles import place_of
from app.studio.screens import markup
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Page, Workshop
from weights.errors import UnavailableError, VisavisError

if TYPE_CHECKING:
    import gradio as gr

_POLL_S = 0.2
_PLAYED = (".mp4", ".webm")
"""What browsers play."""


def fail(error: VisavisError | str, files: Iterable[str] = (), told: bool = False) -> NoReturn:
    """Raise what gradio shows as a sentence, and gradio_client as an exception with it; gradio
    shows nothing of what the screen has `told` in its own place.
    """
    import gradio as gr

    sentence = markup.plain(markup.without_paths(str(error), files))
    raise gr.Error(sentence, print_exception=False, duration=8, visible=not told)


def submit(workshop: Workshop, visitor: Visitor, work: Work, videos: int = 1) -> Errand:
    """Queue a visitor's work; a refusal becomes a sentence."""
    try:
        return workshop.submit(page_of(workshop, visitor), work, videos)
    except VisavisError as error:
        fail(error)


def page_of(workshop: Workshop, visitor: Visitor) -> Page:
    """What belongs to the visitor's page."""
    return workshop.page(visitor.key, visitor.owner, visitor.came)


def cancel_all(workshop: Workshop, visitor: Visitor) -> None:
    """Stop all that is made for the visitor's page."""
    try:
        page_of(workshop, visitor).cancel()
    except VisavisError as error:
        fail(error)


async def follow(errand: Errand, lasting: bool = False) -> AsyncIterator[str]:
    """The HTML of an errand's progress until it has ended. A visitor who goes away cancels it, but
    one that is `lasting`: their tab may find it again, and ends it when it does not come back.
    """
    last = ""
    try:
        while not errand.ended:
            with suppress(UnavailableError):  # what was shown last is shown on
                now = markup.progress(await asyncio.to_thread(errand.look), errand.running.preview)
                if now != last:
                    yield now
                    last = now
            await asyncio.sleep(_POLL_S)
    finally:
        if not lasting and not errand.ended:
            errand.cancel()


def error_of(errand: Errand) -> str:
    """Why an ended errand has failed, empty when it has not."""
    try:
        return errand.look().error or ""
    except VisavisError as error:
        return str(error)


def files_of(video: Path, motion: Path) -> list[Any]:
    """A finished video for its player, and its files for what offers them: of what browsers do not
    play, the player shows nothing and the video is among the files.
    """
    import gradio as gr

    plays = video.suffix in _PLAYED
    files = [motion, *([] if plays else [video]), *filter(Path.is_file, [place_of(video)])]
    told = [str(path) for path in files]
    return [
        gr.update(value=str(video) if plays else None, visible=plays),
        gr.update(value=told if len(told) > 1 else told[0], visible=True),
    ]


def made_video(label: str, elem_id: str) -> "gr.Video":
    """Where a screen shows what it has made, once there is something."""
    import gradio as gr

    return gr.Video(
        label=label,
        interactive=False,
        elem_id=elem_id,
        buttons=["download"],
        height=440,
        visible=False,
        elem_classes="v-made",
    )
