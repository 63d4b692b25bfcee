"""Two settings of one photo and one voice, side by side in one video, so always in step."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.studio.creation import compare
from app.studio.screens import markup
from app.studio.screens.coming_back import Back, fill_again, follow_again
from app.studio.screens.create import CreateScreen
from app.studio.screens.endpoints import endpoint
from app.studio.screens.follow import (
    cancel_all,
    error_of,
    fail,
    follow,
    made_video,
    page_of,
    submit,
)
from app.studio.screens.form import (
    FORM_FIELDS,
    Form,
    component,
    from_values,
    request_of,
    style_choices,
    typed,
)
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Desk, Workshop
from weights.errors import VisavisError

if TYPE_CHECKING:
    import gradio as gr

_SCREEN = "Compare"
SIDES = ("left", "right")
_ASKED = ("emotion", "intensity", "expressivity", "style", "seed")
NAMES = tuple(f"{side}_{name}" for side in SIDES for name in _ASKED)


def build(workshop: Workshop, first: CreateScreen) -> Back:
    """Lay the screen out: photo, voices and all else come from the first screen. Returned is how
    it comes back.
    """
    import gradio as gr

    gr.HTML(markup.note("Photo, voices and everything that is not set here are those of Create."))
    asked: list[Any] = []
    with gr.Row():
        for side, expressivity in zip(SIDES, (1.0, 2.0), strict=True):
            with gr.Column(min_width=280), gr.Group():
                gr.HTML(f"<h2 class='v-side'>{side.capitalize()}</h2>")
                asked += _settings(side, expressivity)
    with gr.Row():
        make = gr.Button("Make both", variant="primary", elem_id="compare-make")
        cancel = gr.Button("Cancel", interactive=False, elem_id="compare-cancel")
    status = gr.HTML(elem_id="compare-status")
    video = made_video("Left and right", "compare-video")
    made = [status, video, make, cancel]
    make.click(
        endpoint(_make, workshop, (*NAMES, *FORM_FIELDS)),
        [*asked, *first.inputs],
        made,
        api_name="compare",
        api_description="Two settings of one photo and voice as one video, side by side.",
        concurrency_limit=None,
        show_progress="hidden",
    )
    cancel.click(
        endpoint(cancel_all, workshop, ()), None, None, api_visibility="private", queue=False
    )

    def back(entered: "gr.events.Dependency") -> None:
        filled = fill_again(entered, workshop, _SCREEN, asked, list)
        follow_again(filled, workshop, _SCREEN, _follow, made)

    return back


def _settings(side: str, expressivity: float) -> list[Any]:
    import gradio as gr

    told = {name: component(name, info=False) for name in _ASKED}
    for part in told.values():
        part["label"] = f"{part['label']}, {side}"
    told["expressivity"]["value"] = expressivity
    told["style"]["choices"] = style_choices()
    return [
        gr.Dropdown(**told["emotion"]),
        gr.Slider(**told["intensity"], step=0.05),
        gr.Slider(**told["expressivity"], step=0.05),
        gr.Dropdown(**told["style"]),
        gr.Number(**told["seed"], precision=0),
    ]


async def _make(workshop: Workshop, visitor: Visitor, *values: Any) -> AsyncIterator[list[Any]]:
    import gradio as gr

    on, off, keep = gr.update(interactive=True), gr.update(interactive=False), gr.update()
    try:
        form = from_values(values[len(NAMES) :])
    except VisavisError as error:
        fail(error)
    try:
        sides = [_side(form, values[i : i + len(_ASKED)]) for i in (0, len(_ASKED))]
        requests = [await asyncio.to_thread(request_of, side, workshop) for side in sides]
    except VisavisError as error:
        yield [markup.alert(markup.without_paths(str(error), form.files)), keep, on, off]
        fail(error, form.files, told=True)
    page = page_of(workshop, visitor)
    desk = page.desk(_SCREEN)
    desk.errand = submit(
        workshop,
        visitor,
        lambda run: compare(workshop, page, (requests[0], requests[1]), run),
    )
    desk.form, desk.made_of = values[: len(NAMES)], form
    async for shown in _follow(workshop, visitor, desk):
        yield shown


async def _follow(workshop: Workshop, visitor: Visitor, desk: Desk) -> AsyncIterator[list[Any]]:
    """How a comparison goes, from now to its end."""
    import gradio as gr

    run, form = desk.errand, desk.made_of
    if run is None or (run.result is not None and not run.result.exists()):
        return
    on, off, keep = gr.update(interactive=True), gr.update(interactive=False), gr.update()
    lasting = page_of(workshop, visitor).tab is not None
    async for html in follow(run, lasting):
        yield [html, gr.update(visible=False), off, on]
    if run.result is None and (error := markup.without_paths(error_of(run), form.files)):
        yield [markup.alert(error), keep, on, off]
        fail(error, told=True)
    if run.result is None:
        yield [markup.done("Cancelled."), keep, on, off]
        return
    video = gr.update(value=str(run.result), visible=True)
    said = markup.done("Done.") + "".join(map(markup.note, dict.fromkeys(run.running.notices)))
    yield [said, video, on, off]


def _side(form: Form, values: Sequence[Any]) -> Form:
    asked = {name: typed(name, value) for name, value in zip(_ASKED, values, strict=True)}
    return replace(form, **asked, new_seed=False)
