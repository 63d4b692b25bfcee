"""Of the first screen: what the visitor has made before, which is found again after a reload."""

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from app.api.guard import ANONYMOUS
from app.studio.creation import Creation
from app.studio.history import again, find, keep, pack, remove
from app.studio.made import Made
from app.studio.screens import markup
from app.studio.screens.endpoints import endpoint
from app.studio.screens.follow import fail, files_of, page_of
from app.studio.screens.form import FORM_FIELDS, FORM_FILES, Form
from app.studio.screens.presets import SET, preset_of
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Workshop
from weights.errors import VisavisError

if TYPE_CHECKING:
    import gradio as gr

_NONE = "Videos that you make are kept here for a while, after a reload too."


def add_past(workshop: Workshop, form: "tuple[list[Any], gr.Radio]", shown: list[Any]) -> "gr.HTML":
    """The list of results, and what is done with one. `form` are the form's components with the
    presets, `shown` those of a video: the player, its motion file, its figures and its settings.

    Returned is the list, which is drawn anew when a video was made.
    """
    import gradio as gr

    with gr.Accordion("Your videos", open=True, elem_id="past"):
        listed = gr.HTML(markup.note(_NONE), elem_id="past-list")
        picked = gr.Textbox(visible="hidden", elem_id="picked", label="The chosen video")
        with gr.Row():
            use = gr.Button("Use again", size="sm", interactive=False, elem_id="past-again")
            delete = gr.Button("Delete", size="sm", interactive=False, elem_id="past-delete")
            save = gr.Button("Download all", size="sm", elem_id="past-pack")
        packed = gr.File(label="All videos (.zip)", interactive=False, visible=False)
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    picked.change(
        endpoint(_show, workshop, ("picked",)), picked, [*shown, listed, use, delete], **quiet
    )
    use.click(endpoint(_again, workshop, ("picked",)), picked, [*form[0], form[1]], **quiet)
    delete.click(
        endpoint(_delete, workshop, ("picked",)), picked, [listed, picked, use, delete], **quiet
    )
    save.click(endpoint(_pack, workshop, ()), None, packed, **quiet)
    return listed


def keep_result(
    workshop: Workshop,
    visitor: Visitor,
    made: Creation,
    form: Form,
    told: dict[str, Any],
    strip: Sequence[bytes],
) -> tuple[str, str]:
    """Put a finished video among the visitor's own; returned is its key there, and what is to be
    said of it. Who has no browser of their own, as callers of the endpoints, shares it with all
    others, so nothing is kept.
    """
    if visitor.owner == ANONYMOUS:
        return "", ""
    values = {name: getattr(form, name) for name in FORM_FIELDS}
    files = {name: value for name in FORM_FILES if (value := values[name])}
    shelf = workshop.shelf(visitor.owner)
    try:
        kept = keep(shelf, made, values, files, told, strip[0] if strip else b"")
    except VisavisError as error:  # the video itself is there all the same
        return "", markup.note(f"This one is not kept: {error}")
    return kept.key, ""


def list_of(workshop: Workshop, visitor: Visitor, chosen: str = "") -> str:
    """The visitor's results as buttons, the latest first."""
    there = [] if visitor.owner == ANONYMOUS else workshop.shelf(visitor.owner).results
    buttons = [_button(made, made.key == chosen) for made in reversed(there) if made.video.exists()]
    return f'<div class="v-past">{"".join(buttons)}</div>' if buttons else markup.note(_NONE)


def _button(made: Made, chosen: bool) -> str:
    picture = base64.b64encode(made.thumb).decode()
    return (
        f'<button type="button" data-pick="{escape(made.key)}" aria-pressed="{str(chosen).lower()}"'
        f'><img src="data:image/jpeg;base64,{picture}" alt=""><span>{escape(made.title)}<br>'
        f"{made.result.seconds:.1f} s</span></button>"
    )


def _show(workshop: Workshop, visitor: Visitor, key: str) -> list[Any]:
    import gradio as gr

    keep_it, on = gr.update(), gr.update(interactive=bool(key))
    if not key:
        return [*[keep_it] * 4, list_of(workshop, visitor), on, on]
    try:
        made = find(workshop.shelf(visitor.owner), key)
    except VisavisError as error:
        fail(error)
    shown = [*files_of(made.video, made.motion), markup.figures(made.result), dict(made.told)]
    return [*shown, list_of(workshop, visitor, key), on, on]


def _again(workshop: Workshop, visitor: Visitor, key: str) -> list[Any]:
    try:
        form = again(find(workshop.shelf(visitor.owner), key), page_of(workshop, visitor))
    except VisavisError as error:
        fail(error)
    form["face"] = None  # the photo's faces are looked for first
    return [*(form[name] for name in FORM_FIELDS), preset_of(*(form[name] for name in SET))]


def _delete(workshop: Workshop, visitor: Visitor, key: str) -> list[Any]:
    import gradio as gr

    try:
        remove(workshop.shelf(visitor.owner), key)
    except VisavisError as error:
        fail(error)
    off = gr.update(interactive=False)
    return [list_of(workshop, visitor), "", off, off]


def _pack(workshop: Workshop, visitor: Visitor) -> Any:
    import gradio as gr

    try:
        packed = pack(workshop.shelf(visitor.owner))
    except VisavisError as error:
        fail(error)
    return gr.update(value=str(packed), visible=True)
