"""The first screen: photo, voices, movement -> a plan, a video as it grows, its files."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.intake.limits import Limits
from app.render.demo import ASSETS, DEFAULT_PORTRAIT, EXAMPLES
from app.studio.screens import markup
from app.studio.screens.coming_back import Back, fill_again, follow_again, values_of
from app.studio.screens.endpoints import endpoint
from app.studio.screens.faces import choose_face, mark_face, show_faces, turn_photo
from app.studio.screens.follow import (
    fail,
)
from app.studio.screens.form import (
    COLOUR,
    FORM_FIELDS,
    Form,
    add_gesture,
    background_choices,
    component,
    format_choices,
    label_of,
    parse_gestures,
    renderer_choice,
    style_choices,
    suited,
)
from app.studio.screens.making import (
    add_result,
    follow_video,
    make_video,
    shown_sizes,
    told_plan,
)
from app.studio.screens.past import Past, add_past
from app.studio.screens.presets import SET, add_presets, connect_presets, preset_of
from app.studio.screens.visitors import Visitor
from app.studio.screens.voices import add_voices
from app.studio.workshop import Workshop
from audio2motion.gestures.controls import REGIONS
from audio2motion.gestures.gestures import DEFAULTS, KINDS
from weights.errors import VisavisError

if TYPE_CHECKING:
    import gradio as gr

FIRST_VIDEO = ASSETS / "studio" / "example.mp4"
"""What becomes of the screen as it is at first; docs/studio.md has the command that makes it."""


@dataclass(frozen=True)
class CreateScreen:
    """What the other screens need of this one: the form and its presets, a finished video, all that
    were made, and how it comes back.
    """

    inputs: list[Any]
    preset: "gr.Radio"
    video: "gr.Video"
    edit: "gr.Button"
    past: Past
    back: Back


def build(workshop: Workshop) -> CreateScreen:
    """Lay the screen out and connect it."""
    import gradio as gr

    parts: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            add_photo(parts, workshop, shown=DEFAULT_PORTRAIT)
            add_voices(parts, workshop)
            _movement(parts)
            _picture(parts, workshop.limits)
            _output(parts)
        with gr.Column(scale=6, min_width=320):
            inputs = [parts[name] for name in FORM_FIELDS]
            result = add_result(workshop, example=FIRST_VIDEO)
            going = [result.status, result.cancel]
            past = add_past(workshop, result.shown, going)
    found = connect_photo(workshop, parts)
    plan = endpoint(_plan, workshop)
    connect_plan(
        plan,
        parts,
        FORM_FIELDS,
        found,
        result.told,
        api_name="plan",
        api_description="Length, time and memory of a video before it is made, or what it lacks.",
    )
    _connect_gestures(parts)
    result.make.click(
        endpoint(_make, workshop),
        inputs,
        [*result.outputs, past.listed],
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

    def back(entered: "gr.events.Dependency") -> None:
        filled = fill_again(entered, workshop, Form.__name__, [*inputs, parts["preset"]], _refilled)
        planned = filled.then(
            plan, inputs, result.told, api_visibility="private", show_progress="hidden"
        )
        told = [*result.outputs, past.listed]
        followed = follow_again(planned, workshop, Form.__name__, follow_video, told)
        past.back(followed)  # both tell in one place how it goes

    return CreateScreen(inputs, parts["preset"], result.video, result.edit, past, back)


def add_photo(
    parts: dict[str, Any], workshop: Workshop, screen: str = "", shown: Path | None = None
) -> None:
    """The photo, which at first is the example that is `shown`, the examples, and the faces found;
    ids begin with the screen's.
    """
    import gradio as gr

    for path in EXAMPLES:
        workshop.files.publish(path)

    parts["photo"] = gr.Image(
        None if shown is None else str(shown),
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
    parts["turn"] = gr.Button("Turn the photo", visible=False, elem_id=f"{screen}turn", size="sm")


def _movement(parts: dict[str, Any]) -> None:
    import gradio as gr

    add_presets(parts)
    with gr.Accordion("How the face moves, in detail", open=False):
        parts["emotion"] = gr.Dropdown(**component("emotion"), elem_id="emotion")
        parts["intensity"] = gr.Slider(**component("intensity"), step=0.05)
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
    connect_presets(parts)


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
        parts["crop"] = gr.Radio(**component("crop"))
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
        parts["background"] = gr.Radio(
            background_choices(),
            value=Form.background,
            label="Behind the person",
            elem_id="background",
        )
        parts["background_colour"] = gr.ColorPicker(
            Form.background_colour, label="Colour", visible=False, elem_id="background-colour"
        )
        parts["background"].change(
            lambda behind: gr.update(visible=behind == COLOUR),
            parts["background"],
            parts["background_colour"],
            api_visibility="private",
            queue=False,
        )
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
            told = component("format", info=False) | {"choices": format_choices()}
            parts["format"] = gr.Dropdown(**told, min_width=120)
            parts["trim"] = gr.Textbox(
                **component("trim", info=False), placeholder="1.5:4", min_width=120
            )
        with gr.Row():
            parts["label"] = gr.Textbox(
                **component("label", info=False), placeholder="made with AI", min_width=120
            )
            parts["consent"] = gr.Textbox(**component("consent", info=False), min_width=120)


def connect_photo(workshop: Workshop, parts: dict[str, Any]) -> "list[gr.events.Dependency]":
    """An example becomes the photo, with a voice that suits it where there are voices; the faces
    of a photo are shown, and one of them chosen; one that lies on its side is turned. Returned is
    what happens when faces were found, or another one was chosen.
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
    told = [parts["trouble"], parts["turn"]]
    shown = [parts["faces"], parts["face"], *told]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    found = parts["photo"].change(
        endpoint(show_faces, workshop, ("photo",)),
        parts["photo"],
        shown,
        api_name="faces",
        api_description="The photo with its faces marked, and the choices among them.",
        api_visibility="public" if spoken else "private",
        show_progress="hidden",
    )
    parts["turn"].click(
        endpoint(turn_photo, workshop, ("photo",)), parts["photo"], parts["photo"], **quiet
    )
    mark = endpoint(mark_face, workshop, ("photo", "face"))
    both, marked = [parts["photo"], parts["face"]], [parts["faces"], *told]
    return [
        found,
        parts["face"].input(mark, both, marked, **quiet),
        parts["faces"]
        .select(click, parts["photo"], parts["face"], **quiet)
        .then(mark, both, marked, **quiet),
    ]


