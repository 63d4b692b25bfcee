"""The pose image: the lines of a face, in the colours that these checkpoints were trained on.

Thin lines between landmarks of MediaPipe's face mesh, on black. Colours are in the order in which
the network sees the channels. Eyes, brows, lips and the oval without the forehead; no dots and no
irises.
"""

from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float, UInt8

DRAWN_AT = 512
"""Pixels of the shorter side of the picture that lines are drawn on, then it is resized."""
_THICKNESS = 2
_Colour = tuple[int, int, int]
_CHAINS: tuple[tuple[_Colour, tuple[tuple[int, ...], ...]], ...] = (
    (
        (10, 200, 180),  # the person's right eye
        (
            (33, 7, 163, 144, 145, 153, 154, 155, 133),
            (33, 246, 161, 160, 159, 158, 157, 173, 133),
        ),
    ),
    ((10, 220, 180), ((46, 53, 52, 65, 55), (70, 63, 105, 66, 107))),
    (
        (180, 200, 10),
        (
            (263, 249, 390, 373, 374, 380, 381, 382, 362),
            (263, 466, 388, 387, 386, 385, 384, 398, 362),
        ),
    ),
    ((180, 220, 10), ((276, 283, 282, 295, 285), (300, 293, 334, 296, 336))),
    (
        (10, 200, 10),  # from temple to temple by the chin
        (
            (251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
            (152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21),
        ),
    ),
    ((10, 180, 20), ((61, 146, 91, 181, 84, 17),)),
    ((20, 10, 180), ((17, 314, 405, 321, 375, 291),)),
    ((100, 100, 30), ((78, 95, 88, 178, 87, 14),)),
    ((100, 150, 50), ((14, 317, 402, 318, 324, 308),)),
    ((20, 80, 100), ((61, 185, 40, 39, 37, 0),)),
    ((80, 100, 20), ((0, 267, 269, 270, 409, 291),)),
    ((120, 100, 200), ((78, 191, 80, 81, 82, 13),)),
    ((150, 120, 100), ((13, 312, 311, 310, 415, 308),)),
)
LINES: tuple[tuple[int, int, _Colour], ...] = tuple(
    (a, b, colour) for colour, chains in _CHAINS for chain in chains for a, b in pairwise(chain)
)
"""(landmark, landmark, colour), in the order in which they are drawn."""


def draw_pose(
    points: Float[np.ndarray, "n 2"], width: int, height: int
) -> UInt8[np.ndarray, "height width 3"]:
    """A face as lines. `points` are landmarks as shares of the picture's width and height; a line
    with an end outside of the picture is left out.
    """
    scale = DRAWN_AT / min(width, height)
    wide, high = round(width * scale), round(height * scale)
    picture = np.zeros((high, wide, 3), np.uint8)
    within = (points >= 0) & (points <= 1)
    inside = within[:, 0] & within[:, 1]
    size = np.array([wide, high])
    pixels = np.minimum(np.floor(points * size).astype(int), size - 1)
    for a, b, colour in LINES:
        if inside[a] and inside[b]:
            ends = (tuple(map(int, pixels[a])), tuple(map(int, pixels[b])))
            cv2.line(picture, *ends, colour, _THICKNESS)
    if (wide, high) == (width, height):
        return picture
    return cv2.resize(picture, (width, height)).astype(np.uint8)
