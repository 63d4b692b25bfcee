"""Who asks: the browser that a request comes from, and the page in it."""

import time
from typing import TYPE_CHECKING, NamedTuple

from app.api.guard import ANONYMOUS

if TYPE_CHECKING:
    import gradio as gr

CAME = "visavis-came"
"""Of the state of a request: when it came, as a time of `time.monotonic`."""


class Visitor(NamedTuple):
    """`owner` is the browser, known by its cookie; `key` one open page in it, whose request `came`
    at a time of `time.monotonic`: it may have waited since, and its page may have been left.
    """

    owner: str
    key: str
    came: float


def owner_in(scope: "dict | object") -> str:
    """The owner whom the API's guard has found for an ASGI scope."""
    state = scope.get("state", {}) if isinstance(scope, dict) else {}
    return state.get("owner") or ANONYMOUS


def visitor_of(request: "gr.Request") -> Visitor:
    """The visitor of a request to a gradio function.

    The page is known by the random word that gradio makes when it is opened, which alone would be
    worth nothing: the browser sends it in addresses.
    """
    import gradio as gr

    if not request.session_hash or request.request is None:
        raise gr.Error("the request names no page (session_hash)", print_exception=False)
    scope = request.request.scope
    owner, came = owner_in(scope), scope.get("state", {}).get(CAME)
    now = time.monotonic()
    return Visitor(owner, f"{owner} {request.session_hash}", now if came is None else came)
