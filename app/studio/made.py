"""One of a visitor's results, with all that is needed to show it and to make it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.render.result import RenderResult


@dataclass(frozen=True, eq=False)
class Made:
    """One result. `form` is what the first screen showed, whose files are copies; `thumb` a small
    picture of it as JPEG; `told` its settings as JSON; `editable` whether its motion can be edited.
    """

    folder: Path
    video: Path
    motion: Path
    result: RenderResult
    form: Mapping[str, Any]
    told: Mapping[str, Any]
    thumb: bytes
    editable: bool = False

    @property
    def key(self) -> str:
        """Names it among the visitor's own."""
        return self.folder.name

    @property
    def title(self) -> str:
        """What it is called."""
        return self.video.stem.replace("-", " ")
