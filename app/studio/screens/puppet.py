"""The screen on which a video of one's own, or the webcam, drives the photo."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.studio.screens import markup
from app.studio.screens.coming_back import Back, fill_again, follow_again, values_of
from app.studio.screens.create import add_photo, connect_photo, connect_plan
from app.studio.screens.endpoints import endpoint
from app.studio.screens.form import (
    PUPPET_FIELDS,
    PuppetForm,
    component,
    label_of,
)
from app.studio.screens.making import (
    add_result,
    follow_video,
    make_video,
    shown_sizes,
    told_plan,
)
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Workshop

if TYPE_CHECKING:
    import gradio as gr

_ID = "puppet-"
_HINT = (
    "Its face moves the portrait, its sound is heard. Begin with a calm face that looks into the "
    "camera: movement is measured from how you rest, and the portrait keeps its own face."
)


@dataclass(frozen=True)
class PuppetScreen:
    """What is needed of this screen elsewhere: its form, the button that opens the motion editor,
    and how it comes back.
    """

    inputs: list[Any]
    edit: "gr.Button"
    back: Back


def build(workshop: Workshop, past: "gr.HTML") -> PuppetScreen:
    """Lay the screen out and connect it; `past` is the list of what the visitor has made."""
    import gradio as gr

    parts: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            add_photo(parts, workshop, _ID)
            _video(parts)
            _picture(parts, workshop)
        with gr.Column(scale=6, min_width=320):
            result = add_result(workshop, _ID)
    found = connect_photo(workshop, parts)
    inputs = [parts[name] for name in PUPPET_FIELDS]
    plan = endpoint(_plan, workshop, PUPPET_FIELDS)
    connect_plan(plan, parts, PUPPET_FIELDS, found, result.told, api_visibility="private")
    result.make.click(
        endpoint(_make, workshop, PUPPET_FIELDS),
        inputs,
        [*result.outputs, past],
        api_name="puppet",
        api_description="Make a video that a video drives; the last answer is as that of create.",
        concurrency_limit=None,
        show_progress="hidden",
        scroll_to_output=True,
    )

    def back(entered: "gr.events.Dependency") -> None:
        name = PuppetForm.__name__
        filled = fill_again(entered, workshop, name, inputs, _refilled)
        planned = filled.then(
            plan, inputs, result.told, api_visibility="private", show_progress="hidden"
        )
        follow_again(planned, workshop, name, follow_video, [*result.outputs, past])

    return PuppetScreen(inputs, result.edit, back)


def _video(parts: dict[str, Any]) -> None:
    import gradio as gr

    parts["driving_video"] = gr.Video(
        label=label_of("driving_video"),
        sources=["upload", "webcam"],
        include_audio=True,  # a recording of the webcam has none otherwise
        elem_id=f"{_ID}driving-video",
        buttons=[],
        height=280,
    )
    gr.HTML(markup.note(_HINT))
    parts["driving_regions"] = gr.Radio(**_told("driving_regions"), elem_id=f"{_ID}regions")
    with gr.Row():
        parts["driving_amount"] = gr.Slider(
            **_told("driving_amount", info=False), step=0.05, elem_id=f"{_ID}amount", min_width=200
        )
        parts["driving_smoothing"] = gr.Slider(
            **_told("driving_smoothing", info=False),
            step=0.01,
            elem_id=f"{_ID}smoothing",
            min_width=200,
        )
    with gr.Accordion("Another voice than the video's", open=False):
        parts["agent_audio"] = gr.Audio(
            label=label_of("agent_audio"),
            type="filepath",
            sources=["upload", "microphone"],
            elem_id=f"{_ID}agent-audio",
            buttons=[],
        )


def _picture(parts: dict[str, Any], workshop: Workshop) -> None:
    import gradio as gr

    with gr.Accordion("Picture and quality", open=False):
        with gr.Row():
            parts["quality"] = gr.Dropdown(**_told("quality"), elem_id=f"{_ID}quality")
            parts["size"] = gr.Dropdown(**shown_sizes(workshop.limits), elem_id=f"{_ID}size")
        parts["crop"] = gr.Radio(**_told("crop"), elem_id=f"{_ID}crop")


def _told(name: str, info: bool = True) -> dict[str, Any]:
    """What the component of a setting is told, with what this screen's form has at first."""
    return component(name, info=info) | {"value": getattr(PuppetForm, name)}


def _refilled(form: PuppetForm) -> list[Any]:
    return values_of(form, PUPPET_FIELDS)


def _plan(workshop: Workshop, visitor: Visitor, *values: Any) -> list[Any]:
    return told_plan(workshop, visitor, values, PuppetForm)


async def _make(workshop: Workshop, visitor: Visitor, *values: Any) -> AsyncIterator[list[Any]]:
    async for shown in make_video(workshop, visitor, values, PuppetForm):
        yield shown
