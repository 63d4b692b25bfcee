"""A head in three dimensions drawn on a GPU, many frames at a time: what LayeredWarp does.

The portrait's layers lie on the device. Of a frame its few hundred points go up, what they are
moved to having been worked out on the CPU. It runs on any device and pays on a GPU.
"""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

import motion2video.drawing.raster as raster
from motion2video.drawing.canvas import GpuStage, sample
from motion2video.drawing.edges import AROUND, EDGE, JUMP, SHADE, SOFTNESS, THIN
from motion2video.drawing.inside import Inside
from motion2video.drawing.layered import (
    BEHIND,
    DARK,
    FACING,
    MUCH,
    NARROW,
    SHARP,
    LayeredWarp,
)
from motion2video.drawing.places import INNER_LIPS
from motion2video.drawing.windows import Brush

_FIRST = 1e5  # pixels of depth beyond all others: drawn before them
_REACH = 4  # pixels of the blur about edges


class LayeredCanvas(GpuStage):
    """The stage of a GPU for a head in layers: one portrait's on `device`."""

    def __init__(
        self, head: LayeredWarp, inside: Inside, brush: Brush, device: torch.device
    ) -> None:
        super().__init__(inside, brush, device)
        self._head = head

        def up(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self._atlas = _planes(up(head.atlas))
        both = np.concatenate([head.layers.within, head.layers.back[..., :3]], 1)
        self._within, self._rim = _planes(up(both)), _planes(up(head.rim[..., None]))
        self._plate, self._torso = _planes(up(head.layers.plate)), _planes(up(head.layers.torso))
        self._index = up(head.corners.astype(np.int64))
        self._source = up(head.source.astype(np.float32))
        self._turn = up(head.turn.astype(np.float32))
        self._places = up(head.shading.places)
        self._creases = [_planes(up(crease.gain)) for crease in head.shading.creases]
        eyes, skin, front, back = (len(part) for part in head.parts)
        order = torch.arange(eyes + skin + front + back, device=device)
        self._eyes = eyes
        self._beyond = eyes + skin + front + head.shell.nape  # where the rest of the back begins
        self._nape = (order >= eyes + skin + front) & (order < self._beyond)
        self._turns = [
            order >= eyes + skin + front,
            (order < eyes) | (order >= eyes + skin) & (order < eyes + skin + front),
            (order >= eyes) & (order < eyes + skin),
        ]
        """The back of the head, what is before it, the face's skin."""
        height, width = head.size
        self._side = max(height, width)
        self._pixels = raster.grid_of(self._side, device)[:height, :width]

    def drawn(
        self,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> Float[Tensor, "n c h w"]:
        """See GpuStage.drawn, and LayeredWarp.warp."""
        head = self._head
        placed = [head.placed(*both) for both in zip(landmarks, open_eyes, strict=True)]
        moved, lips, below, lean = (
            torch.from_numpy(np.stack(some).astype(np.float32)).to(self.device)
            for some in (
                [one.points for one in placed],
                [one.marks[INNER_LIPS, :2] for one in placed],
                [one.eyes for one in placed],
                [one.lean for one in placed],
            )
        )
        corners = moved[:, self._index]
        balls = slice(head.lids, self._eyes)
        corners[:, balls] = below[:, self._index[balls]]
        drawn = self._ids(corners, lips)
        maps = _affine_planes(corners[..., :2], self._source)
        grid, coarse = self._grid(maps, drawn.ids)
        rgba = self._shown(grid).round()
        if (drawn.behind >= 0).any():
            below = self._shown(self._grid(maps, drawn.lapped)[0])
            closed = _closed(rgba, drawn, head.lap)
            rgba = self._before_itself(rgba, drawn, grid, closed)
            rgba = _over(rgba, below, drawn, closed, head.lap)
        weight = _feather(drawn.ids >= 0, rgba[:, 3:])
        weight = torch.where(drawn.opened[:, None], 1.0, weight)
        colour = _soothed(rgba[:, :3].round(), grid, coarse)
        colour = (colour * self._shaded([one.marks for one in placed], grid)).clamp(0, 255)
        dark = torch.tensor(DARK, device=self.device, dtype=torch.float32).view(1, 3, 1, 1)
        colour = torch.where(drawn.opened[:, None], dark, colour)
        colour = _sealed(colour, drawn.opened[:, None].float())
        under, torso = self._leaning(lean)
        frames = (colour * weight + under * (1 - weight)).round()
        if head.see_through:
            frames = self._cut_out(frames, torso + weight * (1 - torso))
        pad = head.pad
        frames = frames[..., pad:-pad, pad:-pad]
        return F.avg_pool2d(frames, head.fineness).round().contiguous()

    def _shaded(
        self, marks: list[Float[np.ndarray, "478 3"]], grid: Float[Tensor, "n h w 2"]
    ) -> Float[Tensor, "n 3 h w"]:
        """See Shading.shade."""
        seen = [self._head.shading.seen(one) for one in marks]
        ratios = torch.from_numpy(np.stack([ratio for ratio, _ in seen]))
        at_once = rearrange(ratios.to(self.device), "n h w c -> n c h w")
        places = self._places.expand(len(marks), -1, -1, -1)
        height, width = self._head.size
        on_photo = torch.ones(len(marks), 3, height, width, device=self.device)
        here = sample(at_once, places)
        for k, gain in enumerate(self._creases):
            share = torch.tensor([gone[k] for _, gone in seen], device=self.device)
            here = here * (1 + share.float().view(-1, 1, 1, 1) * gain)
        on_photo[:, :, *self._head.shading.window] = here
        return sample(on_photo, grid)

    def _ids(self, corners: Float[Tensor, "n m 3 3"], lips: Float[Tensor, "n k 2"]) -> "_Ids":
        """See LayeredWarp._raster."""
        shown = _area(corners) * self._turn
        _, before, skin = self._turns
        facing = (shown > FACING) | (shown > 0) & skin | (self._turn == 0) | before
        filling = self._nape & ~facing
        facing = facing | self._nape
        depth = corners[..., 2].mean(2) + filling * _FIRST
        depth[:, : self._eyes] += BEHIND * self._head.unit
        depth[:, : self._head.lids] += BEHIND * self._head.unit
        height, width = self._head.size
        away = torch.full_like(corners[:, :, :, :2], -4.0 * self._side)
        flat = torch.where(facing[..., None, None], corners[..., :2], away)
        order = depth.sort(dim=1, descending=True, stable=True).indices
        nothing = torch.full((len(order), height, width), -1, device=corners.device)
        found, lapped = [], nothing
        for part, turn in enumerate(self._turns):
            if not turn.any():
                found.append(nothing)
                continue
            chosen = order[turn[order]].view(len(order), -1)
            triangles = torch.gather(flat, 1, chosen[..., None, None].expand(-1, -1, 3, 2))
            numbers = raster.draw_triangles(triangles, self._side)[:, :height, :width]
            found.append(_chosen(chosen, numbers))
            if part == 0:
                laps = _chosen(chosen, numbers) >= self._beyond
                lapped = _chosen(chosen, _lapped(numbers, laps, self._head.lap))
        hole = raster.fill_polygons(lips, self._side)[:, :height, :width] > 0.5
        behind, front, face = found
        laps = behind >= self._beyond
        early = torch.where(front >= 0, front, behind)
        ids = torch.where(face >= 0, face, torch.where(hole, -1, early))
        opened = hole & (face < 0)
        return _Ids(torch.where(opened, 0, ids), behind, laps, lapped, opened)

    def _shown(
        self, grid: Float[Tensor, "n h w 2"], atlas: Float[Tensor, "1 c H W"] | None = None
    ) -> Float[Tensor, "n c h w"]:
        """The atlas, or another one, at the places of a map."""
        mode = "bilinear" if self._head.sampling == "linear" else "bicubic"
        source = self._atlas if atlas is None else atlas
        return sample(source.expand(len(grid), -1, -1, -1), grid, mode).clamp(0, 255)

    def _before_itself(
        self,
        rgba: Float[Tensor, "n 4 h w"],
        drawn: "_Ids",
        grid: Float[Tensor, "n h w 2"],
        closed: Float[Tensor, "n 1 h w"],
    ) -> Float[Tensor, "n 4 h w"]:
        """Where the back is under it, the front in the colours within: see _lay_over_back."""
        edge = sample(self._rim.expand(len(grid), -1, -1, -1), grid.round()) > 0.5
        size = (2 * self._head.lap + 1, 1, self._head.lap)
        outside = F.max_pool2d(1 - closed, *size)[:, 0] > 0
        over = (drawn.lapped >= 0) & (drawn.ids >= 0) & (drawn.ids != drawn.lapped) & ~outside
        clean = self._shown(grid, self._within).round()
        colour = torch.where(edge & over[:, None], clean, rgba[:, :3])
        return torch.cat([colour, rgba[:, 3:]], 1)

    def _grid(
        self, maps: Float[Tensor, "n m 3 2"], ids: Int[Tensor, "n h w"]
    ) -> tuple[Float[Tensor, "n h w 2"], Float[Tensor, "n h w"]]:
        """See LayeredWarp._grid."""
        which = torch.arange(len(ids), device=self.device)[:, None, None]
        at = maps[which, ids.clamp(min=0)]
        grid = (at[..., :2, :] * self._pixels[..., None]).sum(-2) + at[..., 2, :]
        both = maps[:, :, :2].square().sum((2, 3))
        area = maps[..., 0, 0] * maps[..., 1, 1] - maps[..., 0, 1] * maps[..., 1, 0]
        root = (both.square() - 4 * area.square()).clamp(min=0).sqrt()
        fewest = (both - root).clamp(min=5e-3) / 2
        coarse = ((fewest.rsqrt() - SHARP) / SHARP).clamp(0, 1) * 255
        return grid, coarse[which, ids.clamp(min=0)]

    def _cut_out(
        self, frames: Float[Tensor, "n 3 h w"], cover: Float[Tensor, "n 1 h w"]
    ) -> Float[Tensor, "n 4 h w"]:
        """See edges.cut_out."""
        shares = (cover * 255).round()
        own = (frames - (1 - cover) * self._plate) / cover.clamp(min=1 / 255)
        own = torch.where((shares > 0) & (shares < 255), own.round().clamp(0, 255), frames)
        return torch.cat([own, shares], 1)

    def _leaning(
        self, lean: Float[Tensor, "n 2 3"]
    ) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n 1 h w"]]:
        """The plate with the torso over it, and how much that covers; see LayeredWarp._lean."""
        back = torch.linalg.inv(lean[:, :, :2])
        away = self._pixels[None] - lean[:, None, None, :, 2]
        grid = torch.einsum("nhwc,ndc->nhwd", away, back)
        torso = sample(self._torso.expand(len(lean), -1, -1, -1), grid)
        weight = torso[:, 3:] / 255
        return (torso[:, :3].round() * weight + self._plate * (1 - weight)).round(), weight


@dataclass(frozen=True, eq=False)
class _Ids:
    """Per pixel the triangle that it shows, -1 for none (`ids`), that of the back of the head
    (`behind`), whether that goes on into gaps (`laps`), the same drawn a little over its edge
    (`lapped`), and whether it is in an open mouth.
    """

    ids: Int[Tensor, "n h w"]
    behind: Int[Tensor, "n h w"]
    laps: Bool[Tensor, "n h w"]
    lapped: Int[Tensor, "n h w"]
    opened: Bool[Tensor, "n h w"]


def _chosen(chosen: Int[Tensor, "n m"], numbers: Int[Tensor, "n h w"]) -> Int[Tensor, "n h w"]:
    """Places in drawing order to the triangles there."""
    which = torch.gather(chosen, 1, numbers.flatten(1).clamp(min=0).long())
    return torch.where(numbers < 0, -1, which.view_as(numbers))


def _lapped(
    numbers: Int[Tensor, "n h w"], laps: Bool[Tensor, "n h w"], lap: int
) -> Int[Tensor, "n h w"]:
    """What was drawn, `lap` pixels over its edge where it `laps`; of several the one that was drawn
    last.
    """
    near = torch.where(laps, numbers, -1)[:, None].float()
    near = F.max_pool2d(near, 2 * lap + 1, 1, lap)[:, 0]
    return torch.where(numbers >= 0, numbers, near.to(numbers.dtype))


def _sealed(
    colour: Float[Tensor, "n 3 h w"], gap: Float[Tensor, "n 1 h w"]
) -> Float[Tensor, "n 3 h w"]:
    """See edges.seal."""
    tall = ((THIN, 1), 1, (THIN // 2, 0))
    wide = F.max_pool2d(-F.max_pool2d(-gap, *tall), *tall)
    bare = 1 - gap
    around = _mean(colour * bare, AROUND) / _mean(bare, AROUND).clamp(min=1e-3)
    return torch.where(gap > wide, (SHADE * around).round(), colour)


def _closed(front: Float[Tensor, "n 4 h w"], drawn: _Ids, lap: int) -> Float[Tensor, "n 1 h w"]:
    """1 where a person is, and in narrow gaps between two parts of theirs."""
    covers = (drawn.behind >= 0)[:, None].float()
    size = (2 * lap + 1, 1, lap)
    bare = (front[:, 3:] < 255) | (drawn.ids < 0)[:, None]
    strands = 1 - F.max_pool2d(bare.float(), *size)
    solid = covers.maximum(F.max_pool2d(strands, *size))
    closed = 1 - F.max_pool2d(1 - F.max_pool2d(solid, *size), *size)
    return closed


def _over(
    front: Float[Tensor, "n 4 h w"],
    back: Float[Tensor, "n 4 h w"],
    drawn: _Ids,
    closed: Float[Tensor, "n 1 h w"],
    lap: int,
) -> Float[Tensor, "n 4 h w"]:
    """See LayeredWarp._lay_over_back."""
    under, covers = drawn.lapped, (drawn.behind >= 0)[:, None].float()
    seen = (front[:, 3:] < 255) & (closed > 0) & ((under >= 0) & (drawn.ids != under))[:, None]
    much = _mean(drawn.laps[:, None].float(), 4 * lap + 1)
    round_ = (3 * _mean(closed, 2 * lap + 1) - 1).clamp(0, 1)
    lies = (((much - MUCH) / MUCH).clamp(0, 1) * round_).maximum(covers)
    share = front[:, 3:] / 255
    beneath = (1 - share) * lies * back[:, 3:] / 255
    whole = (share + beneath).clamp(min=1e-6)
    mixed = (front[:, :3] * share + back[:, :3] * beneath) / whole
    return torch.where(seen, torch.cat([mixed, 255 * whole], 1), front)


def _area(corners: Float[Tensor, "n m 3 c"]) -> Float[Tensor, "n m"]:
    """See head.signed_area."""
    a, b = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    return 0.5 * (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _affine_planes(
    moved: Float[Tensor, "n m 3 2"], source: Float[Tensor, "m 3 2"]
) -> Float[Tensor, "n m 3 2"]:
    """See layered._affine_planes."""
    edges, steps = moved[:, :, 1:] - moved[:, :, :1], source[:, 1:] - source[:, :1]
    det = edges[..., 0, 0] * edges[..., 1, 1] - edges[..., 0, 1] * edges[..., 1, 0]
    three = torch.cat([edges, edges[:, :, :1] - edges[:, :, 1:]], 2)
    narrow = det.abs() < NARROW * three.abs().amax((2, 3))
    turned = edges.transpose(2, 3)
    square = turned @ edges + narrow[..., None, None] * torch.eye(2, device=moved.device)
    a = torch.linalg.solve(square, turned @ steps)
    c = source.mean(1) - (moved.mean(2, keepdim=True) @ a)[:, :, 0]
    return torch.cat([a, c[:, :, None]], 2)


def _soothed(
    colour: Float[Tensor, "n 3 h w"], grid: Float[Tensor, "n h w 2"], coarse: Float[Tensor, "n h w"]
) -> Float[Tensor, "n 3 h w"]:
    """See edges.soothed."""
    edge = torch.zeros_like(coarse)
    across = (grid[:, :, 1:, 0] - grid[:, :, :-1, 0]).abs() > JUMP
    along = (grid[:, 1:, :, 1] - grid[:, :-1, :, 1]).abs() > JUMP
    for part, jumps in (
        (edge[:, :, 1:], across),
        (edge[:, :, :-1], across),
        (edge[:, 1:], along),
        (edge[:, :-1], along),
    ):
        part[jumps] = EDGE
    weight = torch.maximum(edge, _mean(coarse[:, None], 9)[:, 0])[:, None] / 255
    blurred = rearrange(
        raster.blur(rearrange(colour, "n c h w -> (n c) h w"), SOFTNESS, _REACH),
        "(n c) h w -> n c h w",
        c=3,
    )
    return blurred * weight + colour * (1 - weight)


def _feather(
    drawn: Bool[Tensor, "n h w"], alpha: Float[Tensor, "n 1 h w"]
) -> Float[Tensor, "n 1 h w"]:
    """See edges.feather."""
    solid = drawn[:, None] * 255.0
    inside = (2 * _mean(solid, 5) - 255).clamp(min=0)
    return torch.minimum(_mean(torch.minimum(alpha, solid), 3), inside) / 255


def _mean(planes: Float[Tensor, "n c h w"], width: int) -> Float[Tensor, "n c h w"]:
    """The mean of a square of `width` pixels, mirrored at the edges."""
    return F.avg_pool2d(F.pad(planes, (width // 2,) * 4, mode="reflect"), width, 1)


def _planes(image: Tensor) -> Float[Tensor, "1 c h w"]:
    return rearrange(image, "h w c -> 1 c h w").float().contiguous()
