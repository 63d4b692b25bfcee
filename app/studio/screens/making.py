"""What the screens that make a video share: its plan, the making, and where the result shows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.intake.allowance import require_length
from app.intake.limits import Limits
from app.intake.sandbox import shared_sandbox
from app.intake.values import SandboxReader
from app.jobs.crew import Running
from app.jobs.errand import Errand
from app.jobs.plan import make_plan
from app.render.request import RenderRequest
from app.studio.creation import create
from app.studio.made import Creation
from app.studio.screens import markup
from app.studio.screens.endpoints import endpoint
from app.studio.screens.follow import (
    cancel_all,
    error_of,
    fail,
    files_of,
    follow,
    made_video,
    page_of,
    submit,
)
from app.studio.screens.form import (
    Filled,
    default_form,
    from_values,
    label_of,
    request_of,
    sheet_of,
)
from app.studio.screens.past import keep_result, list_of, told_of
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Desk, Workshop
from weights.errors import VisavisError

if TYPE_CHECKING:
    import gradio as gr

_SIZES = (256, 384, 512, 768, 1024)
_EXAMPLE = "An example, made of the photo and the text that are there at first. Yours comes here."
_FIRST = "Give a photo to begin, or take one of the examples."


@dataclass(frozen=True)
class _Finished:
    """A video with its settings; where it was put among the visitor's own, its `key` there, and
    what is to be said of that.
    """

    creation: Creation
    settings: dict[str, Any]
    key: str
    said: str


@dataclass(frozen=True)
class Result:
    """Where a screen makes its video and shows it; ids of its parts begin with the screen's."""

    plan: "gr.HTML"
    make: "gr.Button"
    cancel: "gr.Button"
    status: "gr.HTML"
    video: "gr.Video"
    figures: "gr.HTML"
    edit: "gr.Button"
    use_seed: "gr.Button"
    motion_file: "gr.File"
    settings: "gr.JSON"

    @property
    def shown(self) -> list[Any]:
        """A video and what is known of it."""
        return [self.video, self.motion_file, self.figures, self.settings]

    @property
    def told(self) -> list[Any]:
        """What `told_plan` fills, in its order."""
        return [self.plan, self.make, self.status]

    @property
    def outputs(self) -> list[Any]:
        """What `make_video` fills, in its order, before the list of the visitor's videos."""
        return [self.status, *self.shown, self.make, self.cancel, self.edit, self.use_seed]


def add_result(workshop: Workshop, screen: str = "", example: Path | None = None) -> Result:
    """The parts of a result, of which one cancels already; there may be an `example` of one in its
    place until there is one.
    """
    import gradio as gr

    plan = gr.HTML(markup.note(_FIRST), elem_id=f"{screen}plan")
    with gr.Row():
        make = gr.Button(
            "Make the video", variant="primary", elem_id=f"{screen}make", interactive=False
        )
        cancel = gr.Button("Cancel", elem_id=f"{screen}cancel", interactive=False)
    status = gr.HTML(elem_id=f"{screen}status")
    if example is not None:
        address = f"gradio_api/file={quote(workshop.files.publish(example))}"
        gr.HTML(markup.example(address, _EXAMPLE), elem_id=f"{screen}example")
    video = made_video("Video", f"{screen}video")
    with gr.Row():
        edit = gr.Button("Edit the motion", interactive=False, elem_id=f"{screen}edit")
        use_seed = gr.Button(
            "Use this seed", interactive=False, elem_id=f"{screen}use-seed", visible=not screen
        )
    motion_file = gr.File(
        label="Motion file (.npz)",
        file_count="multiple",
        interactive=False,
        elem_id=f"{screen}motion",
        visible=False,
    )
    figures = gr.HTML(elem_id=f"{screen}figures")
    with gr.Accordion("Settings as JSON", open=False):
        settings = gr.JSON(label="Settings", elem_id=f"{screen}settings")
    cancel.click(
        endpoint(cancel_all, workshop, ()),
        None,
        None,
        api_name="cancel",
        api_visibility="private" if screen else "public",
        queue=False,
    )
    return Result(plan, make, cancel, status, video, figures, edit, use_seed, motion_file, settings)


