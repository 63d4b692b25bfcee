"""The studio beside the API, where gradio is there, which is optional."""

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

from app.api.context import ServerContext
from app.studio.gradio_files import at_end, keep_gradio_in
from weights.installation import how_to_add

if TYPE_CHECKING:
    from fastapi import FastAPI


def mount_studio(app: "FastAPI") -> str | None:
    """Mount the studio on an app made by create_app; None, or why it is not there.

    With API keys it is left out: its pages send none, and would be a way around them.
    """
    context: ServerContext = app.state.context
    if context.config.keys:
        return "the studio is off, because API keys are set"
    if find_spec("gradio") is None:
        return f"the studio is off: it needs the extra `app` ({how_to_add('app')})"
    if find_spec("app.studio.screens") is None:
        return "the studio is off: this installation has none"
    gradios = context.database.folder / "gradio"
    keep_gradio_in(gradios)
    shop = importlib.import_module("app.studio.workshop")
    workshop = shop.Workshop(context.queue, context.config.endpoint, context.config.provenance)
    at_end(app, workshop.close, gradios)
    importlib.import_module("app.studio.screens").mount(app, workshop, live="/v1/live")
    return None
