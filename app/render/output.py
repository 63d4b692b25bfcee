"""Can the result be written where it shall go? Asked before any work is done."""

import os
from collections.abc import Iterable
from pathlib import Path

from app.render.request import RenderRequest
from app.render.subtitles import place_of
from motion2video.media.codings import SUFFIXES
from weights.errors import OutputError


def check_video(out: Path, request: RenderRequest) -> None:
    """The same for the video of a request, and for its subtitles. Raises InputError for a name
    that says another kind of file than is wanted.
    """
    check_output(out, SUFFIXES, request.inputs)
    request.check_name(out)
    if request.subtitles == "file":
        check_output(place_of(out), (place_of(out).suffix,), request.inputs)


def check_output(out: Path, suffixes: tuple[str, ...], inputs: Iterable[Path] = ()) -> None:
    """Raise OutputError when `out` is a folder, has another ending, lies in a folder that is
    not there or not writable, or is one of the files that are read.
    """
    if out.is_dir():
        raise OutputError(f"the output {out} is a folder; give the name of a file in it")
    if out.suffix.lower() not in suffixes:
        raise OutputError(f"the output {out} must end in {' or '.join(suffixes)}")
    folder = out.parent
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist; make it first"
        raise OutputError(f"the output's folder {folder} {what}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"there is no permission to write into {folder}")
    for path in inputs:
        if path.exists() and out.exists() and path.samefile(out):
            raise OutputError(f"the output {out} is also an input; give it another name")
