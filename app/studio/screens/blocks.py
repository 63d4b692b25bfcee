"""The studio as one gradio page: its tabs, theme and limits."""

from typing import TYPE_CHECKING

from app.render.demo import ASSETS
from app.studio import words
from app.studio.screens import batch, checking, comparing, create, editing, live, puppet
from app.studio.screens.coming_back import add_returns
from app.studio.screens.endpoints import endpoint
from app.studio.screens.languages import add_languages
from app.studio.screens.pair import add_pair
from app.studio.screens.past import connect_again, list_of
from app.studio.screens.visitors import visitor_of
from app.studio.workshop import Workshop

if TYPE_CHECKING:
    import gradio as gr
    from gradio.themes import Base

STYLE = ASSETS / "studio" / "studio.css"
_SCRIPTS = tuple(ASSETS / "studio" / name for name in ("studio.js", "turns.js"))
ICON = ASSETS / "studio" / "icon.svg"
TITLE = "Visavis"
_LEAST_QUEUE = 64
"""Places in gradio's queue, which small questions such as a plan need too, not only videos."""


def build(workshop: Workshop, live_page: str | None) -> "gr.Blocks":
    """All tabs. `live_page` is the address of the live page, None where there is no live service.

    The networks are loaded by whoever needs them first; the page itself needs none.
    """
    import gradio as gr

    from app.studio.screens.own_blocks import own_blocks

    gr.set_static_paths([create.EXAMPLES[0].parent])  # not to be copied into gradio's own folder
    with own_blocks(workshop, TITLE) as blocks:
        gr.HTML(
            "<header class='v-head'><h1>Visavis</h1><p>One photo, two voices: a video of a person "
            "who talks, and who listens.</p></header>"
            "<p id='v-heard' role='status'></p>"
        )
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Create", id="create"):
                first = create.build(workshop)
            with gr.Tab("Puppet", id="puppet"):
                driven = puppet.build(workshop, first.past.listed)
            with gr.Tab("Motion editor", id="edit") as tab:
                openers = [first.edit.click, driven.edit.click, first.past.reopened]
                edit_back = editing.build(workshop, openers, (tab, tabs), first.past.listed)
            with gr.Tab("Compare", id="compare") as compare:
                compare_back = comparing.build(workshop, first)
                add_pair(workshop, compare)
            with gr.Tab("Batch", id="batch"):
                batch_back = batch.build(workshop)
            with gr.Tab("Live", id="live"):
                live.build(live_page)
            with gr.Tab("Check", id="check"):
                checking.build(workshop)

        connect_again(workshop, first.past, (first.inputs, first.preset), driven.inputs, tabs)

        def leave(request: gr.Request) -> None:
            workshop.leave(visitor_of(request).key)

        blocks.unload(leave)
        returns = [first.back, driven.back, edit_back, compare_back, batch_back]
        add_returns(workshop, blocks, returns)
        add_languages(workshop, blocks)
        blocks.load(
            endpoint(list_of, workshop, ()),
            None,
            first.past.listed,
            api_visibility="private",
            queue=False,
        )
    waiting = max(_LEAST_QUEUE, workshop.limits.max_waiting)
    blocks.queue(api_open=False, max_size=waiting, default_concurrency_limit=4)
    return blocks


def scripts() -> list[str]:
    """What the page runs beside gradio's own."""
    return [words.script(), *(path.read_text(encoding="utf-8") for path in _SCRIPTS)]


def theme() -> "Base":
    """System fonts only: nothing is loaded from other hosts."""
    from gradio import themes

    quiet = {
        "body_background_fill": "*neutral_50",
        "body_background_fill_dark": "*neutral_950",
        "block_border_width": "1px",
        "block_border_color": "*neutral_200",
        "block_border_color_dark": "*neutral_700",
        "block_shadow": "none",
        "block_label_background_fill": "*background_fill_secondary",
        "block_label_text_color": "*body_text_color_subdued",
        "block_label_text_weight": "500",
        "block_title_background_fill": "none",
        "block_title_text_color": "*body_text_color",
        "block_title_padding": "0",
        "body_text_color_subdued": "*neutral_500",
        "body_text_color_subdued_dark": "*neutral_300",
        "checkbox_label_background_fill_selected": "*primary_100",
        "checkbox_label_background_fill_selected_dark": "*primary_900",
        "checkbox_label_text_color_selected": "*body_text_color",
        "button_primary_background_fill": "*primary_700",
        "button_primary_background_fill_hover": "*primary_800",
        "button_primary_background_fill_dark": "*primary_700",
        "button_primary_background_fill_hover_dark": "*primary_800",
        "link_text_color": "*primary_700",
        "link_text_color_dark": "*primary_400",
    }
    quiet |= {
        f"{name}_dark": value
        for name, value in quiet.items()
        if name.startswith(("block_label_b", "block_title_b"))
    }
    soft = themes.Soft(
        primary_hue=themes.colors.orange,
        neutral_hue=themes.colors.stone,
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return soft.set(**quiet)
