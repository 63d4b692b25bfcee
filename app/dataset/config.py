"""How recordings are imported, and people told apart: each setting is written here once."""

from dataclasses import dataclass
from typing import Annotated, Literal

from app.render.knobs import Knob
from weights.errors import InputError

Layout = Literal["videos", "pairs", "seamless"]
ALIKE = 0.55
"""Cosine of two people's mean embeddings from which they are kept in one split."""


@dataclass(frozen=True)
class ImportConfig:
    """How recordings are imported. Raises InputError for numbers that cannot be."""

    layout: Annotated[
        Layout,
        Knob("videos: a folder of them; pairs: two people each; seamless: Seamless Interaction."),
    ] = "videos"
    workers: Annotated[int, Knob("Recordings at a time; 0: in this very process.")] = 1
    licence: Annotated[str, Knob("Under which the recordings are, for every sample.")] = ""
    consent: Annotated[str, Knob("How the people have agreed, for every sample.")] = ""
    people: Annotated[
        Literal["file", "folder"],
        Knob("Whether a video's people are named by its file or by its folder."),
    ] = "file"
    crops: Annotated[bool, Knob("Keep a video of each face, to train renderers on.")] = False
    motion: Annotated[
        Literal["auto", "movement", "video", "keypoints"],
        Knob("Seamless: what motion is made from; auto is the first of these that there is."),
    ] = "auto"
    keep_failed: Annotated[bool, Knob("Leave alone what failed in an earlier import.")] = False
    stall: Annotated[float, Knob("Seconds of silence after which a recording is given up.")] = 600.0

    def __post_init__(self) -> None:
        if not 0 <= self.workers <= 512:
            raise InputError(f"got {self.workers} workers; wanted 0 to 512")
        if not self.stall > 0:
            raise InputError(f"got --stall {self.stall}; wanted seconds above 0")
