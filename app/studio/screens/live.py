"""The live tab: a page of our own in a frame, which speaks to the live WebSocket.

gradio's own streaming sends sound through its queue a request at a time; a WebSocket costs less and
lets the visitor interrupt. The page loads nothing but the example portraits, from this server.
"""

import json
import os
from typing import TYPE_CHECKING

from app.render.demo import ASSETS, EXAMPLES
from app.studio import words
from app.studio.screens import markup
from audio2motion.gestures.emotion import EMOTIONS
from audio2motion.voice.natural import NATURAL
from audio2motion.voice.speakers import QUICK_VOICE, list_speakers

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = "/live"
QUIET = ASSETS / "portraits" / "idle" / "quiet.npz"
"""How somebody moves who waits, there and back: what a photo of one's own is brought to life by."""
_FOLDER = ASSETS / "studio" / "live"
_PARTS = ("page.css", "talk.js", "ear.js", "quiet.js", "page.js")
ROOMY = 4
"""Cores with which a slow voice speaks while a portrait is drawn: each wants one of its own."""


def add_page(app: "FastAPI", socket: str, answers: bool) -> str:
    """Serve the live page, which connects to the WebSocket at `socket`; returns its address.

    `answers` says whether the visitor may ask a language model there.
    """
    from fastapi import HTTPException
    from fastapi.responses import FileResponse, HTMLResponse, Response

    photos = {path.stem: path for path in EXAMPLES}
    portraits = [(name.replace("_", " "), f"{PAGE}/portraits/{name}") for name in photos]
    text = (_FOLDER / "page.html").read_text(encoding="utf-8")
    for name, value in (
        ("page", PAGE),
        ("socket", socket),
        ("portraits", json.dumps(portraits)),
        ("emotions", json.dumps(EMOTIONS)),
        ("answers", json.dumps(answers)),
        ("voices", json.dumps(voices_of(len(os.sched_getaffinity(0))))),
    ):
        text = text.replace(f"{{{name}}}", value)

    @app.get(PAGE, include_in_schema=False)
    def live_page() -> HTMLResponse:
        return HTMLResponse(text)

    @app.get(PAGE + "/words.js", include_in_schema=False)
    def live_words() -> Response:
        kept = {"Cache-Control": "no-cache"}
        return Response(words.script(), media_type="text/javascript", headers=kept)

    @app.get(PAGE + "/quiet.npz", include_in_schema=False)
    def live_quiet() -> FileResponse:
        return FileResponse(QUIET, media_type="application/x-npz")

    @app.get(PAGE + "/{name}", include_in_schema=False)
    def live_part(name: str) -> FileResponse:
        if name not in _PARTS:
            raise HTTPException(404)
        return FileResponse(_FOLDER / name, headers={"Cache-Control": "no-cache"})

    @app.get(PAGE + "/portraits/{name}/idle", include_in_schema=False)
    def live_idle(name: str) -> FileResponse:
        if name not in photos:
            raise HTTPException(404)
        path = photos[name].parent / "idle" / f"{name}.mp4"
        return FileResponse(path, media_type="video/mp4", content_disposition_type="inline")

    @app.get(PAGE + "/portraits/{name}", include_in_schema=False)
    def live_portrait(name: str) -> FileResponse:
        if name not in photos:
            raise HTTPException(404)
        return FileResponse(photos[name], media_type="image/jpeg")

    return PAGE


def voices_of(cores: int) -> list[tuple[str, str, str | None, bool]]:
    """(name, what is shown, sex, whether it keeps up with a portrait that is drawn on `cores`) of
    the favourites, the quick one first. A page takes the first that suits its portrait.
    """
    slow = {v.name for v in NATURAL.values() if v.name != QUICK_VOICE and cores < ROOMY}
    voices = [voice for voice in list_speakers() if voice.favourite]
    listed = [(v.name, v.label, v.sex, v.name not in slow) for v in voices]
    return sorted(listed, key=lambda told: told[0] != QUICK_VOICE)


def build(page: str | None) -> None:
    """The frame with the live page, or a sentence where there is none."""
    import gradio as gr

    if page is None:
        gr.HTML(markup.note("There is no live service in this process."))
        return
    gr.HTML(
        f"<iframe class='v-live' src='{page}' title='Live conversation' loading='lazy' "
        "allow='microphone; camera; autoplay; fullscreen; speaker-selection'></iframe>"
    )
