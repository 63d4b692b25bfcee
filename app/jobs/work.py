"""The work of one job, apart from queue and database: a request becomes a file and its figures."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.jobs.record import file_fields
from app.provenance.credentials import sidecar_of
from app.render.pipeline import Avatar
from app.render.request import MotionRequest, Notify, Progress, RenderRequest
from app.render.result import RenderResult
from motion2video.motion import FPS
from weights.errors import LimitError


def suffix_of(request: MotionRequest) -> str:
    """The ending of the file that a request becomes."""
    return request.suffix if isinstance(request, RenderRequest) else ".npz"


def work(
    load: Callable[[], Avatar],
    request: MotionRequest,
    out: Path,
    most_s: float,
    progress: Progress,
    notify: Notify,
) -> dict[str, Any]:
    """Make the file `out`, at most `most_s` seconds long; what its owner may know of the run.

    What `progress` raises ends the work. Raises VisavisErrors as Avatar.render and .motion do, and
    LimitError for what would be longer.
    """
    rate = request.fps if isinstance(request, RenderRequest) else FPS

    def bounded(what: str, done: int, total: int) -> None:
        progress(what, done, total)
        if max(done, total) > (most_s + 1) * max(rate, FPS):
            raise LimitError(f"this would last longer than {most_s:g} s, the most that is made")

    bounded("loading", 0, 1)
    avatar = load()
    bounded("preparing", 0, 1)
    if isinstance(request, RenderRequest):
        figures = _figures(avatar.render(request, out, progress=bounded, notify=notify))
        if (beside := sidecar_of(out)).exists():
            figures["provenance"]["sidecar"] = base64.b64encode(beside.read_bytes()).decode()
        return figures
    motion = avatar.motion(request, bounded, notify)
    motion.save(out)
    return {"frames": len(motion), "fps": motion.fps, "seconds": motion.seconds}


def _figures(result: RenderResult) -> dict[str, Any]:
    """Everything but where the server keeps its files."""
    figures = json.loads(json.dumps(result.to_json()))
    del figures["out"], figures["notices"], figures["peak_memory_mb"]
    settings = figures["settings"]
    figures["settings"] = {k: v for k, v in settings.items() if k not in file_fields()}
    for turn in settings.get("turns") or ():
        if isinstance(turn, dict) and "audio" in turn:
            turn["audio"] = "a recording"
    return figures
