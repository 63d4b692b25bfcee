"""Of the first screen: ways to move that have a name, and how much; details are behind."""

from dataclasses import dataclass, fields
from typing import Any

from app.studio.screens.form import Form, component


@dataclass(frozen=True)
class Preset:
    """What a name sets of the form; `by_region` is off, so that `expressivity` counts."""

    style: str = Form.style
    expressivity: float = Form.expressivity
    emotion: str = Form.emotion
    intensity: float = Form.intensity
    by_region: bool = False


PRESETS = {
    "natural": Preset(),
    "calm": Preset("calm", 0.7),
    "lively": Preset("lively", 1.2),
    "listener": Preset("warm", 1.1),
    "presenter": Preset("lively", 1.0, "happiness", 0.3),
    "storyteller": Preset("warm", 1.5, "happiness", 0.4),
    "actor": Preset("lively", 1.8),
}
SET = tuple(field.name for field in fields(Preset))


def preset_of(*values: Any) -> str | None:
    """The name of what is set, in the order of SET; None for what has none."""
    return next((name for name, preset in PRESETS.items() if told(preset) == list(values)), None)


def told(preset: Preset) -> list[Any]:
    """Its values, in the order of SET."""
    return [getattr(preset, name) for name in SET]


def add_presets(parts: dict[str, Any]) -> None:
    """The row of names and the one slider, which are seen without unfolding anything."""
    import gradio as gr

    with gr.Group():
        parts["preset"] = gr.Radio(
            list(PRESETS), value="natural", label="How the face moves", elem_id="preset"
        )
        slider = component("expressivity") | {
            "label": "Amount of movement",
            "info": "From still, where only lids and lips move, to lively",
        }
        parts["expressivity"] = gr.Slider(**slider, step=0.05, elem_id="movement")


def connect_presets(parts: dict[str, Any]) -> None:
    """A name sets the details, and what is set by hand has a name or none."""
    import gradio as gr

    details = [parts[name] for name in SET]
    parts["preset"].input(
        lambda name: told(PRESETS.get(name, Preset())),
        parts["preset"],
        details,
        api_visibility="private",
        queue=False,
    )
    gr.on(
        [part.input for part in details],
        preset_of,
        details,
        parts["preset"],
        api_visibility="private",
        queue=False,
        show_progress="hidden",
    )
