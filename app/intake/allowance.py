"""What one request may ask of a server, checked in one place for every way in: size, texts, files.

The numbers are those of Limits; every refusal names the one that was passed.
"""

from collections.abc import Sequence
from pathlib import Path

from app.intake.inspection import Kind
from app.intake.limits import Limits
from app.intake.sandbox import shared_sandbox
from app.intake.values import SandboxReader
from app.render.request import MotionRequest, RenderRequest
from app.render.turns import read_turns
from weights.errors import LimitError, VisavisError

MOST_GESTURES = 200
"""Gestures that one request may place."""
MOST_TURNS = 40
"""Turns that one dialogue may have."""
_TEXTS = ("text", "ask", "persona")


def require_allowed(request: MotionRequest, limits: Limits) -> None:
    """Raise LimitError for a request whose picture, texts or gestures are more than is taken.

    Its files are not opened, see `require_file`; nor is its length known yet.
    """
    if isinstance(request, RenderRequest) and request.size > limits.max_size:
        raise LimitError(
            f"got the size {request.size}; at most {limits.max_size} pixels are made here"
        )
    if isinstance(request, RenderRequest) and request.renderer not in limits.renderers:
        raise LimitError(
            f"the renderer {request.renderer} is not offered here; wanted "
            f"{' or '.join(limits.renderers)}"
        )
    for name in _TEXTS:
        require_text(name, getattr(request, name) or "", limits.max_text)
    require_count("gestures", request.gestures or (), MOST_GESTURES)
    require_turns(request, limits)


def require_turns(request: MotionRequest, limits: Limits) -> None:
    """Raise LimitError for a dialogue of more turns, or of more words, than are taken."""
    require_count("turns", request.turns or (), MOST_TURNS)
    words = sum(len(turn.text or "") for turn in read_turns(request.turns or ()))
    if words > limits.max_text:
        raise LimitError(
            f"got turns of {words} characters together; at most {limits.max_text} are taken"
        )


def require_text(name: str, text: str, most: int) -> None:
    """Raise LimitError for a text of more than `most` characters."""
    if len(text) > most:
        raise LimitError(f"got a {name} of {len(text)} characters; at most {most} are taken")


def require_count(what: str, items: Sequence[object], most: int) -> None:
    """Raise LimitError for more than `most` of something."""
    if len(items) > most:
        raise LimitError(f"got {len(items)} {what}; at most {most} are taken")


def require_length(seconds: float, limits: Limits) -> None:
    """Raise LimitError for a video that would last too long."""
    if seconds > limits.max_seconds:
        raise LimitError(
            f"the video would last {seconds:.0f} s; at most {limits.max_seconds:g} s are made here"
        )


def require_file(path: Path, wanted: tuple[Kind, ...], limits: Limits) -> None:
    """Raise LimitError for a file that is larger or longer than is taken, MediaError for one that
    is none of `wanted`. Nothing else of ours reads a visitor's file before this has.
    """
    size = path.stat().st_size
    if size > limits.max_upload_bytes:
        raise LimitError(
            f"{path.name} has {size / 1e6:.1f} MB; at most "
            f"{limits.max_upload_bytes / 1e6:g} MB are taken"
        )
    try:
        SandboxReader(shared_sandbox()).inspect(path, wanted, limits)
    except VisavisError as error:
        said = str(error).replace(str(path), path.name)
        raise type(error)(f"{path.name}: {said}") from error
