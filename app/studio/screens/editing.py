"""The motion editor: curves over both voices, edits of a range, drawing only what changed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import app.studio.editor as editor
from app.jobs.crew import Running
from app.studio.creation import render_edit
from app.studio.curves import draw_curves
from app.studio.made import Creation
from app.studio.project import Project
from app.studio.screens import markup
from app.studio.screens.coming_back import Back, follow_again
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
from app.studio.screens.past import keep_result, list_of, told_of
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Desk, Workshop
from audio2motion.gestures.gestures import Gesture
from weights.errors import InputError, VisavisError

if TYPE_CHECKING:
    import gradio as gr

_SHOWN = ["jaw open", "smile", "brows up", "blink", "head pitch", "head yaw"]
Number = float | int | None
"""What a number field gives: None when it was cleared."""
_SCREEN = "Motion editor"
_EMPTY = markup.note("Make a video first (up to 30 s), then its motion can be edited here.")


@dataclass(frozen=True, eq=False)
class _View:
    """The project that is edited, the curves that are `shown` of it, and the chosen range."""

    project: Project
    shown: Sequence[str]
    start: Number
    end: Number


@dataclass(frozen=True)
class _Drawn:
    """An edited video, its `key` among the visitor's own, and what is to be said of that."""

    creation: Creation
    key: str
    said: str


def build(
    workshop: Workshop,
    openers: Sequence[Callable[..., Any]],
    place: "tuple[gr.Tab, gr.Tabs]",
    past: "gr.HTML",
) -> Back:
    """Lay the screen out and connect it; it works on the visitor's latest video, or the one that
    was opened last. `openers` are events upon which it is shown, `place` are its own tab and all,
    `past` is the list of what the visitor has made; returned is how it comes back.
    """
    import gradio as gr

    tab, tabs = place

    curves = gr.HTML(_EMPTY, elem_id="curves", js_on_load=_DRAG)
    told = gr.HTML(elem_id="edit-told")
    shown = gr.CheckboxGroup(
        list(editor.CURVES), value=_SHOWN, label="Curves", elem_id="curves-shown"
    )
    with gr.Row(elem_classes="v-tight"):
        start = gr.Number(0, label="From (s)", minimum=0, step=0.04, elem_id="edit-start")
        end = gr.Number(1, label="To (s)", minimum=0, step=0.04, elem_id="edit-end")
        undo = gr.Button("Undo", elem_id="undo")
        redo = gr.Button("Redo", elem_id="redo")
    wrong = gr.HTML(elem_id="undo-wrong")
    view = [shown, start, end]
    outputs = [curves, told]
    _tools(workshop, view, outputs)
    render, cancel, status, video, motion_file = _result()
    names = ("shown", "start", "end")
    redraw = endpoint(_look, workshop, names)
    gr.on(
        [shown.change, start.change, end.change, tab.select],
        redraw,
        view,
        outputs,
        api_name="curves",
        show_progress="hidden",
    )
    _connect_openers(workshop, openers, tabs, shown, [start, end, video, *outputs])
    for button, change in ((undo, Project.undo), (redo, Project.redo)):
        button.click(
            endpoint(partial(_change, change), workshop, names),
            view,
            [*outputs, wrong],
            api_name=change.__name__,
            show_progress="hidden",
        )
    made = [status, video, motion_file, render, cancel, *outputs, past]
    render.click(
        endpoint(_render, workshop, names),
        view,
        made,
        api_name="render_edit",
        api_description="The edited video; only frames whose motion changed are drawn.",
        concurrency_limit=None,
        show_progress="hidden",
    )
    cancel.click(
        endpoint(cancel_all, workshop, ()), None, None, api_visibility="private", queue=False
    )
    return lambda entered: follow_again(entered, workshop, _SCREEN, _follow, made)


def _connect_openers(
    workshop: Workshop,
    openers: Sequence[Callable[..., Any]],
    tabs: "gr.Tabs",
    shown: "gr.CheckboxGroup",
    outputs: list[Any],
) -> None:
    """Each of these events goes to the editor and opens the visitor's video there."""
    import gradio as gr

    for number, opened in enumerate(openers):
        opened(
            lambda: gr.Tabs(selected="edit"),
            None,
            tabs,
            api_visibility="private",
        ).then(
            endpoint(_open, workshop, ("shown",)),
            shown,
            outputs,
            api_name="open_editor",
            api_visibility="private" if number else "public",
            show_progress="hidden",
        )


def _result() -> "tuple[gr.Button, gr.Button, gr.HTML, gr.Video, gr.File]":
    """The buttons that draw and cancel, and where the edited video shows."""
    import gradio as gr

    with gr.Row():
        render = gr.Button("Render the changes", variant="primary", elem_id="render-edit")
        cancel = gr.Button("Cancel", interactive=False, elem_id="edit-cancel")
    status = gr.HTML(elem_id="edit-status")
    video = made_video("Edited video", "edit-video")
    motion_file = gr.File(label="Edited motion (.npz)", interactive=False, visible=False)
    return render, cancel, status, video, motion_file


