"""A tab that is loaded anew finds again what was filled in, and what is being made for it."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.studio.screens.endpoints import endpoint
from app.studio.screens.follow import fail, page_of
from app.studio.screens.form import Filled
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Desk, Workshop

if TYPE_CHECKING:
    import gradio as gr

    Step = gr.events.Dependency

_TAB = re.compile(r"[0-9a-f]{32}")
_TAB_SCRIPT = "() => window.visavisTab"
"""A promise of studio.js, which gradio waits for."""
_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
Follow = Callable[[Workshop, Visitor, Desk], AsyncIterator[list[Any]]]
Back = Callable[["Step"], Any]
"""What a screen does once it is known whose tab it is in."""


def add_returns(workshop: Workshop, blocks: "gr.Blocks", screens: list[Back]) -> None:
    """Let the screens of a page come back; call it when they are all laid out."""
    import gradio as gr

    tab = gr.Textbox(visible=False, label="The browser's name for this tab")
    entered = blocks.load(
        endpoint(_enter, workshop, ("tab",)), tab, None, js=_TAB_SCRIPT, queue=False, **_QUIET
    )
    for screen in screens:
        screen(entered)


def fill_again(
    after: "Step",
    workshop: Workshop,
    screen: str,
    parts: list[Any],
    values: Callable[[Any], list[Any]],
) -> "Step":
    """After a step, fill the parts with the `values` of the form that the screen has had."""
    import gradio as gr

    def fill(workshop: Workshop, visitor: Visitor) -> list[Any]:
        form = page_of(workshop, visitor).desk(screen).form
        return [gr.skip()] * len(parts) if form is None else values(form)

    return after.then(endpoint(fill, workshop, ()), None, parts, **_QUIET)


def follow_again(
    after: "Step", workshop: Workshop, screen: str, follow: Follow, outputs: list[Any]
) -> "Step":
    """After a step, tell on how what the screen has begun goes, or what has become of it."""
    import gradio as gr

    async def go_on(workshop: Workshop, visitor: Visitor) -> AsyncIterator[list[Any]]:
        yield [gr.skip()] * len(outputs)  # who yields nothing, empties them
        async for shown in follow(workshop, visitor, page_of(workshop, visitor).desk(screen)):
            yield shown

    found = endpoint(go_on, workshop, ())
    return after.then(found, None, outputs, concurrency_limit=None, **_QUIET)


def values_of(form: Filled, names: tuple[str, ...]) -> list[Any]:
    """The fields of a form whose photo's faces are looked for first, less files that are gone."""
    gone = {path for path in form.files if not Path(path).exists()}
    values = {name: getattr(form, name) for name in names} | {"face": None}
    return [None if value in gone else value for value in values.values()]


def _enter(workshop: Workshop, visitor: Visitor, tab: str | None) -> None:
    if not _TAB.fullmatch(tab or ""):
        fail("the tab has no name by which it could be found again")
    workshop.enter(visitor.key, visitor.owner, str(tab), visitor.came)
