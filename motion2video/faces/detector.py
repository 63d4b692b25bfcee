"""BlazeFace (Bazarevsky et al. 2019): where faces are in a picture, roughly."""

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from motion2video.faces.region import Region

_SIZE = 128
_ANCHORS = ((16, 2), (8, 6))  # cells a side, guesses a cell
_SURE = 0.5
_SAME = 0.3  # of the area of both, that two guesses at one face share
_GROWN = 1.5
_EYES = (0, 1)  # of a face's six points: those at the left and at the right of the picture

# Of every guess: the corners of its box, then its six points, in the square around the picture.
_Guesses = Float[np.ndarray, "n 8 2"]


def find_faces(session: Any, image: UInt8[np.ndarray, "H W 3"], at_most: int) -> list[Region]:
    """Where the landmarks of each face are to be looked for, surest first. `session` runs the
    detector's graph.
    """
    height, width = image.shape[:2]
    side = float(max(width, height))
    whole = Region(width / 2, height / 2, side, side)
    small = whole.crop(image, _SIZE, repeat=False).astype(np.float32) / 127.5 - 1
    boxes, logits = session.run(["boxes", "scores"], {"input": small.transpose(2, 0, 1)[None]})
    scores = 0.5 + 0.5 * np.tanh(logits[0, :, 0] / 2)  # the sigmoid, which cannot overflow
    sure = np.flatnonzero(scores >= _SURE)
    guesses = _decoded(boxes[0, sure], _anchors()[sure])
    found = []
    for face in _merged(guesses, scores[sure])[:at_most]:
        points = whole.place(face)
        start, end = points[2 + _EYES[0]], points[2 + _EYES[1]]
        found.append(Region.around(points[:2], start, end).grown(_GROWN))
    return found


@cache
def _anchors() -> Float[np.ndarray, "896 2"]:
    """The middles of the cells, once a guess."""
    found = []
    for cells, guesses in _ANCHORS:
        middle = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(middle, middle), -1).reshape(-1, 2)
        found.append(np.repeat(grid, guesses, axis=0))
    return np.concatenate(found)


def _decoded(raw: Float[np.ndarray, "n 16"], anchors: Float[np.ndarray, "n 2"]) -> _Guesses:
    """The network's numbers: a box's middle and size and six points, in its pixels; all but the
    size from the cell's middle.
    """
    pairs = raw.reshape(-1, 8, 2).astype(np.float64) / _SIZE
    middle, half = pairs[:, 0] + anchors, pairs[:, 1] / 2
    points = pairs[:, 2:] + anchors[:, None]
    return np.concatenate([(middle - half)[:, None], (middle + half)[:, None], points], axis=1)


def _merged(guesses: _Guesses, scores: Float[np.ndarray, "n"]) -> list[Float[np.ndarray, "8 2"]]:
    """One a face, surest first: the mean of the guesses that overlap, by how sure they are."""
    left = np.argsort(-scores, kind="stable")
    faces = []
    while len(left):
        same = _overlap(guesses[left], guesses[left[0]]) > _SAME
        same[0] = True
        faces.append(np.average(guesses[left[same]], axis=0, weights=scores[left[same]]))
        left = left[~same]
    return faces


def _overlap(boxes: _Guesses, box: Float[np.ndarray, "8 2"]) -> Float[np.ndarray, "n"]:
    """Shared area over the area of both together."""
    shared = np.minimum(boxes[:, 1], box[1]) - np.maximum(boxes[:, 0], box[0])
    both = np.clip(shared, 0, None).prod(-1)
    areas = (boxes[:, 1] - boxes[:, 0]).prod(-1) + (box[1] - box[0]).prod()
    return both / np.maximum(areas - both, 1e-9)