def _tools(workshop: Workshop, view: "list[Any]", outputs: "list[Any]") -> None:
    import gradio as gr

    regions, curves = list(editor.REGIONS), list(editor.CURVES)
    with gr.Row(elem_id="tools"):
        with gr.Column(min_width=210), gr.Group():
            parts = [
                gr.Dropdown(regions, value="head", label="Scale a region"),
                gr.Slider(0, 3, 1.5, step=0.05, label="by"),
            ]
            _tool(workshop, "scale", _scale, ("region", "factor"), parts, view, outputs)
        with gr.Column(min_width=210), gr.Group():
            parts = [
                gr.Dropdown(curves, value="head yaw", label="Offset a curve"),
                gr.Number(5, label="by (in its unit)"),
            ]
            _tool(workshop, "offset", _shift, ("curve", "amount"), parts, view, outputs)
        with gr.Column(min_width=210), gr.Group():
            parts = [
                gr.Dropdown(regions, value="head", label="Smooth a region"),
                gr.Slider(0.02, 1, 0.12, step=0.02, label="over (s)"),
            ]
            _tool(workshop, "smooth", _smooth, ("region", "seconds"), parts, view, outputs)
        with gr.Column(min_width=210), gr.Group():
            parts = [
                gr.Dropdown(list(editor.GESTURES), value="nod", label="Insert a gesture at From"),
                gr.Slider(0, 2, 1, step=0.1, label="Intensity"),
            ]
            _tool(workshop, "gesture", _insert, ("kind", "intensity"), parts, view, outputs)
        with gr.Column(min_width=150), gr.Group():
            _tool(workshop, "trim", _trim, (), [], view, outputs)


def _tool(
    workshop: Workshop,
    name: str,
    apply: Callable[..., None],
    own: tuple[str, ...],
    parts: "list[Any]",
    view: "list[Any]",
    outputs: "list[Any]",
) -> None:
    """A button that applies one edit to the range and draws the curves again; what is wrong with
    the edit is said below it.
    """
    import gradio as gr

    label = "Trim to the range" if name == "trim" else f"Apply {name}"
    button = gr.Button(label, elem_id=f"apply-{name}", size="sm", variant="secondary")
    wrong = gr.HTML(elem_id=f"{name}-wrong")
    button.click(
        endpoint(partial(_edit, apply), workshop, ("shown", "start", "end", *own)),
        [*view, *parts],
        [*outputs, wrong],
        api_name=f"edit_{name}",
        show_progress="hidden",
    )


def _scale(project: Project, start: float, end: float, region: str, factor: Number) -> None:
    by = float(factor or 0)
    project.edit(lambda take: editor.scale(take, region, start, end, by))


def _shift(project: Project, start: float, end: float, curve: str, amount: Number) -> None:
    by = float(amount or 0)
    project.edit(lambda take: editor.shift(take, curve, start, end, by))


def _smooth(project: Project, start: float, end: float, region: str, seconds: Number) -> None:
    over = float(seconds or 0)
    project.edit(lambda take: editor.smooth(take, region, start, end, over))


def _trim(project: Project, start: float, end: float) -> None:
    project.edit(lambda take: editor.trim(take, start, end))


def _insert(project: Project, start: float, end: float, kind: str, intensity: Number) -> None:
    del end
    gesture = Gesture.at(kind, start, None, float(intensity or 0))
    project.edit(lambda take: editor.insert_gesture(take, gesture))


def _project(workshop: Workshop, visitor: Visitor) -> Project:
    project = page_of(workshop, visitor).project
    if project is None:
        raise InputError("there is no video to edit yet: make one of up to 30 s first")
    return project


async def _edit(
    apply: Callable[..., None],
    workshop: Workshop,
    visitor: Visitor,
    shown: Sequence[str],
    start: Number,
    end: Number,
    *values: Any,
) -> AsyncIterator[list[Any]]:
    def change(project: Project) -> None:
        apply(project, float(start or 0), float(end or 0), *values)

    async for told in _change(change, workshop, visitor, shown, start, end):
        yield told


async def _change(
    change: Callable[[Project], None],
    workshop: Workshop,
    visitor: Visitor,
    shown: Sequence[str],
    start: Number,
    end: Number,
) -> AsyncIterator[list[Any]]:
    """The curves after a change, or why there is none where its button is."""
    import gradio as gr

    def changed() -> list[str]:
        project = _project(workshop, visitor)
        change(project)
        return _drawn(project, shown, start, end)

    try:
        drawn = await asyncio.to_thread(changed)
    except VisavisError as error:
        yield [gr.update(), gr.update(), markup.alert(str(error))]
        fail(error, told=True)
    yield [*drawn, ""]


def _look(
    workshop: Workshop, visitor: Visitor, shown: Sequence[str], start: Number, end: Number
) -> list[str]:
    project = page_of(workshop, visitor).project
    return [_EMPTY, ""] if project is None else _drawn(project, shown, start, end)


def _open(workshop: Workshop, visitor: Visitor, shown: Sequence[str]) -> list[Any]:
    import gradio as gr

    try:
        project = _project(workshop, visitor)
    except VisavisError as error:
        fail(error)
    end = round(project.take.seconds, 2)
    return [0, end, gr.update(visible=False), *_drawn(project, shown, 0, end)]


