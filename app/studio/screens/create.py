"""The first screen: photo, voices, movement -> a plan, a video as it grows, its files."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.intake.allowance import require_length
from app.intake.limits import Limits
from app.intake.sandbox import shared_sandbox
from app.intake.values import SandboxReader
from app.jobs.plan import make_plan
from app.render.demo import EXAMPLES
from app.render.subtitles import place_of
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

_SIZES = (256, 384, 512, 768, 1024)
_PLAYED = (".mp4", ".webm")
"""What browsers play; other files are to be had beside the motion file."""


@dataclass(frozen=True)
class CreateScreen:
    """What the other screens need of this one: the form, and where a finished video shows."""

    inputs: list[Any]
    video: "gr.Video"
    edit: "gr.Button"


def build(workshop: Workshop) -> CreateScreen:
    """Lay the screen out and connect it."""
    import gradio as gr

    parts: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            _photo(parts, workshop)
            add_voices(parts, workshop)
            _movement(parts)
            _picture(parts, workshop.limits)
            _output(parts)
        with gr.Column(scale=6, min_width=320):
            plan = gr.HTML(markup.note("Give a photo to begin."), elem_id="plan")
            with gr.Row():
                make = gr.Button("Make the video", variant="primary", elem_id="make")
                cancel = gr.Button("Cancel", elem_id="cancel", interactive=False)
            status = gr.HTML(elem_id="status")
            video = made_video("Video", "video")
            figures = gr.HTML(elem_id="figures")
            with gr.Row():
                edit = gr.Button("Edit the motion", interactive=False, elem_id="edit")
                use_seed = gr.Button("Use this seed", interactive=False, elem_id="use-seed")
            motion_file = gr.File(
                label="Motion file (.npz)",
                file_count="multiple",
                interactive=False,
                elem_id="motion",
                visible=False,
            )
            with gr.Accordion("Settings as JSON", open=False):
                settings = gr.JSON(label="Settings", elem_id="settings")
    inputs = [parts[name] for name in FORM_FIELDS]
    _connect_photo(workshop, parts, plan, inputs)
    _connect_gestures(parts)
    outputs = [status, video, motion_file, figures, settings, make, cancel, edit, use_seed]
    make.click(
        endpoint(_make, workshop),
        inputs,
        outputs,
        api_name="create",
        api_description="Make a video; the last answer has it, its motion file and its settings.",
        concurrency_limit=None,
        show_progress="hidden",
        scroll_to_output=True,
    )
    cancel.click(endpoint(cancel_all, workshop, ()), None, None, api_name="cancel", queue=False)
    use_seed.click(
        lambda given: (False, int(given["seed"])),
        settings,
        [parts["new_seed"], parts["seed"]],
        api_visibility="private",
    )
    return CreateScreen(inputs, video, edit)


def _photo(parts: dict[str, Any], workshop: Workshop) -> None:
    import gradio as gr

    for path in EXAMPLES:
        workshop.files.publish(path)

    parts["photo"] = gr.Image(
        label=label_of("portrait"),
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        height=300,
        elem_id="photo",
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
        elem_id="examples",
        interactive=False,
        buttons=[],
    )
    parts["faces"] = gr.Image(
        label="Faces found",
        interactive=False,
        visible=False,
        height=220,
        elem_id="faces",
        alt_text="The photo with a box around each face",
        buttons=[],
    )
    parts["face"] = gr.Radio(
        [],
        label="Which face shall talk? Choose here or on the picture",
        visible=False,
        elem_id="face",
    )
    parts["trouble"] = gr.HTML(elem_id="trouble")


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
            parts["size"] = gr.Dropdown(
                sorted({size for size in _SIZES if size <= limits.max_size} | {limits.max_size}),
                value=default_form(limits).size,
                label=label_of("size"),
                allow_custom_value=True,
                elem_id="size",
            )
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


def _output(parts: dict[str, Any]) -> None:
    import gradio as gr

    with gr.Accordion("Output", open=False):
        parts["background"] = gr.Textbox(**component("background", info=False))
        parts["background_picture"] = gr.File(
            label=label_of("background_picture"),
            file_types=["image"],
            type="filepath",
            height=120,
        )
        with gr.Row():
            parts["aspect"] = gr.Dropdown(**component("aspect", info=False), min_width=120)
            parts["subtitles"] = gr.Dropdown(**component("subtitles", info=False), min_width=120)
        with gr.Row():
            parts["format"] = gr.Dropdown(**component("format", info=False), min_width=120)
            parts["trim"] = gr.Textbox(
                **component("trim", info=False), placeholder="1.5:4", min_width=120
            )


def _connect_photo(
    workshop: Workshop, parts: dict[str, Any], plan: "gr.HTML", inputs: "list[Any]"
) -> None:
    import gradio as gr

    def choose(event: gr.SelectData, voice: str) -> tuple[str, str]:
        numbered = {str(number): str(path) for number, path in enumerate(EXAMPLES)}
        if str(event.index) not in numbered:
            fail("there is no such example")
        path = numbered[str(event.index)]
        return path, suited(Path(path).stem, voice)

    def click(event: gr.SelectData, path: str | None) -> str:
        try:
            x, y = (float(value) for value in event.index)
        except (TypeError, ValueError):
            fail(f"got {event.index!r}; wanted a place in the picture")
        return choose_face(workshop, path, x, y)

    parts["examples"].select(
        choose, parts["voice"], [parts["photo"], parts["voice"]], api_visibility="private"
    )
    shown = [parts["faces"], parts["face"], parts["trouble"]]
    parts["photo"].change(
        endpoint(show_faces, workshop, ("photo",)),
        parts["photo"],
        shown,
        api_name="faces",
        api_description="The photo with its faces marked, and the choices among them.",
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
    gr.on(
        [
            parts[name].change
            for name in ("photo", "says", "text", "voice", "agent_audio", "size", "renderer")
        ]
        + [
            parts[name].change
            for name in (
                *("interlocutor_audio", "interlocutor_video", "order", "pause", "motion", "trim"),
            )
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
    form = Form()
    try:
        form = from_values(values)
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
    """Queue a video, tell how it goes, and hand it over."""
    import gradio as gr

    form = Form()
    on, off = gr.update(interactive=True), gr.update(interactive=False)
    keep = gr.update()
    try:
        form = from_values(values)
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
    plays = made.video.suffix in _PLAYED
    video = gr.update(value=str(made.video) if plays else None, visible=plays)
    beside = [path for path in (made.video, place_of(made.video)) if path.is_file()][plays:]
    files = [str(path) for path in (made.motion, *beside)]
    motion = gr.update(value=files if beside else files[0], visible=True)
    shown = [video, motion, markup.figures(made.result), settings]
    yield [done, *shown, on, off, editable, on]


def _told(made: Creation, form: Form) -> dict[str, Any]:
    """The result as JSON, without the server's folders."""
    text = json.dumps(made.result.to_json(), default=str)
    return json.loads(markup.without_paths(text, form.files))


def _title(stem: str) -> str:
    return stem.replace("_", " ")
