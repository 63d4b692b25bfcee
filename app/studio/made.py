"""One of a visitor's results, with all that is needed to show it and to make it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.render.result import RenderResult


@dataclass(frozen=True)
class Edited:
    """What the motion editor did: how many seconds of the sound come before the video, what was
    done in words, and how many of the frames were drawn for it.
    """

    start: float
    edits: tuple[str, ...]
    drawn: int


@dataclass(frozen=True)
class Creation:
    """A finished video with what belongs to it. `editable` is whether its motion can be edited,
    `driver` the motion that was given, where there was one, `edited` what became of an earlier one
    in the editor.
    """

    video: Path
    motion: Path
    result: RenderResult
    editable: bool
    driver: Path | None = None
    edited: Edited | None = None


@dataclass(frozen=True)
class Sheet:
    """A screen as it was filled in, by field; `files` are fields too. `screen` names its form."""

    screen: str
    form: Mapping[str, Any]
    files: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Made:
    """One result. `sheet` is that of which it, or the video before it was edited, was made; its
    files are copies. `told` are its settings as JSON, `thumb` is a small
    picture of it as JPEG.
    """

    folder: Path
    creation: Creation
    sheet: Sheet
    told: Mapping[str, Any]
    thumb: bytes

    @property
    def key(self) -> str:
        """Names it among the visitor's own."""
        return self.folder.name

    @property
    def title(self) -> str:
        """What it is called."""
        return self.creation.video.stem.replace("-", " ")
