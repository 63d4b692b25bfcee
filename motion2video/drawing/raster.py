"""Drawing on a GPU, many frames at a time: mesh triangles, polygons, discs and soft edges.

What OpenCV's fillConvexPoly, fillPoly, circle and GaussianBlur do on the CPU, within the rounding
of an edge's pixels. Coordinates are pixels, whole numbers at pixel centres.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

_EDGE = 0.5  # pixels that a filled triangle reaches over its edges
_POLYGON_EDGE, _DISC_EDGE = 0.63, 0.42  # pixels outside at which LINE_AA covers half of one
_SOFTNESS = 0.22
_SMALL = 32  # pixels: wider triangles are drawn apart, so that they do not cost all the others


def grid_of(size: int, device: torch.device) -> Float[Tensor, "s s 2"]:
    """(x, y) of every pixel."""
    at = torch.arange(size, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y], -1)


def draw_triangles(corners: Float[Tensor, "n m 3 2"], size: int) -> Int[Tensor, "n s s"]:
    """Per pixel the last of m triangles that covers it, -1 where none does."""
    n, m = corners.shape[:2]
    out = torch.full((n, size * size), -1, dtype=torch.int32, device=corners.device)
    corners = corners.clamp(-size, 2 * size)
    low, high = corners.amin(2), corners.amax(2)
    widest = (high - low).amax((0, 2)).cpu()
    numbers = torch.arange(m, dtype=torch.int32, device=corners.device)
    for wide in (False, True):
        chosen = torch.nonzero((widest > _SMALL) == wide).flatten()
        if len(chosen):
            reach = int(widest[chosen].max()) + 3
            chosen = chosen.to(corners.device)
            _draw(out, corners[:, chosen], low[:, chosen], numbers[chosen], reach, size)
    return out.view(n, size, size)


def _draw(
    out: Int[Tensor, "n p"],
    corners: Float[Tensor, "n m 3 2"],
    low: Float[Tensor, "n m 2"],
    numbers: Int[Tensor, "m"],
    reach: int,
    size: int,
) -> None:
    """Every triangle in a square of `reach` pixels of its own; the greatest number stays."""
    start = (low - _EDGE).ceil()
    at = start[:, :, None, None] + grid_of(reach, out.device)
    inside = ((at >= 0) & (at < size)).all(-1)
    turn = _cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    turn = torch.where(turn < 0, -1.0, 1.0)[..., None, None]
    for a, b in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, :, b] - corners[:, :, a]
        length = edge.norm(dim=-1).clamp(min=1e-3)[..., None, None]
        beside = _cross(edge[:, :, None, None], at - corners[:, :, a, None, None])
        inside &= beside * turn >= -_EDGE * length
    high = corners.amax(2)[:, :, None, None] + _EDGE
    inside &= (at <= high).all(-1)
    pixel = (at[..., 1] * size + at[..., 0]).long().clamp(0, size * size - 1)
    value = torch.where(inside, numbers[None, :, None, None], -1)
    out.scatter_reduce_(1, pixel.flatten(1), value.flatten(1), "amax")


def _cross(a: Float[Tensor, "*n 2"], b: Float[Tensor, "*k 2"]) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def fill_polygons(points: Float[Tensor, "n v 2"], size: int) -> Float[Tensor, "n s s"]:
    """0..1: how much of every pixel lies inside each polygon (even-odd rule), soft at the edge."""
    at = grid_of(size, points.device)[None, :, :, None]
    a, b = points[:, None, None], points.roll(-1, 1)[:, None, None]
    edge, away = b - a, at - a
    along = (away * edge).sum(-1) / edge.square().sum(-1).clamp(min=1e-6)
    far = (away - edge * along.clamp(0, 1)[..., None]).square().sum(-1).amin(-1).sqrt()
    crosses = (a[..., 1] > at[..., 1]) != (b[..., 1] > at[..., 1])
    height = torch.where(edge[..., 1].abs() < 1e-9, torch.ones_like(edge[..., 1]), edge[..., 1])
    left = at[..., 0] < a[..., 0] + away[..., 1] / height * edge[..., 0]
    inside = (crosses & left).sum(-1) % 2 == 1
    return torch.sigmoid((_POLYGON_EDGE + torch.where(inside, far, -far)) / _SOFTNESS)


def fill_discs(
    centres: Float[Tensor, "n 2"], radii: Float[Tensor, "n"], size: int
) -> Float[Tensor, "n s s"]:
    """0..1: how much of every pixel lies inside each disc."""
    away = grid_of(size, centres.device)[None] - centres[:, None, None]
    beyond = away.norm(dim=-1) - radii[:, None, None]
    return torch.sigmoid((_DISC_EDGE - beyond) / _SOFTNESS)


def blur(planes: Float[Tensor, "n s t"], sigma: float, reach: int) -> Float[Tensor, "n s t"]:
    """A Gaussian of 2 reach + 1 pixels, mirrored at the edges."""
    at = torch.arange(-reach, reach + 1, device=planes.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    x = F.pad(planes[:, None], (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(x, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))[:, 0]


def dilate(planes: Float[Tensor, "n s t"], reach: int) -> Float[Tensor, "n s t"]:
    """The greatest value within a square of 2 reach + 1 pixels."""
    return F.max_pool2d(planes[:, None], 2 * reach + 1, 1, reach)[:, 0]


def depth_in(hole: Bool[Tensor, "n s t"]) -> Float[Tensor, "n s t"]:
    """0 outside a hole, and inside the distance to its edge as OpenCV's 3 x 3 mask counts it
    (.955 across an edge, 1.37 across a corner), up to 1.91.
    """
    outside = 1.0 - hole[:, None].float()
    near = F.max_pool2d(outside, 3, 1, 1)[:, 0]
    across = torch.maximum(
        F.max_pool2d(outside, (3, 1), 1, (1, 0)), F.max_pool2d(outside, (1, 3), 1, (0, 1))
    )[:, 0]
    inner = torch.where(across > 0, 0.955, torch.where(near > 0, 1.37, 1.91))
    return inner * hole