def _drawn(project: Project, shown: Sequence[str], start: Number, end: Number) -> list[str]:
    take, stale = project.take, project.stale()
    names = [name for name in editor.CURVES if name in shown]
    chosen = (float(start or 0), float(end or 0))
    svg = draw_curves(take, project.voice_rows(), names, chosen, stale)
    new = sum(b - a for a, b in stale)
    told = f"{len(take.motion)} frames, {take.seconds:.2f} s."
    if new or len(project.takes) > 1:
        told += f" To draw: {new}; kept as they are: {len(take.motion) - new}."
    if take.edits:
        told += f" Edits: {'; '.join(take.edits)}."
    return [svg, markup.note(told)]


async def _render(
    workshop: Workshop, visitor: Visitor, shown: Sequence[str], start: Number, end: Number
) -> AsyncIterator[list[Any]]:
    try:
        project = _project(workshop, visitor)
    except VisavisError as error:
        fail(error)
    page = page_of(workshop, visitor)
    desk = page.desk(_SCREEN)
    desk.errand = submit(workshop, visitor, partial(_draw, workshop, visitor, project))
    desk.made_of = _View(project, shown, start, end)
    async for told in _follow(workshop, visitor, desk):
        yield told


def _draw(workshop: Workshop, visitor: Visitor, project: Project, run: Running) -> _Drawn:
    """The edited video, which is put among the visitor's own, seen or not."""
    made = render_edit(workshop, page_of(workshop, visitor), project, run)
    sheet = None if project.source is None else project.source.sheet
    if sheet is None:
        return _Drawn(made, "", "")
    told = told_of(made, sheet)
    kept = keep_result(workshop, visitor, made, sheet, told, run.preview.strip)
    return _Drawn(made, *kept)


async def _follow(workshop: Workshop, visitor: Visitor, desk: Desk) -> AsyncIterator[list[Any]]:
    """How the drawing of an edit goes, from now to its end; nothing where another video is edited
    by now.
    """
    import gradio as gr

    run, view, page = desk.errand, desk.made_of, page_of(workshop, visitor)
    project = page.project
    if run is None or project is None or view.project is not project:
        return
    on, off, keep = gr.update(interactive=True), gr.update(interactive=False), gr.update()
    hidden = gr.update(visible=False)
    async for html in follow(run, lasting=page.tab is not None):
        yield [html, hidden, keep, off, on, keep, keep, keep]
    if error := error_of(run):
        yield [markup.alert(error), keep, keep, on, off, keep, keep, keep]
        fail(error, told=True)
    if run.result is None:
        yield [markup.done("Cancelled."), keep, keep, on, off, keep, keep, keep]
        return
    made: _Drawn = run.result
    one = made.creation
    anew = 0 if one.edited is None else one.edited.drawn
    kept = one.result.frames - anew
    done = markup.done(f"Done: {anew} frames drawn anew, {kept} kept as they were.")
    video = gr.update(value=str(one.video), visible=True)
    motion = gr.update(value=str(one.motion), visible=True)
    drawn = _drawn(project, view.shown, view.start, view.end)
    past = made.said + list_of(workshop, visitor, made.key)
    yield [done, video, motion, on, off, *drawn, past]


# Dragging over the curves fills in From and To; the two numbers do the same from the keyboard.
_DRAG = """
let from = null;
const time = (event) => {
  const svg = element.querySelector('svg.curves');
  if (!svg) return null;
  const box = svg.getBoundingClientRect();
  const left = +svg.dataset.left, width = +svg.dataset.width, seconds = +svg.dataset.seconds;
  const x = (event.clientX - box.left) / box.width * width;
  return Math.min(Math.max((x - left) / (width - left - +svg.dataset.right), 0), 1) * seconds;
};
const put = (id, value) => {
  const input = document.querySelector('#' + id + ' input');
  if (!input) return;
  input.value = value.toFixed(2);
  input.dispatchEvent(new Event('input', {bubbles: true}));
  input.dispatchEvent(new Event('change', {bubbles: true}));
};
element.addEventListener('pointerdown', (event) => { from = time(event); });
element.addEventListener('pointermove', (event) => {
  const rect = element.querySelector('rect.chosen'), svg = element.querySelector('svg.curves');
  if (from === null || !rect || event.buttons === 0) return;
  const left = +svg.dataset.left, room = +svg.dataset.width - left - +svg.dataset.right;
  const ends = [from, time(event)].sort((a, b) => a - b);
  rect.setAttribute('x', left + room * ends[0] / +svg.dataset.seconds);
  rect.setAttribute('width', Math.max(1, room * (ends[1] - ends[0]) / +svg.dataset.seconds));
});
element.addEventListener('pointerup', (event) => {
  if (from === null) return;
  const ends = [from, time(event)].sort((a, b) => a - b);
  from = null;
  if (ends[1] - ends[0] < 0.04) return;
  put('edit-start', ends[0]);
  put('edit-end', ends[1]);
});
"""
