"""Whether two faces are one person's, and by which expression they then differ.

Two faces of one person in the head frame differ by an expression that the face basis knows and by
the tracker's noise. Both are taken for normal, so that how unlikely a difference is, is a
Mahalanobis distance, and the expression is its most likely one. Depth, which is the tracker's
guess, and the irises, which look about, do not count.
"""

import numpy as np
from jaxtyping import Float

from motion2video.geometry.basis import FaceBasis
from motion2video.motion import DETAIL, EXPRESSION, MOTION_DIM

_SPREAD = np.r_[np.full(52, 0.15), np.full(32, 0.6)]  # of coefficients and of detail components
_NOISE = 0.006  # interocular distances
_POINTS = np.arange(0, 468, 3)  # neighbours err alike, and would count several times
_ONE_PERSON, _STRANGERS = 0.58, 0.66
"""Root mean squares of the deviations, up to which two faces are taken for one person's, and from
which for strangers'. Of pairs of strangers 3 in 100 are below the first; of neutral and smiling
portraits of one person 3 in 4 are, and of portraits that were tracked twice 98 in 100.
"""


def expression_between(
    rest: Float[np.ndarray, "478 3"], shown: Float[np.ndarray, "478 3"], basis: FaceBasis
) -> tuple[Float[np.ndarray, "1 90"], float]:
    """The most likely expression and detail that take one face to the other, as a row of a motion,
    and how far what is known of one person's faces is from this difference.
    """
    components = np.concatenate([basis.expression, basis.detail])[:, _POINTS, :2]
    moves = components.reshape(len(_SPREAD), -1).astype(np.float64) * _SPREAD[:, None]
    away = (shown - rest)[_POINTS, :2].reshape(-1).astype(np.float64)
    precision = moves @ moves.T / _NOISE**2 + np.eye(len(_SPREAD))
    amounts = np.linalg.solve(precision, moves @ away / _NOISE**2)
    square = (away @ away - away @ (moves.T @ amounts)) / _NOISE**2  # Woodbury
    row = np.zeros((1, MOTION_DIM), np.float32)
    row[0, EXPRESSION], row[0, DETAIL] = np.split(amounts * _SPREAD, [52])
    return row, float(np.sqrt(max(square, 0) / len(away)))


def one_person(distance: float) -> float:
    """How much two faces at a distance of `expression_between` are one person's: 1 to 0."""
    return float(np.clip((_STRANGERS - distance) / (_STRANGERS - _ONE_PERSON), 0, 1))
