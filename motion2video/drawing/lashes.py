"""Lids that close without drawing out their lashes.

An open eye's lashes lie in the photo on a narrow strip of its lid, which is all of the lid that is
seen, and which a mesh draws out to many times its height as the lid comes down: the lashes over
all of it, like paint. So this strip has a line of points more, above the lashes. What is below it
goes down with the lid's edge as it is; the skin above it is what is drawn out.
"""

import numpy as np
from jaxtyping import Float, Int, Integer

from motion2video.geometry.basis import interocular

EDGES = {
    33: 33,
    246: 247,
    161: 30,
    160: 29,
    159: 27,
    158: 28,
    157: 56,
    173: 190,
    133: 133,
    263: 263,
    466: 467,
    388: 260,
    387: 259,
    386: 257,
    385: 258,
    384: 286,
    398: 414,
    362: 362,
}
"""The keypoints of upper lids' edges, from corner to corner, and those above them."""
BELOW = {
    246: 7,
    161: 163,
    160: 144,
    159: 145,
    158: 153,
    157: 154,
    173: 155,
    466: 249,
    388: 390,
    387: 373,
    386: 374,
    385: 380,
    384: 381,
    398: 382,
}
"""And those of the lower lids' edges."""
SHARE = 0.5
"""Of the way from a lid's edge up to the next keypoint: how far lashes reach."""
HANG, NEAR = 0.03, 0.06
"""Interocular distances that a shut lid's edge hangs over the lower one, and that it is nearer."""
SHUTS, SHUT = 0.5, 0.9
"""How far a lid has come down where its edge begins to hang over, and where it does wholly."""
_INNER = np.array([edge for edge, above in EDGES.items() if edge != above])
_ABOVE = np.array([EDGES[edge] for edge in _INNER.tolist()])
_BELOW = np.array([BELOW[edge] for edge in _INNER.tolist()])
BASE: Int[np.ndarray, "n"] = np.concatenate([np.arange(478), _INNER, _INNER])
"""Of every point, those above the lashes and at their roots included, whose keypoint it is."""


def with_lashes(
    marks: Float[np.ndarray, "478 3"], open_eyes: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, "m 3"]:
    """The points above the lashes, and at their roots. `open_eyes` are the same landmarks without
    the blink.
    """
    unit = interocular(marks)
    up = marks[_ABOVE] - marks[_INNER]
    now = np.maximum(np.linalg.norm(up[:, :2], axis=1), 1e-6)
    high = np.linalg.norm((open_eyes[_ABOVE] - open_eyes[_INNER])[:, :2], axis=1)
    gaps = [np.linalg.norm((m[_INNER] - m[_BELOW])[:, :2], axis=1) for m in (marks, open_eyes)]
    down = 1 - gaps[0] / np.maximum(gaps[1], 1e-6)
    shut = np.clip((down - SHUTS) / (SHUT - SHUTS), 0, 1)[:, None]
    share = SHARE * np.minimum(1, high / now)
    roots = marks[_INNER] - shut * HANG * unit * up / now[:, None]
    points = np.concatenate([marks[_INNER] + share[:, None] * up, roots])
    points[:, 2] -= np.tile(shut[:, 0], 2) * NEAR * unit
    return points.astype(np.float32)


def split(triangles: Integer[np.ndarray, "n 3"], first: int) -> Int[np.ndarray, "m 3"]:
    """The face's triangles with the lids' strips in two; the points of `with_lashes` have numbers
    from `first` on.
    """
    above = {edge: first + i for i, edge in enumerate(_INNER.tolist())}
    roots = {edge: first + len(_INNER) + i for i, edge in enumerate(_INNER.tolist())}
    ring = set(_ABOVE.tolist())
    corners = [edge for edge, over in EDGES.items() if edge == over]
    out, strip = [], []
    for triangle in triangles.tolist():
        edges = [v for v in triangle if v in above]
        over = [v for v in triangle if v in ring]
        if not edges or not (over or (len(edges) == 2 and any(v in corners for v in triangle))):
            out.append(triangle)
            continue
        out.append([above.get(v, v) for v in triangle])
        on_lid = [k for k in range(3) if triangle[k] in above or triangle[k] in corners]
        if len(on_lid) == 2:
            a, b = (triangle[k] for k in (on_lid if on_lid != [0, 2] else [2, 0]))
            low, high = (roots.get(a, a), roots.get(b, b)), (above.get(a, a), above.get(b, b))
            strip += [[*low, high[1]], [low[0], high[1], high[0]]]
    out += [t for t in strip if len(set(t)) == 3]
    return np.array(out, np.int64)