def shown_sizes(limits: Limits) -> dict[str, Any]:
    """What the component of a video's size is told."""
    return {
        "choices": sorted({s for s in _SIZES if s <= limits.max_size} | {limits.max_size}),
        "value": default_form(limits).size,
        "label": label_of("size"),
        "allow_custom_value": True,
    }


def told_plan(
    workshop: Workshop, visitor: Visitor, values: Sequence[Any], kind: type[Filled]
) -> list[Any]:
    """What a video will be, or why it cannot be made yet, in which case the button is off; what
    was said of an earlier try goes: Result.told.
    """
    import gradio as gr

    page, can = page_of(workshop, visitor), False
    form: Filled = kind()
    try:
        form = page.desk(kind.__name__).form = from_values(values, kind)
        if not form.photo:
            said = markup.note(_FIRST)
        elif form.photo == page.faceless:
            said = markup.note("This photo cannot be used: no face was found in it.")
        elif form.photo == page.unusable:
            said = markup.note("This photo cannot be used: what is wrong is said beside it.")
        else:
            plan = make_plan(
                request_of(form, workshop), workshop.queue.pace, SandboxReader(shared_sandbox())
            )
            require_length(plan.seconds, workshop.limits)
            said, can = markup.note(f"Plan: {plan}"), True
    except VisavisError as error:
        said = markup.lacking(markup.without_paths(str(error), form.files))
    if page.busy:  # its end switches the button on
        return [said, gr.update(), gr.update()]
    return [said, gr.update(interactive=can), ""]


async def make_video(
    workshop: Workshop, visitor: Visitor, values: Sequence[Any], kind: type[Filled]
) -> AsyncIterator[list[Any]]:
    """Queue the video of a form's values, tell how it goes, and hand it over: Result.outputs,
    and the list of what the visitor has made.
    """
    import gradio as gr

    form: Filled = kind()
    on, off, keep = gr.update(interactive=True), gr.update(interactive=False), gr.update()
    try:
        form = from_values(values, kind)
        wanted = await asyncio.to_thread(request_of, form, workshop)
    except VisavisError as error:
        told = markup.alert(markup.without_paths(str(error), form.files))
        yield [told, keep, keep, keep, keep, on, off, keep, keep, keep]
        fail(error, form.files, told=True)
    page = page_of(workshop, visitor)
    desk = page.desk(kind.__name__)
    desk.errand, desk.made_of = _begin(workshop, visitor, form, wanted), form
    desk.form = form
    async for shown in follow_video(workshop, visitor, desk):
        yield shown


def _begin(workshop: Workshop, visitor: Visitor, form: Filled, wanted: RenderRequest) -> Errand:
    """Queue a video, which is put among the visitor's own when it is made, seen or not."""
    page = page_of(workshop, visitor)

    def work(run: Running) -> _Finished:
        sheet = sheet_of(form)
        made = create(workshop, page, wanted, run, sheet)
        settings = told_of(made, sheet)
        kept = keep_result(workshop, visitor, made, sheet, settings, run.preview.strip)
        return _Finished(made, settings, *kept)

    return submit(workshop, visitor, work)


async def follow_video(
    workshop: Workshop, visitor: Visitor, desk: Desk
) -> AsyncIterator[list[Any]]:
    """How the video of a screen goes, from now to its end, as `make_video` tells it: it may have
    been begun before its tab was loaded anew.
    """
    import gradio as gr

    run, form = desk.errand, desk.made_of
    made: _Finished | None = None if run is None else run.result
    if run is None or (made is not None and not made.creation.video.exists()):
        return
    on, off, keep = gr.update(interactive=True), gr.update(interactive=False), gr.update()
    hidden = gr.update(visible=False)
    lasting = page_of(workshop, visitor).tab is not None
    async for html in follow(run, lasting):
        yield [html, hidden, hidden, "", keep, off, on, off, off, keep]
    made = run.result
    if made is None and (error := markup.without_paths(error_of(run), form.files)):
        yield [markup.alert(error), keep, keep, keep, keep, on, off, keep, keep, keep]
        fail(error, told=True)
    if made is None:
        yield [markup.done("Cancelled."), keep, keep, keep, keep, on, off, keep, keep, keep]
        return
    one = made.creation
    past = made.said + list_of(workshop, visitor, made.key)
    shown = [*files_of(one.video, one.motion), markup.figures(one.result), made.settings]
    yield [markup.done("Done."), *shown, on, off, on if one.editable else off, on, past]
