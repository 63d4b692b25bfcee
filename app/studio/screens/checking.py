"""Whether a video that somebody has is one of ours, and untouched."""

from pathlib import Path
from typing import Any

from app.intake.sandbox import shared_sandbox
from app.intake.values import SandboxReader
from app.provenance.credentials import MOST_BYTES
from app.render.verifying import verify
from app.studio.screens import markup
from app.studio.screens.endpoints import endpoint
from app.studio.screens.follow import fail
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Workshop
from weights.errors import VisavisError
from weights.opening import open_regular


def build(workshop: Workshop) -> None:
    """Lay the screen out."""
    import gradio as gr

    gr.HTML(
        markup.note(
            "Every video made here has a mark in its pictures and signed credentials. Give a video "
            "to see whether it is one of them, and whether it was changed since."
        )
    )
    shown = gr.File(label="A video or a picture", type="filepath", elem_id="check-file")
    beside = gr.File(
        label="Its .c2pa file, where it has one beside it", type="filepath", elem_id="check-beside"
    )
    check = gr.Button("Check it", variant="primary", elem_id="check-go")
    verdict = gr.HTML(elem_id="check-verdict")
    details = gr.JSON(label="Details", visible=False, elem_id="check-details")
    check.click(
        endpoint(_check, workshop, ("shown", "beside")),
        [shown, beside],
        [verdict, details],
        api_name="verify",
        api_description="Whether a video is one of ours, and untouched.",
    )


def _check(
    workshop: Workshop, visitor: Visitor, shown: str | None, beside: str | None = None
) -> list[Any]:
    import gradio as gr

    if not shown:
        fail("there is no video yet: give one")
    told: list[str] = []
    try:
        workshop.files.require(Path(shown), ("video", "picture"))
        reader = SandboxReader(shared_sandbox())
        data = None
        if beside:
            with open_regular(Path(beside), "file of credentials", MOST_BYTES) as file:
                data = file.read()
        found = verify(Path(shown), workshop.provenance, reader, told.append, data)
    except VisavisError as error:
        fail(error, (shown, beside or ""))
    said = markup.done(found.sentence) + "".join(map(markup.note, told))
    return [said, gr.update(value=found.to_json(), visible=True)]
