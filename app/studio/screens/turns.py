"""Of the first screen: the editor of a dialogue's turns, which the page's own script draws."""

import json
from html import escape
from typing import TYPE_CHECKING, Any

from app.intake.allowance import MOST_TURNS
from app.intake.limits import Limits
from app.studio.screens import markup
from app.studio.screens.form import Form, voice_choices

if TYPE_CHECKING:
    import gradio as gr

TURNS_ID = "turns"
"""Of the field whose rows name files: handles outside, paths inside."""


def add_turns(parts: dict[str, Any], limits: Limits) -> "gr.Column":
    """The editor, which is shown for a dialogue; its rows are the form's field."""
    import gradio as gr

    parts["turns"] = gr.Textbox(
        Form.turns, visible="hidden", elem_id=TURNS_ID, label="The turns of the dialogue"
    )
    voices = escape(json.dumps([(name, shown) for shown, name in voice_choices()]))
    most = (
        f"At most {MOST_TURNS} turns, {limits.max_text} characters and {limits.max_seconds:g} s "
        "in all. A pause that is left empty is that of the other person, below."
    )
    with gr.Column(visible=False, elem_id="turn-editor") as editor:
        gr.HTML(
            f'<div class="v-turns" role="group" aria-label="The dialogue, turn by turn" '
            f'data-most="{MOST_TURNS}" data-voices="{voices}"></div>{markup.note(most)}'
        )
    return editor
