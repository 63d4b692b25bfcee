"""The first screen: photo, voices, movement -> a plan, a video as it grows, its files."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.intake.allowance import require_length
from app.intake.limits import Limits
from app.intake.sandbox import shared_sandbox
from app.intake.values import SandboxReader
from app.jobs.plan import make_plan
from app.render.demo import ASSETS
from app.studio.creation import Creation, create
from app.studio.screens import markup
from app.studio.screens.endpoints import endpoint
from app.studio.screens.faces import choose_face, mark_face, show_faces
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
    Filled,
    Form,
    add_gesture,
    component,
    default_form,
    from_values,
    label_of,
    parse_gestures,
    renderer_choice,
    request_of,
    style_choices,
    suited,
)
from app.studio.screens.visitors import Visitor
from app.studio.screens.voices import add_voices
from app.studio.workshop import Workshop
from audio2motion.gestures.controls import REGIONS
from audio2motion.gestures.gestures import DEFAULTS, KINDS
from weights.errors import VisavisError

if TYPE_CHECKING:
    import gradio as gr

EXAMPLES = tuple(sorted((ASSETS / "portraits").glob("*.jpg")))
_SIZES = (256, 384, 512, 768, 1024)


@dataclass(frozen=True)
class CreateScreen:
    """What the other screens need of this one: the form, and where a finished video shows."""

    inputs: list[Any]
    video: "gr.Video"
    edit: "gr.Button"


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
    def outputs(self) -> list[Any]:
        """What `make_video` fills, in its order."""
        shown = [self.status, self.video, self.motion_file, self.figures, self.settings]
        return [*shown, self.make, self.cancel, self.edit, self.use_seed]


def build(workshop: Workshop) -> CreateScreen:
    """Lay the screen out and connect it."""
    import gradio as gr

    parts: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            add_photo(parts, workshop)
            add_voices(parts, workshop)
            _movement(parts)
            _picture(parts, workshop.limits)
        with gr.Column(scale=6, min_width=320):
            result = add_result(workshop)
    inputs = [parts[name] for name in FORM_FIELDS]
    connect_photo(workshop, parts)
    _connect_plan(workshop, parts, result.plan, inputs)
    _connect_gestures(parts)
    result.make.click(
        endpoint(_make, workshop),
        inputs,
        result.outputs,
        api_name="create",
        api_description="Make a video; the last answer has it, its motion file and its settings.",
        concurrency_limit=None,
        show_progress="hidden",
        scroll_to_output=True,
    )
    result.use_seed.click(
        lambda given: (False, int(given["seed"])),
        result.settings,
        [parts["new_seed"], parts["seed"]],
        api_visibility="private",
    )
    return CreateScreen(inputs, result.video, result.edit)


def add_result(workshop: Workshop, screen: str = "") -> Result:
    """The parts of a result, of which one cancels already."""
    import gradio as gr

    plan = gr.HTML(markup.note("Give a photo to begin."), elem_id=f"{screen}plan")
    with gr.Row():
        make = gr.Button("Make the video", variant="primary", elem_id=f"{screen}make")
        cancel = gr.Button("Cancel", elem_id=f"{screen}cancel", interactive=False)
    status = gr.HTML(elem_id=f"{screen}status")
    video = made_video("Video", f"{screen}video")
    figures = gr.HTML(elem_id=f"{screen}figures")
    with gr.Row():
        edit = gr.Button("Edit the motion", interactive=False, elem_id=f"{screen}edit")
        use_seed = gr.Button(
            "Use this seed", interactive=False, elem_id=f"{screen}use-seed", visible=not screen
        )
    motion_file = gr.File(
        label="Motion file (.npz)", interactive=False, elem_id=f"{screen}motion", visible=False
    )
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


def add_photo(parts: dict[str, Any], workshop: Workshop, screen: str = "") -> None:
    """The photo, the examples, and the faces found; ids begin with the screen's."""
    import gradio as gr

    for path in EXAMPLES:
        workshop.files.publish(path)

    parts["photo"] = gr.Image(
        label=label_of("portrait"),
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        height=300,
        elem_id=f"{screen}photo",
        alt_text="The photo that will talk",
        buttons=[],
    )
    gr.HTML(markup.note("Or one of these: composites, they show nobody."))
    parts["examples"] = gr.Gallery(
        [(str(path), _title(path.stem)) for path in EXAMPLES],
        label="Example portraits",
        show_label=False,
        columns=len(EXAMPLES),
        rows=1,
        height=104,
        allow_preview=False,
        object_fit="cover",
        elem_id=f"{screen}examples",
        interactive=False,
        buttons=[],
    )
    parts["faces"] = gr.Image(
        label="Faces found",
        interactive=False,
        visible=False,
        height=220,
        elem_id=f"{screen}faces",
        alt_text="The photo with a box around each face",
        buttons=[],
    )
    parts["face"] = gr.Radio(
        [],
        label="Which face shall talk? Choose here or on the picture",
        visible=False,
        elem_id=f"{screen}face",
    )
    parts["trouble"] = gr.HTML(elem_id=f"{screen}trouble")


