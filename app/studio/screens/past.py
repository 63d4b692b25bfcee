"""Of the first screen: what the visitor has made before, with whichever screen, which is found
again after a reload.
"""

import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from app.api.guard import ANONYMOUS
from app.studio.creation import reopen
from app.studio.history import again, find, keep, pack, remove
from app.studio.made import Creation, Made, Sheet
from app.studio.screens import markup
from app.studio.screens.coming_back import Back, follow_again
from app.studio.screens.endpoints import endpoint
from app.studio.screens.follow import error_of, fail, files_of, follow, page_of, submit
from app.studio.screens.form import FORM_FIELDS, PUPPET_FIELDS, Form, form_of, request_of
from app.studio.screens.presets import SET, preset_of
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Desk, Workshop
from weights.errors import VisavisError

if TYPE_CHECKING:
    import gradio as gr

_SCREEN = "Opening"
_TOLD = 4
"""Places in which it is told how the opening of a result goes."""
_NONE = "Videos that you make are kept here for a while, after a reload too."


@dataclass(frozen=True)
class Past:
    """The list of results, which is drawn anew when a video was made, the event upon which one
    of them can be edited, and how its opening goes on in a tab that is loaded anew; the name of
    the chosen one, the button that makes it again, and where it is told how its opening goes.
    """

    listed: "gr.HTML"
    reopened: Callable[..., Any]
    back: Back
    picked: "gr.Textbox"
    use: "gr.Button"
    told: list[Any]


def add_past(workshop: Workshop, shown: list[Any], going: list[Any]) -> Past:
    """The list of results, and what is done with one; see `connect_again` for the rest. `shown` are
    the components of a video: the player, its motion file, its figures and its settings, `going`
    where it is told how something goes, and the button that cancels it.
    """
    import gradio as gr

    with gr.Accordion("Your videos", open=True, elem_id="past"):
        listed = gr.HTML(markup.note(_NONE), elem_id="past-list")
        picked = gr.Textbox(visible="hidden", elem_id="picked", label="The chosen video")
        with gr.Row():
            use = gr.Button("Use again", size="sm", interactive=False, elem_id="past-again")
            edit = gr.Button("Edit", size="sm", interactive=False, elem_id="past-edit")
            delete = gr.Button("Delete", size="sm", interactive=False, elem_id="past-delete")
            save = gr.Button("Download all", size="sm", elem_id="past-pack")
        opened = gr.Textbox(visible="hidden", elem_id="opened", label="The opened video")
        packed = gr.File(label="All videos (.zip)", interactive=False, visible=False)
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    picked.change(
        endpoint(_show, workshop, ("picked",)), picked, [*shown, listed, use, delete, edit], **quiet
    )
    delete.click(
        endpoint(_delete, workshop, ("picked",)),
        picked,
        [listed, picked, use, delete, edit],
        **quiet,
    )
    told = [*going, edit, opened]
    edit.click(
        endpoint(_reopen, workshop, ("picked",)), picked, told, concurrency_limit=None, **quiet
    )
    save.click(endpoint(_pack, workshop, ()), None, packed, **quiet)

    def back(after: "gr.events.Dependency") -> Any:
        return follow_again(after, workshop, _SCREEN, _opening, told)

    return Past(listed, opened.change, back, picked, use, told)


def connect_again(
    workshop: Workshop,
    past: Past,
    first: "tuple[list[Any], gr.Radio]",
    puppet: list[Any],
    tabs: "gr.Tabs",
) -> None:
    """Let a result be made again: what its screen showed is filled in there, and that screen comes
    to the front; one that was edited is opened in the editor, as it was. `first` are the first
    screen's components with its presets, `puppet` those of the other.
    """
    past.use.click(
        endpoint(_again, workshop, ("picked",)),
        past.picked,
        [*first[0], first[1], *puppet, tabs, *past.told],
        concurrency_limit=None,
        api_visibility="private",
        show_progress="hidden",
    )


def keep_result(
    workshop: Workshop,
    visitor: Visitor,
    made: Creation,
    sheet: Sheet,
    told: dict[str, Any],
    strip: Sequence[bytes],
) -> tuple[str, str]:
    """Put a finished video among the visitor's own; returned is its key there, and what is to be
    said of that. Who has no browser of their own, as callers of the endpoints, shares it with all
    others, so nothing is kept.
    """
    if visitor.owner == ANONYMOUS:
        return "", ""
    try:
        kept = keep(workshop.shelf(visitor.owner), made, sheet, told, strip[0] if strip else b"")
    except VisavisError as error:  # the video itself is there all the same
        return "", markup.note(f"This one is not kept: {error}")
    return kept.key, ""


def told_of(made: Creation, sheet: Sheet) -> dict[str, Any]:
    """A result as JSON, without the server's folders; its seed first."""
    text = json.dumps({"seed": made.result.seed, **made.result.to_json()}, default=str)
    told = json.loads(markup.without_paths(text, form_of(sheet).files))
    edits = {} if made.edited is None else {"edits": list(made.edited.edits)}
    return {**told, **edits}


