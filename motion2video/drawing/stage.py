"""What draws the frames of one portrait: a stage begins some frames, and their scene is painted and
pasted. Stages differ in where they draw (`crops`, `canvas`) and in what a head is (`warp`,
`layered`); the renderer chooses one for a portrait and knows no more of it than this.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

Frames = list[UInt8[np.ndarray, "h w c"]]
"""RGB, or RGBA of a portrait with nothing behind the person."""


@runtime_checkable
class Begun(Protocol):
    """Some frames on their way, each by itself. Used by one thread at a time."""

    def paint(self) -> None:
        """Second: the network paints what moving the photo cannot know (see windows.Brush)."""
        ...

    def paste(self) -> Frames:
        """Third: the photo at its own size, with what was painted in it."""
        ...


@runtime_checkable
class Stage(Protocol):
    """Draws one portrait; never changed by a frame. Any thread may call it at any time."""

    def begin(
        self,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> Begun:
        """First: n frames moved to their keypoints in the photo's pixels (see
        PortraitFace.keypoints), and where the network shall paint.
        """
        ...


def draw(
    stage: Stage,
    landmarks: Float[np.ndarray, "n 478 3"],
    open_eyes: Float[np.ndarray, "n 478 3"],
) -> Frames:
    """n frames from their keypoints in the photo's pixels, all the way."""
    scene = stage.begin(landmarks, open_eyes)
    scene.paint()
    return scene.paste()