def _movement(parts: dict[str, Any]) -> None:
    import gradio as gr

    with gr.Accordion("How the face moves", open=False):
        parts["emotion"] = gr.Dropdown(**component("emotion"), elem_id="emotion")
        for name in ("intensity", "expressivity"):
            parts[name] = gr.Slider(**component(name), step=0.05)
        parts["by_region"] = gr.Checkbox(Form.by_region, label="Set expressivity by region")
        with gr.Row(visible=False) as row:
            for region in REGIONS:
                told = component("regions", info=False)
                told |= {"value": getattr(Form, region), "label": region.capitalize()}
                parts[region] = gr.Slider(**told, step=0.05, min_width=200)
        parts["by_region"].change(
            lambda on: gr.update(visible=on),
            parts["by_region"],
            row,
            api_visibility="private",
            queue=False,
        )
        told = component("style")
        told["choices"] = style_choices()
        parts["style"] = gr.Dropdown(**told, elem_id="style")
        _gestures(parts)


def _gestures(parts: dict[str, Any]) -> None:
    import gradio as gr

    parts["timeline"] = gr.HTML(elem_id="timeline", visible=False)
    with gr.Row(elem_classes="v-tight"):
        parts["kind"] = gr.Dropdown(list(KINDS), value="nod", label="Gesture", min_width=120)
        parts["at"] = gr.Number(0.5, label="at (s)", minimum=0, step=0.1, min_width=80)
        parts["length"] = gr.Number(
            DEFAULTS["nod"][0], label="for (s)", minimum=0.08, step=0.1, min_width=80
        )
        parts["strength"] = gr.Number(1, label="intensity", minimum=0, maximum=2, min_width=80)
        parts["add"] = gr.Button("Add", elem_id="add-gesture", min_width=70)
    parts["gestures"] = gr.Textbox(**component("gestures", info=False), lines=2, elem_id="gestures")
    parts["auto_gestures"] = gr.Checkbox(**component("auto_gestures", info=False))


def _picture(parts: dict[str, Any], limits: Limits) -> None:
    import gradio as gr

    with gr.Accordion("Picture and quality", open=False):
        parts["renderer"] = gr.Dropdown(**renderer_choice(limits), elem_id="renderer")
        with gr.Row():
            parts["quality"] = gr.Dropdown(**component("quality"), elem_id="quality")
            parts["size"] = gr.Dropdown(**shown_sizes(limits), elem_id="size")
        with gr.Row():
            parts["crop"] = gr.Radio(**component("crop"))
            parts["mix"] = gr.Radio(**component("mix"))
        with gr.Row():
            parts["new_seed"] = gr.Checkbox(
                Form.new_seed, label="A new take every time", elem_id="new-seed"
            )
            parts["seed"] = gr.Number(**component("seed"), precision=0, elem_id="seed")
        parts["motion"] = gr.File(
            label=label_of("motion"),
            file_types=[".npz"],
            type="filepath",
            height=180,
        )


def shown_sizes(limits: Limits) -> dict[str, Any]:
    """What the component of a video's size is told."""
    return {
        "choices": sorted({s for s in _SIZES if s <= limits.max_size} | {limits.max_size}),
        "value": default_form(limits).size,
        "label": label_of("size"),
        "allow_custom_value": True,
    }


def connect_photo(workshop: Workshop, parts: dict[str, Any]) -> None:
    """An example becomes the photo, with a voice that suits it where there are voices; the faces
    of a photo are shown, and one of them chosen.
    """
    import gradio as gr

    spoken = [parts["voice"]] if "voice" in parts else []

    def choose(event: gr.SelectData, *voices: str) -> Any:
        numbered = {str(number): str(path) for number, path in enumerate(EXAMPLES)}
        if str(event.index) not in numbered:
            fail("there is no such example")
        path = numbered[str(event.index)]
        return (path, *(suited(Path(path).stem, voice) for voice in voices)) if voices else path

    def click(event: gr.SelectData, path: str | None) -> str:
        try:
            x, y = (float(value) for value in event.index)
        except (TypeError, ValueError):
            fail(f"got {event.index!r}; wanted a place in the picture")
        return choose_face(workshop, path, x, y)

    parts["examples"].select(choose, spoken, [parts["photo"], *spoken], api_visibility="private")
    shown = [parts["faces"], parts["face"], parts["trouble"]]
    parts["photo"].change(
        endpoint(show_faces, workshop, ("photo",)),
        parts["photo"],
        shown,
        api_name="faces",
        api_description="The photo with its faces marked, and the choices among them.",
        api_visibility="public" if spoken else "private",
        show_progress="hidden",
    )
    parts["face"].input(
        endpoint(mark_face, workshop, ("photo", "face")),
        [parts["photo"], parts["face"]],
        [parts["faces"], parts["trouble"]],
        api_visibility="private",
        show_progress="hidden",
    )
    parts["faces"].select(
        click, parts["photo"], parts["face"], api_visibility="private", show_progress="hidden"
    ).then(
        endpoint(mark_face, workshop, ("photo", "face")),
        [parts["photo"], parts["face"]],
        [parts["faces"], parts["trouble"]],
        api_visibility="private",
        show_progress="hidden",
    )


