"""Portraits: any picture file -> an upright RGB array with one usable face."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, UInt8

from motion2video.faces.photo import find_faces, open_notice, require_usable, turned_notice
from motion2video.faces.tracker import Face, FaceTracker, pick_face
from motion2video.media.pictures import open_picture, upright
from motion2video.portrait.behind import Behind
from weights.errors import InputError, MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE = 4096
HEAD_SHARE = 0.45  # width of the face in a picture cropped to the head
_BAND = 2**20  # pixels that are worked on at a time where a copy of a picture is wide
_HEAD_LIFT = 0.04  # the face sits this much above the middle, so that the neck is in

Crop = Literal["full", "head"]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture and the face in it that is going to move.

    `image` [H, W, 3] uint8 RGB, H and W even; `face` in its pixels; `notices` are sentences for
    the user. `behind` is what is shown behind the person; None is the picture's own background.
    """

    image: UInt8[np.ndarray, "H W 3"]
    face: Face
    notices: tuple[str, ...] = ()
    behind: Behind | None = None

    def before(self, behind: Behind) -> "Portrait":
        """The same person before something else than the picture's background."""
        other = replace(self, behind=behind)
        other.__dict__["matte"] = self.matte  # which is looked for once
        return other

    @cached_property
    def matte(self) -> Float[np.ndarray, "H W"] | None:
        """How much of every pixel is the person, 0..1; None where nobody is seen in the picture,
        as in some drawings. Raises WeightsError without the weights `matte`.
        """
        # Here, because whoever only reads pictures, confined, shall not load OpenCV.
        from motion2video.geometry.basis import EYE_CORNERS, FACE_OVAL
        from motion2video.portrait.matte import person_alpha

        marks = self.face.landmarks[:, :2]
        right, left = (marks[list(pair)].mean(0) for pair in EYE_CORNERS)
        return person_alpha(self.image, marks[FACE_OVAL], float(np.linalg.norm(right - left)))

    @staticmethod
    def load(
        source: str | os.PathLike[str] | UInt8[np.ndarray, "..."],
        tracker: FaceTracker | None = None,
        face: str = "largest",
        size: int | None = None,
        crop: Crop = "full",
        aspect: float | None = None,
    ) -> "Portrait":
        """From a picture file or an array as for `load_image`.

        `face` chooses among several (see `pick_face`). `crop="head"` cuts out a square in which
        the face takes 45% of the width. `size` caps the long side of the result, or of a frame
        `aspect` as wide as high that holds it; nothing is ever enlarged. Raises MediaError or
        LimitError for the picture, FaceError for its face, InputError for the other arguments.
        """
        if crop not in ("full", "head"):
            raise InputError(f"got crop={crop!r}; wanted full or head")
        if size is not None and size < 64:
            raise InputError(f"got size={size}; wanted at least 64 pixels")
        image, notices = load_image(source)
        tracker = tracker or FaceTracker.load()
        chosen, notice = pick_face(find_faces(tracker, image), face)
        require_usable(chosen)
        chosen = tracker.settle(image, chosen)
        for told in (notice, turned_notice(chosen), open_notice(chosen)):
            notices = notices if told is None else (*notices, told)
        if crop == "head":
            image, chosen = _crop_head(image, chosen)
        if size is not None:
            image, chosen = _shrink(image, chosen, size, aspect)
        even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        return Portrait(np.ascontiguousarray(even), _moved(chosen, 1.0, (0, 0), even), notices)