def connect_plan(
    plan: Callable[..., Any],
    parts: dict[str, Any],
    names: Sequence[str],
    found: "list[gr.events.Dependency]",
    told: "list[Any]",
    **shown: Any,
) -> None:
    """What is told of a video before it is made follows all that is filled in, the parts of these
    `names`; `shown` is how the API has it.
    """
    import gradio as gr

    inputs = [parts[name] for name in names]
    # A photo is taken away and another comes at once: the last plan counts, and comes last.
    how: dict[str, Any] = {
        "trigger_mode": "always_last",
        "show_progress": "hidden",
        "concurrency_limit": 1,
        "concurrency_id": "plan",
    }
    for step in found:  # by then it is known whether the photo has a face
        step.then(plan, inputs, told, api_visibility="private", **how)
    changes = [parts[name].change for name in names if name not in ("photo", "face")]
    gr.on(changes, plan, inputs, told, **shown, **how)


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


def _refilled(form: Form) -> list[Any]:
    """The form's components, and the name of how the face moves."""
    preset = preset_of(*(getattr(form, name) for name in SET))
    return [*values_of(form, FORM_FIELDS), preset]


def _plan(workshop: Workshop, visitor: Visitor, *values: Any) -> list[Any]:
    return told_plan(workshop, visitor, values, Form)


async def _make(workshop: Workshop, visitor: Visitor, *values: Any) -> AsyncIterator[list[Any]]:
    async for shown in make_video(workshop, visitor, values, Form):
        yield shown


def _title(stem: str) -> str:
    return stem.replace("_", " ")