def _connect_plan(
    workshop: Workshop, parts: dict[str, Any], plan: "gr.HTML", inputs: "list[Any]"
) -> None:
    import gradio as gr

    gr.on(
        [
            parts[name].change
            for name in ("photo", "says", "text", "voice", "agent_audio", "size", "renderer")
        ]
        + [
            parts[name].change
            for name in ("interlocutor_audio", "interlocutor_video", "order", "pause", "motion")
        ],
        endpoint(_plan, workshop),
        inputs,
        plan,
        api_name="plan",
        api_description="Length, time and memory of a video before it is made.",
        trigger_mode="always_last",
        show_progress="hidden",
        concurrency_limit=2,
    )


def _connect_gestures(parts: dict[str, Any]) -> None:
    import gradio as gr

    def add(text: str, kind: str, at: float, length: float, strength: float) -> str:
        try:
            return add_gesture(text, kind, at or 0, length or DEFAULTS[kind][0], strength or 0)
        except VisavisError as error:
            fail(error)

    def draw(text: str) -> Any:
        from app.studio.curves import draw_timeline

        try:
            gestures = parse_gestures(text)
        except VisavisError as error:
            return gr.update(value=markup.alert(str(error)), visible=True)
        drawn = draw_timeline(gestures, 0.0) if gestures else ""
        return gr.update(value=drawn, visible=bool(drawn))

    fields = [parts[n] for n in ("gestures", "kind", "at", "length", "strength")]
    parts["add"].click(add, fields, parts["gestures"], api_visibility="private", queue=False)
    parts["kind"].change(
        lambda kind: DEFAULTS[kind][0],
        parts["kind"],
        parts["length"],
        api_visibility="private",
        queue=False,
    )
    parts["gestures"].change(
        draw, parts["gestures"], parts["timeline"], api_visibility="private", queue=False
    )


def _plan(workshop: Workshop, _visitor: Visitor, *values: Any) -> str:
    try:
        return told_plan(from_values(values), workshop)
    except VisavisError as error:
        return markup.note(str(error))


def told_plan(form: Filled, workshop: Workshop) -> str:
    """What a form will come to, or what it lacks."""
    try:
        if not form.photo:
            return markup.note("Give a photo to begin.")
        plan = make_plan(
            request_of(form, workshop), workshop.queue.pace, SandboxReader(shared_sandbox())
        )
        require_length(plan.seconds, workshop.limits)
        return markup.note(f"Plan: {plan}")
    except VisavisError as error:
        return markup.note(markup.without_paths(str(error), form.files))


async def _make(workshop: Workshop, visitor: Visitor, *values: Any) -> AsyncIterator[list[Any]]:
    async for shown in make_video(workshop, visitor, values, Form):
        yield shown


async def make_video(
    workshop: Workshop, visitor: Visitor, values: Sequence[Any], kind: type[Filled]
) -> AsyncIterator[list[Any]]:
    """Queue the video of a form's values, tell how it goes, and hand it over: Result.outputs."""
    import gradio as gr

    form: Filled = kind()
    on, off = gr.update(interactive=True), gr.update(interactive=False)
    keep = gr.update()
    try:
        form = from_values(values, kind)
        wanted = await asyncio.to_thread(request_of, form, workshop)
    except VisavisError as error:
        yield [markup.alert(str(error)), keep, keep, keep, keep, on, off, keep, keep]
        fail(error, form.files)
    page = page_of(workshop, visitor)
    run = submit(
        workshop,
        visitor,
        lambda run: create(workshop, page, wanted, run),
    )
    hidden = gr.update(visible=False)
    async for html in follow(run):
        yield [html, hidden, hidden, "", keep, off, on, off, off]
    if error := markup.without_paths(error_of(run), form.files):
        yield [markup.alert(error), keep, keep, keep, keep, on, off, keep, keep]
        fail(error)
    made: Creation | None = run.result
    if made is None:
        yield [markup.note("Cancelled."), keep, keep, keep, keep, on, off, keep, keep]
        return
    settings = {"seed": made.result.seed, **_told(made, form)}
    editable = on if made.editable else off
    done = markup.note("Done.")
    video = gr.update(value=str(made.video), visible=True)
    motion = gr.update(value=str(made.motion), visible=True)
    shown = [video, motion, markup.figures(made.result), settings]
    yield [done, *shown, on, off, editable, on]


def _told(made: Creation, form: Filled) -> dict[str, Any]:
    """The result as JSON, without the server's folders."""
    text = json.dumps(made.result.to_json(), default=str)
    return json.loads(markup.without_paths(text, form.files))


def _title(stem: str) -> str:
    return stem.replace("_", " ")