def load_image(
    source: str | os.PathLike[str] | UInt8[np.ndarray, "..."], max_side: int = MAX_SIDE
) -> tuple[UInt8[np.ndarray, "H W 3"], tuple[str, ...]]:
    """A picture as upright RGB, and sentences for the user about what was done to it.

    Reads JPEG, PNG, WebP, TIFF, BMP and a GIF's first frame, up to 50 million pixels: EXIF
    orientation is applied, transparency is laid over white, grey, palette, CMYK and 16-bit
    pictures become 8-bit RGB. Longer than `max_side` pixels is reduced. An array is
    [H, W], [H, W, 3] or [H, W, 4] uint8. Raises MediaError when there is no such picture,
    LimitError when it is too large.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_side)
    return _decode(Path(source), max_side)


def _from_array(
    array: UInt8[np.ndarray, "..."], max_side: int
) -> tuple[UInt8[np.ndarray, "H W 3"], tuple[str, ...]]:
    from PIL import Image

    shape = array.shape
    if array.dtype != np.uint8 or len(shape) not in (2, 3) or 0 in shape:
        raise MediaError(f"got {array.dtype} {shape}; wanted a uint8 picture [H, W, 3]")
    if len(shape) == 3 and shape[2] not in (3, 4):
        raise MediaError(f"got a picture with {shape[2]} channels; wanted 3 (RGB) or 4 (RGBA)")
    picture = Image.fromarray(array)
    return _finish(picture, picture.size, max_side)


def _decode(path: Path, max_side: int) -> tuple[UInt8[np.ndarray, "H W 3"], tuple[str, ...]]:
    with open_picture(path) as image:
        original = image.size
        # JPEG decodes straight to 1/2, 1/4 or 1/8, never below what was asked for.
        image.draft(None, _fitted(original, max_side))
        lying = image.size
        turned = upright(image)
        if turned.size != lying:
            original = (original[1], original[0])
        return _finish(turned, original, max_side)


def _finish(
    image: "Image", original: tuple[int, int], max_side: int
) -> tuple[UInt8[np.ndarray, "H W 3"], tuple[str, ...]]:
    """RGB of at most `max_side` on its long side, and a notice when it had to be reduced from
    its `original` (w, h). Large pictures are reduced before anything makes copies of them."""
    from PIL import Image

    if max(original) <= max_side:
        return np.array(_to_rgb(image), np.uint8), ()
    if image.mode not in ("L", "RGB", "RGBA", "CMYK"):
        image = image.convert("RGBA") if image.has_transparency_data else _to_rgb(image)
    size = _fitted(original, max_side)
    small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.array(_to_rgb(small), np.uint8), (
        f"the picture was reduced from {original[0]}x{original[1]} to {size[0]}x{size[1]} pixels",
    )


def _fitted(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """(w, h) with a long side of at most `max_side`."""
    scale = min(1.0, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _to_rgb(image: "Image") -> "Image":
    """Any Pillow mode -> RGB of 8 bits, transparency over white."""
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(ground, layer)
    return image.convert("RGB")


def _eight_bits(image: "Image") -> "Image":
    """A picture of 16 bits or of real numbers as grey; band by band, since copies of it are large.

    Real numbers are taken to reach 1, 255 or 65535, whichever holds the largest.
    """
    from PIL import Image

    grey = np.empty((image.height, image.width), np.uint8)
    rows = max(1, _BAND // image.width)
    bands = range(0, image.height, rows)

    def band(first: int) -> np.ndarray:
        last = min(first + rows, image.height)
        return np.nan_to_num(np.asarray(image.crop((0, first, image.width, last))))

    if image.mode == "F":
        highest = max(float(band(first).max()) for first in bands)
        top = 1.0 if highest <= 1.0 else 255.0 if highest <= 255.0 else 65535.0
        for first in bands:
            grey[first : first + rows] = np.clip(band(first) / top * 255 + 0.5, 0, 255)
    else:
        for first in bands:
            deep = np.clip(band(first), 0, 65535).astype(np.uint32)
            grey[first : first + rows] = deep * 255 // 65535
    return Image.fromarray(grey)


def _crop_head(
    image: UInt8[np.ndarray, "H W 3"], face: Face
) -> tuple[UInt8[np.ndarray, "S S 3"], Face]:
    """A square around the head: moved inside the picture where it leaves it, and where the
    picture is too small continued by its edge."""
    height, width = image.shape[:2]
    side = round(face.width / HEAD_SHARE / 2) * 2
    x = round(face.centre[0] - side / 2)
    y = round(face.centre[1] - side * (0.5 - _HEAD_LIFT))
    x = min(max(x, 0), width - side) if side <= width else (width - side) // 2
    y = min(max(y, 0), height - side) if side <= height else (height - side) // 2
    inside = image[max(y, 0) : y + side, max(x, 0) : x + side]
    top, left = max(-y, 0), max(-x, 0)
    pad = (
        (top, side - top - inside.shape[0]),
        (left, side - left - inside.shape[1]),
        (0, 0),
    )
    square = np.pad(inside, pad, mode="edge")
    return square, _moved(face, 1.0, (-x, -y), square)


def _shrink(
    image: UInt8[np.ndarray, "H W 3"], face: Face, size: int, aspect: float | None
) -> tuple[UInt8[np.ndarray, "h w 3"], Face]:
    """The picture with a long side of at most `size`, or in a frame of an aspect that has."""
    import cv2

    height, width = image.shape[:2]
    longest = max(height, width)
    if aspect is not None:
        longest = max(longest, height * aspect, width / aspect)
    scale = size / longest
    if scale >= 1:
        return image, face
    target = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = cv2.resize(image, target, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small, _moved(face, scale, (0, 0), small)


def _moved(
    face: Face, scale: float, shift: tuple[int, int], image: UInt8[np.ndarray, "H W 3"]
) -> Face:
    """The face in a picture that was shifted and then scaled."""
    landmarks = (face.landmarks + np.array([*shift, 0], np.float32)) * np.float32(scale)
    (x0, y0), (x1, y1) = landmarks[:, :2].min(0).tolist(), landmarks[:, :2].max(0).tolist()
    return Face(landmarks, face.expression, (x0, y0, x1, y1), (image.shape[1], image.shape[0]))
