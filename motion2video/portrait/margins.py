"""A photo in a larger frame: what it shows at its edges goes on beyond them, still or moving."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.portrait.backdrop import Margins, free_of
from motion2video.portrait.fills import push_pull

_SOFTER = 0.3
"""Sigma of the blur by the distance from the photo."""
_MIRRORED = 0.1
"""Of the long side: farther from the photo nothing of its mirror image is left."""


@dataclass(frozen=True, eq=False)
class Surround:
    """The frame about a photo, `ground` with the photo in it. Where a drawing differs from the
    photo at an edge, the margin there takes over the difference: `weights` say, above, below, left
    and right, how much of each blur of it is seen by the distance from the edge.
    """

    ground: UInt8[np.ndarray, "H W 3"]
    image: UInt8[np.ndarray, "h w 3"]
    margins: Margins
    weights: tuple[Float[np.ndarray, "_ _"], ...]

    def about(self, drawn: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """The frame with a drawing in the photo's place."""
        frame = self.ground.copy()
        (above, _, left, _), (height, width) = self.margins, drawn.shape[:2]
        rows, columns = slice(above, above + height), slice(left, left + width)
        frame[rows, columns] = drawn
        beyond = (  # each from its edge outwards
            frame[:above, columns][::-1],
            frame[above + height :, columns],
            frame[rows, :left][:, ::-1].transpose(1, 0, 2),
            frame[rows, left + width :].transpose(1, 0, 2),
        )
        for margin, weights, now, then in zip(
            beyond, self.weights, _edges(drawn), _edges(self.image), strict=True
        ):
            change = now.astype(np.float32) - then
            if len(weights) and change.any():
                moved = np.tensordot(weights, _blurs(change, weights.shape[1]), 1)
                margin[:] = np.clip(np.round(margin + moved), 0, 255).astype(np.uint8)
        return frame


def surround(
    image: UInt8[np.ndarray, "h w 3"],
    alpha: Float[np.ndarray, "h w"] | None,
    unit: float,
    margins: Margins,
) -> Surround:
    """A photo gone on into margins without a line where it ends, the softer the farther out: the
    wall as its mirror image at first, then as its edge; the person (`alpha`, where it is known) as
    the edge cuts them, below to the end, elsewhere no farther than the mirror image. `unit` is the
    interocular distance in pixels.
    """
    above, below, left, right = margins
    height, width = image.shape[:2]
    down, across = _away(above, height, below), _away(left, width, right)
    away = np.hypot(*np.meshgrid(down, across, indexing="ij"))
    fade = _faded(away, max(away.shape))[..., None]
    wall = image.astype(np.float32)
    known = None if alpha is None else free_of(alpha, unit).astype(np.float32)
    if known is not None and known.any():
        wall = push_pull(wall, known)
    out = _widened(wall, margins, cv2.BORDER_REFLECT) * (1 - fade)
    out += _widened(wall, margins, cv2.BORDER_REPLICATE) * fade
    if alpha is not None:
        theirs = _widened(alpha.astype(np.float32), margins, cv2.BORDER_REPLICATE)[..., None]
        theirs[: above + height] *= 1 - fade[: above + height]
        edge = _widened(image.astype(np.float32), margins, cv2.BORDER_REPLICATE)
        out = out * (1 - theirs) + edge * theirs
    out = _softened(out, _SOFTER * away)
    out[above : above + height, left : left + width] = image
    ground = np.clip(np.round(out), 0, 255).astype(np.uint8)
    weights = tuple(
        _weights(depth, max(away.shape), lasting=number == 1)
        for number, depth in enumerate(margins)
    )
    return Surround(ground, image, margins, weights)


def _edges(picture: UInt8[np.ndarray, "h w 3"]) -> tuple[UInt8[np.ndarray, "n 3"], ...]:
    """Its lines above, below, left and right."""
    return picture[0], picture[-1], picture[:, 0], picture[:, -1]


def _away(before: int, length: int, after: int) -> Float[np.ndarray, "n"]:
    """How far each pixel of a line lies outside of the photo's `length`."""
    ends = np.arange(before, 0, -1), np.zeros(length), np.arange(1, after + 1)
    return np.concatenate(ends).astype(np.float32)


def _faded(away: Float[np.ndarray, "*n"], long: int) -> Float[np.ndarray, "*n"]:
    """0 at the photo, 1 where nothing of its mirror image is left."""
    share = np.clip(away / (_MIRRORED * long), 0, 1)
    return share * share * (3 - 2 * share)


def _widened(
    plane: Float[np.ndarray, "h w *c"], margins: Margins, how: int
) -> Float[np.ndarray, "H W *c"]:
    return np.asarray(cv2.copyMakeBorder(plane, *margins, how), np.float32)


def _levels(sigma: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The place of a blur in the row of no blur and those of 1, 2, 4 ... pixels."""
    return np.where(sigma < 1, sigma, 1 + np.log2(np.maximum(sigma, 1))).astype(np.float32)


def _weights(depth: int, long: int, lasting: bool) -> Float[np.ndarray, "d k"]:
    away = np.arange(1, depth + 1, dtype=np.float32)
    level = _levels(_SOFTER * away)
    count = int(np.ceil(level.max(initial=0))) + 1
    shares = np.maximum(0, 1 - np.abs(level[:, None] - np.arange(count, dtype=np.float32)))
    return shares if lasting else shares * (1 - _faded(away, long))[:, None]


def _blurs(line: Float[np.ndarray, "n 3"], count: int) -> Float[np.ndarray, "k n 3"]:
    """A line, and its blurs of 1, 2, 4 ... pixels."""
    wide = line[None]
    blurs = [
        cv2.GaussianBlur(wide, (0, 0), 2.0 ** (n - 1), borderType=cv2.BORDER_REPLICATE)[0]
        for n in range(1, count)
    ]
    return np.stack([line, *blurs])


def _softened(
    picture: Float[np.ndarray, "H W 3"], sigma: Float[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W 3"]:
    """Blurred by a Gaussian of its own at each pixel, between those of 1, 2, 4 ... pixels."""
    level = _levels(sigma)
    out = np.zeros_like(picture)
    size = picture.shape[1::-1]
    for number in range(int(np.ceil(level.max())) + 1):
        share = np.maximum(0, 1 - np.abs(level - number))[..., None]
        blur = picture
        if number:
            wanted = 2.0 ** (number - 1)
            less = max(1, int(wanted) // 4)  # a wide blur needs no fine picture
            small = (max(1, size[0] // less), max(1, size[1] // less))
            blur = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
            blur = cv2.GaussianBlur(blur, (0, 0), wanted / less, borderType=cv2.BORDER_REPLICATE)
            blur = cv2.resize(blur, size, interpolation=cv2.INTER_CUBIC)
        out += share * blur
    return out
