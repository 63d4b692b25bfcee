"""Shoulders that a photo cuts off at its sides, in a wider frame before something else: they go on
and come down to the frame's bottom, each line of cloth along the outline, still or moving.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

_TALLEST = 0.5
"""Of the photo's height: what is cut higher up is no shoulder, or too near to be gone on."""
_LEAST = 0.01
_INSET = 0.02
"""Of the photo's width: at its very side the person cannot be told from what is behind."""
_FLATTEST, _STEEPEST = 0.15, 1.2
"""Pixels down by pixels out, where the photo ends."""
_NEAR = 0.06
"""Of the photo's width: so far from its side the slope there is looked at."""
_WIDE = 1.5
"""How far a shoulder goes on, by its height at the photo's side."""
_ABOVE = 0.02
"""Of the photo's height: so far above the outline at rest a moving one is expected."""


@dataclass(frozen=True, eq=False)
class _Side:
    """One shoulder: which column of the drawing goes on, into which `columns` and `rows` of the
    frame, nearest first; from which row of the drawing each pixel there is, and how much of it.
    `tall` is how high it is there.
    """

    edge: int
    tall: int
    columns: Int[np.ndarray, "d"]
    rows: slice
    source: Float[np.ndarray, "r d"]
    weight: Float[np.ndarray, "r d 1"]

    def go_on(self, frame: UInt8[np.ndarray, "H W c"], drawn: UInt8[np.ndarray, "h w c"]) -> None:
        """Write it into the frame."""
        line = drawn[:, self.edge].astype(np.float32)
        first = np.floor(self.source).astype(int)
        then = np.minimum(first + 1, len(line) - 1)
        share = (self.source - first)[..., None]
        told = line[first] * (1 - share) + line[then] * share
        there = frame[self.rows, self.columns]
        mixed = there * (1 - self.weight) + told * self.weight
        frame[self.rows, self.columns] = np.clip(np.round(mixed), 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Shoulders:
    """Those of both sides that are cut, none where nobody is."""

    sides: tuple[_Side, ...] = ()

    def leave(self, alpha: Float[np.ndarray, "h w"]) -> float:
        """Of the height of a photo: how much more of the person is cut at one of its sides than
        goes on.
        """
        middle, known = alpha.shape[1] / 2, {False: 0, True: 0}
        known |= {side.edge > middle: side.tall for side in self.sides}
        cut = {side > 0: int((alpha[:, side] > 0.5).sum()) for side in (0, alpha.shape[1] - 1)}
        return max(0, *(cut[side] - known[side] for side in known)) / len(alpha)

    def go_on(self, frame: UInt8[np.ndarray, "H W c"], drawn: UInt8[np.ndarray, "h w c"]) -> None:
        """Write them into a frame that has the drawing at its bottom."""
        for side in self.sides:
            side.go_on(frame, drawn)


def height_at(alpha: Float[np.ndarray, "h w"], column: int) -> int:
    """Rows of a column, counted from below, in which the person is, up to the first where they are
    not.
    """
    free = np.flatnonzero(alpha[::-1, column] < 0.5)
    return int(free[0]) if len(free) else len(alpha)


def shoulders(
    alpha: Float[np.ndarray, "h w"], place: tuple[int, int], frame_width: int, flat: bool
) -> Shoulders:
    """What goes on of a person (`alpha`) whose photo lies at `place` (x, y), to the bottom of a
    frame so wide. Where the ground is `flat`, of one colour or none, what is drawn on it at the
    photo's side goes on as it is; elsewhere as much of it as is the person's.
    """
    (x, y), (height, width) = place, alpha.shape
    sides = []
    if frame_width == width:
        return Shoulders()
    inset = max(1, round(_INSET * width))
    for edge, inward, columns in (
        (inset, 1, np.arange(x + inset - 1, -1, -1)),
        (width - 1 - inset, -1, np.arange(x + width - inset, frame_width)),
    ):
        tall = height_at(alpha, edge)
        if not _LEAST * height < tall < _TALLEST * height:
            continue
        near = max(2, round(_NEAR * width))
        slope = (height_at(alpha, edge + inward * near) - tall) / near
        slope = float(np.clip(slope, _FLATTEST, _STEEPEST))
        out = np.arange(1, len(columns) + 1, dtype=np.float32)
        wide = _WIDE * tall
        down = slope * out + max(0.0, (tall - slope * wide) / wide**2) * out**2
        above = round(_ABOVE * height)
        first = max(0, height - tall - above)
        rows = np.arange(first, height, dtype=np.float32)[:, None]
        source = rows - down
        column = cv2.dilate(alpha[:, edge : edge + 1], np.ones((2 * (above // 2) + 1, 1)))
        column[: height - tall - above] = 0
        shares = np.ones(height, np.float32) if flat else column[:, 0].astype(np.float32)
        weight = shares[np.clip(np.round(source), 0, height - 1).astype(int)]
        weight[source < first] = 0
        sides.append(
            _Side(
                edge,
                tall,
                columns,
                slice(y + first, y + height),
                np.clip(source, 0, height - 1),
                weight[..., None],
            )
        )
    return Shoulders(tuple(sides))