def list_of(workshop: Workshop, visitor: Visitor, chosen: str = "") -> str:
    """The visitor's results as buttons, the latest first."""
    there = [] if visitor.owner == ANONYMOUS else workshop.shelf(visitor.owner).results
    buttons = [
        _button(made, made.key == chosen)
        for made in reversed(there)
        if made.creation.video.exists()
    ]
    return f'<div class="v-past">{"".join(buttons)}</div>' if buttons else markup.note(_NONE)


def _button(made: Made, chosen: bool) -> str:
    picture = base64.b64encode(made.thumb).decode()
    return (
        f'<button type="button" data-pick="{escape(made.key)}" aria-pressed="{str(chosen).lower()}"'
        f'><img src="data:image/jpeg;base64,{picture}" alt=""><span>{escape(made.title)}<br>'
        f"{made.creation.result.seconds:.1f} s</span></button>"
    )


def _show(workshop: Workshop, visitor: Visitor, key: str) -> list[Any]:
    import gradio as gr

    keep_it, on = gr.update(), gr.update(interactive=bool(key))
    if not key:
        return [*[keep_it] * 4, list_of(workshop, visitor), on, on, on]
    try:
        made = find(workshop.shelf(visitor.owner), key)
    except VisavisError as error:
        fail(error)
    one = made.creation
    shown = [*files_of(one.video, one.motion), markup.figures(one.result), dict(made.told)]
    edit = gr.update(interactive=one.editable)
    return [*shown, list_of(workshop, visitor, key), on, on, edit]


async def _reopen(workshop: Workshop, visitor: Visitor, key: str) -> AsyncIterator[list[Any]]:
    """Let a result's motion be edited, telling how that goes; fails unless it can be."""
    import gradio as gr

    page = page_of(workshop, visitor)
    try:
        made = find(workshop.shelf(visitor.owner), key)
        sheet = again(made, page)
        same = {"new_seed": False, "seed": made.creation.result.seed}
        form = form_of(sheet, **(same if sheet.screen == Form.__name__ else {}))
        request = request_of(form, workshop)
    except VisavisError as error:
        off, on = gr.update(interactive=False), gr.update(interactive=True)
        yield [markup.alert(str(error)), off, on, gr.update()]
        fail(error, told=True)
    desk = page.desk(_SCREEN)
    desk.errand = submit(workshop, visitor, partial(reopen, workshop, page, request, made, sheet))
    async for told in _opening(workshop, visitor, desk):
        yield told


async def _opening(workshop: Workshop, visitor: Visitor, desk: Desk) -> AsyncIterator[list[Any]]:
    """How the opening of a result goes, from now to its end, which is told once: a tab that is
    loaded anew meanwhile sees it. The last value is another for each that was opened.
    """
    import gradio as gr

    run = desk.errand
    if run is None:
        return
    on, off, keep = gr.update(interactive=True), gr.update(interactive=False), gr.update()
    async for html in follow(run, lasting=page_of(workshop, visitor).tab is not None):
        yield [html, on, off, keep]
    failed = run.result is None
    error = error_of(run) or "the video was not opened"
    yield [markup.alert(error) if failed else "", off, on, keep if failed else run.running.id]
    if desk.errand is run:
        desk.errand = None
    if failed:
        fail(error, told=True)


async def _again(workshop: Workshop, visitor: Visitor, key: str) -> AsyncIterator[list[Any]]:
    """What a result was made of, in its screen: the outputs of `connect_again`."""
    import gradio as gr

    first, puppet = ([gr.skip()] * n for n in (len(FORM_FIELDS) + 1, len(PUPPET_FIELDS)))
    tab, told = gr.skip(), [gr.skip()] * _TOLD
    try:
        made = find(workshop.shelf(visitor.owner), key)
        if made.creation.edited is None:
            sheet = again(made, page_of(workshop, visitor))
            form = {**sheet.form, "face": None}  # the photo's faces are looked for first
            if sheet.screen == Form.__name__:
                names = [form[name] for name in SET]
                first = [*(form[name] for name in FORM_FIELDS), preset_of(*names)]
            else:
                puppet = [form[name] for name in PUPPET_FIELDS]
                tab = gr.Tabs(selected="puppet")
            yield [*first, *puppet, tab, *told]
            return
    except VisavisError as error:
        fail(error)
    async for told in _reopen(workshop, visitor, key):
        yield [*first, *puppet, tab, *told]


def _delete(workshop: Workshop, visitor: Visitor, key: str) -> list[Any]:
    import gradio as gr

    try:
        remove(workshop.shelf(visitor.owner), key)
    except VisavisError as error:
        fail(error)
    off = gr.update(interactive=False)
    return [list_of(workshop, visitor), "", off, off, off]


def _pack(workshop: Workshop, visitor: Visitor) -> Any:
    import gradio as gr

    try:
        packed = pack(workshop.shelf(visitor.owner))
    except VisavisError as error:
        fail(error)
    return gr.update(value=str(packed), visible=True)
