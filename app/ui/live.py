"""The live tab: a page of our own in a frame, which speaks to the live WebSocket."""

from typing import TYPE_CHECKING

from app.demo import ASSETS
from app.ui import markup

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = "/live"


def add_page(app: "FastAPI", socket: str) -> str:
    """Serve the live page, which connects to the WebSocket at `socket`; returns its address."""
    from fastapi.responses import HTMLResponse

    text = (ASSETS / "studio" / "live.html").read_text(encoding="utf-8").replace("{socket}", socket)

    @app.get(PAGE, include_in_schema=False)
    def live_page() -> HTMLResponse:
        return HTMLResponse(text)

    return PAGE


def build(page: str | None) -> None:
    """The frame with the live page, or a sentence where there is none."""
    import gradio as gr

    if page is None:
        gr.HTML(markup.note("There is no live service in this process."))
        return
    gr.HTML(
        f"<iframe class='v-live' src='{page}' title='Live conversation' loading='lazy' "
        "allow='microphone; camera; autoplay'></iframe>"
    )
