"""Where the person is shown: before what, and in which place of a frame of another shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from app.render.finish import Finish
from app.render.reading import Reader, read_portrait
from app.render.request import RenderRequest
from weights.errors import InputError

if TYPE_CHECKING:
    from motion2video.faces.tracker import FaceTracker
    from motion2video.portrait.margins import Surround
    from motion2video.portrait.portrait import Portrait
    from motion2video.portrait.shoulders import Shoulders

_ENDS = 0.03
"""Of the height of a photo, at whose side the person is cut and does not go on: more is seen."""


@dataclass(frozen=True, eq=False)
class Layout:
    """What is drawn lies in every frame with its corner at `place` (x, y) of `ground`, where
    `shoulders` that it cuts go on, or in the middle of what goes on with it, the `surround`; where
    both are None, it is the frame.
    """

    place: tuple[int, int] = (0, 0)
    ground: UInt8[np.ndarray, "H W c"] | None = None
    shoulders: "Shoulders | None" = None
    surround: "Surround | None" = None

    def lay(self, drawn: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "H W c"]:
        """The frame."""
        if self.surround is not None:
            return self.surround.about(drawn)
        if self.ground is None:
            return drawn
        (x, y), (height, width) = self.place, drawn.shape[:2]
        frame = self.ground.copy()
        frame[y : y + height, x : x + width] = drawn
        if self.shoulders is not None:
            self.shoulders.go_on(frame, drawn)
        return frame

    def moved(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box of what is drawn, in the frame."""
        (x, y), (x0, y0, x1, y1) = self.place, box
        return x0 + x, y0 + y, x1 + x, y1 + y


def read_scene(
    reader: Reader, request: RenderRequest, tracker: "FaceTracker"
) -> "tuple[Portrait, Layout]":
    """The portrait of a request before its background, and its place in the frames.

    Raises as read_portrait does; InputError where the background shall be another one and the
    person cannot be told from it.
    """
    portrait = read_portrait(
        reader,
        request.portrait,
        tracker,
        request.face,
        request.size,
        request.crop,
        request.ratio,
    )
    picture = None
    if request.background_picture is not None:
        picture = reader.picture(Path(request.background_picture))[0]
    return laid_out(portrait, request, picture)


def laid_out(
    portrait: "Portrait", finish: Finish, picture: UInt8[np.ndarray, "h w 3"] | None = None
) -> "tuple[Portrait, Layout]":
    """A portrait before what a request wants behind it (`picture`, where that is one)."""
    from motion2video.geometry.basis import interocular
    from motion2video.portrait.margins import surround
    from motion2video.portrait.shoulders import shoulders

    size = frame_size(portrait.image, finish.ratio)
    height, width = portrait.image.shape[:2]
    x, y = (size[0] - width) // 2, size[1] - height
    same = size == (width, height)
    if picture is None and finish.background == "own":
        if same:
            return portrait, Layout()
        above, unit = y // 2, float(interocular(portrait.face.landmarks))
        margins = (above, y - above, x, size[0] - width - x)
        about = surround(portrait.image, portrait.matte, unit, margins)
        return portrait, Layout((x, above), surround=about)
    if portrait.matte is None:
        raise InputError(
            "the person in the photo could not be told from the background, so that cannot be "
            "another one; give another photo, or keep its own background"
        )
    # At the bottom, where shoulders are cut by the edge of the picture and not in the air.
    ground = _ground(portrait, finish, picture, size, (x, y))
    flat = ground is None or finish.colour is not None
    wider = shoulders(portrait.matte, (x, y), size[0], flat)
    if ground is None:
        clear = np.zeros((size[1], size[0], 4), np.uint8)
        return portrait.before("nothing"), Layout((x, y), None if same else clear, wider)
    behind = np.ascontiguousarray(ground[y : y + height, x : x + width])
    return portrait.before(behind), Layout((x, y), None if same else ground, wider)


def remarks(portrait: "Portrait", layout: Layout) -> tuple[str, ...]:
    """What there is to tell of a layout."""
    if portrait.behind is None or layout.place[0] == 0 or portrait.matte is None:
        return ()
    if layout.shoulders is None or layout.shoulders.leave(portrait.matte) < _ENDS:
        return ()
    return (
        "the photo ends within the person, whose shoulders or hair are cut off at its sides; a "
        "narrower aspect does not show that",
    )


def frame_size(image: UInt8[np.ndarray, "h w 3"], ratio: float | None) -> tuple[int, int]:
    """(width, height), both even, of the smallest frame of that ratio that holds a picture."""
    height, width = image.shape[:2]
    if ratio is None:
        return width, height
    return max(width, _even(height * ratio)), max(height, _even(width / ratio))


def _even(length: float) -> int:
    return 2 * round(length / 2)


def _ground(
    portrait: "Portrait",
    finish: Finish,
    picture: UInt8[np.ndarray, "h w 3"] | None,
    size: tuple[int, int],
    place: tuple[int, int],
) -> UInt8[np.ndarray, "H W 3"] | None:
    """What is behind the person in the whole frame; None for nothing."""
    from motion2video.geometry.basis import interocular
    from motion2video.portrait.backdrop import blurred, covering

    if picture is not None:
        return covering(picture, size)
    if finish.clear:
        return None
    if finish.colour is not None:
        return np.full((size[1], size[0], 3), finish.colour, np.uint8)
    (x, y), (height, width) = place, portrait.image.shape[:2]
    margins = (y, size[1] - height - y, x, size[0] - width - x)
    unit = float(interocular(portrait.face.landmarks))
    assert portrait.matte is not None
    return blurred(portrait.image, portrait.matte, unit, margins)
