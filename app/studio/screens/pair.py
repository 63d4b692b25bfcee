"""Of the comparison: any two of a visitor's results beside each other, played in step."""

from typing import TYPE_CHECKING, Any

from app.api.guard import ANONYMOUS
from app.studio.history import find
from app.studio.screens.endpoints import endpoint
from app.studio.screens.follow import fail, made_video
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Workshop
from weights.errors import VisavisError

if TYPE_CHECKING:
    import gradio as gr

_SIDES = ("left", "right")


def add_pair(workshop: Workshop, tab: "gr.Tab") -> None:
    """Two lists of results, whose entries are those of the moment at which the tab is opened."""
    import gradio as gr

    gr.HTML("<h2 class='v-side'>Two of your videos</h2>")
    with gr.Row(elem_classes="v-tight"):
        lists = [
            gr.Dropdown([], label=f"Your video on the {side}", elem_id=f"pair-{side}")
            for side in _SIDES
        ]
        both = gr.Button("Show both", elem_id="pair-show", min_width=120, scale=0)
    with gr.Row(elem_classes="v-pair"):
        videos = [made_video(f"On the {side}", f"pair-{side}-video") for side in _SIDES]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    tab.select(endpoint(_choices, workshop, ()), None, lists, **quiet)
    both.click(endpoint(_show, workshop, _SIDES), lists, videos, **quiet)


def _choices(workshop: Workshop, visitor: Visitor) -> list[Any]:
    import gradio as gr

    there = [] if visitor.owner == ANONYMOUS else workshop.shelf(visitor.owner).results
    told = [(f"{n}: {made.title}", made.key) for n, made in enumerate(there, 1)]
    first, last = (told[max(0, len(told) - 2)][1], told[-1][1]) if told else (None, None)
    return [gr.update(choices=told, value=value) for value in (first, last)]


def _show(workshop: Workshop, visitor: Visitor, left: str, right: str) -> list[Any]:
    import gradio as gr

    if not left or not right:
        fail("there are no two videos yet: make some on Create, they are kept for an hour")
    try:
        made = [find(workshop.shelf(visitor.owner), key) for key in (left, right)]
    except VisavisError as error:
        fail(error)
    return [gr.update(value=str(one.creation.video), visible=True) for one in made]
