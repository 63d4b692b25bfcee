"""Frames drawn on a GPU, many at a time: what FaceWarp and `crops` do on the CPU.

One portrait's photo and mesh lie on the device. A batch of keypoints goes up, frames come down;
nothing but a few numbers a frame is worked out on the CPU. It runs on any device and pays on a GPU.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

import motion2video.drawing.raster as raster
from motion2video.drawing.crops import plan_windows
from motion2video.drawing.inside import (
    Described,
    Inside,
    describe,
    finished,
    painted_area,
    soft_hole,
)
from motion2video.drawing.places import Place
from motion2video.drawing.stage import Frames
from motion2video.drawing.warp import CROP_SIZE, TEAR, FaceWarp
from motion2video.drawing.windows import Brush
from motion2video.geometry.basis import FACE_OVAL


class GpuStage(ABC):
    """What the stages of a GPU share: a batch of frames that lie on the `device`."""

    def __init__(self, inside: Inside, brush: Brush, device: torch.device) -> None:
        self.device, self.brush, self.inside = device, brush, inside

    @abstractmethod
    def drawn(
        self,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> Float[Tensor, "n c h w"]:
        """Whole frames on the device, 0..255: what Warp.warp gives one by one."""

    @torch.inference_mode()
    def begin(
        self,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> "Sheet":
        """See Stage.begin. Frames are filled up to the brush's batch: kernels may round otherwise
        for another number.
        """
        count = len(landmarks)
        if 0 < count < self.brush.batch:
            picks = [*range(count), *[count - 1] * (self.brush.batch - count)]
            landmarks, open_eyes = landmarks[picks], open_eyes[picks]
        plan = plan_windows(landmarks, open_eyes)
        return Sheet(self, count, self.drawn(landmarks, open_eyes), landmarks, **vars(plan))


class Canvas(GpuStage):
    """The stage of a GPU for a bent photo: one portrait's photo and mesh on `device`."""

    def __init__(self, warp: FaceWarp, inside: Inside, brush: Brush, device: torch.device) -> None:
        super().__init__(inside, brush, device)
        self._warp = warp
        plan = warp.pasting
        self.plan = plan
        self.image = _planes(torch.from_numpy(warp.image)[None].to(device))
        self.base = torch.from_numpy(plan.base).to(device)
        rows, columns = plan.rows, plan.columns
        ys = torch.arange(rows.stop - rows.start, device=device, dtype=torch.float32)
        xs = torch.arange(columns.stop - columns.start, device=device, dtype=torch.float32)
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        m = torch.from_numpy(plan.matrix.astype(np.float32)).to(device)
        self.to_crop = torch.stack([x, y, torch.ones_like(x)], -1) @ m.T
        self.offset = torch.from_numpy(plan.offset).to(device)
        mesh = warp.mesh
        self._eyes = torch.from_numpy(mesh.eyes).to(device)
        self._skin = torch.from_numpy(mesh.skin).long().to(device)
        self._source = torch.from_numpy(mesh.source).to(device)
        self._weights = torch.from_numpy(mesh.weights).to(device)
        self._nodes = torch.from_numpy(mesh.nodes).to(device)
        self._node_scale = torch.from_numpy(mesh.scale).to(device)
        self._rest = torch.from_numpy(mesh.oval).to(device)
        self._pixels = raster.grid_of(CROP_SIZE, device)
        outer = torch.from_numpy(mesh.to_field.astype(np.float32)).to(device)
        self._to_field = self._pixels @ outer[:, :2].T + outer[:, 2]

    def drawn(
        self,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> Float[Tensor, "n 3 h w"]:
        """See GpuStage.drawn."""
        to_crop = self._warp.crop.to_crop
        points, before = to_crop(landmarks[..., :2]), to_crop(open_eyes[..., :2])
        target, below, depth, oval = (
            torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.device)
            for x in (points, before, landmarks[..., 2], landmarks[:, FACE_OVAL, :2])
        )
        field = self._backward_field(oval)
        grid = rearrange(self._map(target, below, depth, field), "n h w c -> n c h w")
        return self._bent(grid, field)

    def _bent(
        self, grid: Float[Tensor, "n 2 s s"], field: Float[Tensor, "n 2 g g"]
    ) -> Float[Tensor, "n 3 h w"]:
        """The whole photo by its sampling maps; see FaceWarp._paste."""
        plan, n = self.plan, len(grid)
        x0, y0, x1, y1 = plan.window
        field = F.interpolate(field, (y1 - y0, x1 - x0), mode="bilinear", align_corners=False)
        whole = self.base - rearrange(field, "n c h w -> n h w c")
        places = self.to_crop.expand(n, -1, -1, -1)
        fine, nearest = sample(grid, places), sample(grid, places, "nearest")
        torn = (fine - nearest).abs().amax(1, keepdim=True) > TEAR
        fine = torch.where(torn, nearest, fine)
        inner = np.s_[:, plan.rows, plan.columns]
        whole[inner] = rearrange(fine, "n c h w -> n h w c") * plan.scale + self.offset
        frames = self.image.repeat(n, 1, 1, 1)
        frames[:, :, y0:y1, x0:x1] = sample(self.image.expand(n, -1, -1, -1), whole).round()
        return frames

    def _backward_field(self, oval: Float[Tensor, "n k 2"]) -> Float[Tensor, "n 2 g g"]:
        """See FaceWarp._backward_field."""
        forward = torch.einsum("ghk,nkc->ncgh", self._weights, oval - self._rest)
        backward = forward
        for _ in range(3):
            at = self._nodes - rearrange(backward, "n c g h -> n g h c") * self._node_scale
            backward = sample(forward, at)
        return backward

    def _map(
        self,
        target: Float[Tensor, "n 478 2"],
        below: Float[Tensor, "n 478 2"],
        depth: Float[Tensor, "n 478"],
        field: Float[Tensor, "n 2 g g"],
    ) -> Float[Tensor, "n s s 2"]:
        """Where every pixel of the crop comes from; see FaceWarp.warp."""
        n, eyes = len(target), self._eyes
        order = depth[:, self._skin].mean(2).sort(dim=1, descending=True, stable=True).indices
        skin = self._skin[order]
        source = torch.cat([self._source[eyes].expand(n, -1, -1, -1), self._source[skin]], 1)
        which = torch.arange(n, device=self.device)[:, None, None]
        moved = torch.cat([below[:, eyes], target[which, skin]], 1)
        ids = raster.draw_triangles(moved, CROP_SIZE)
        shift = rearrange(sample(field, self._to_field.expand(n, -1, -1, -1)), "n c h w -> n h w c")
        outer = self._pixels - shift * (CROP_SIZE / self._warp.crop.side)
        maps, number = _affine_maps(moved, source), ids.clamp(min=0).long()
        least, most = source.amin(2) - 1, source.amax(2) + 1
        at = maps[which, number]
        places = (at[..., :2] * self._pixels[:, :, None]).sum(-1) + at[..., 2]
        places = torch.maximum(torch.minimum(places, most[which, number]), least[which, number])
        return torch.where((ids >= 0)[..., None], places, outer)


@dataclass(eq=False)
class Sheet:
    """A batch of frames on its way: the `frames` on the device (0..255) with their `landmarks`; per
    window the `areas` to paint, the `places`, and in which frames it was `chosen`. The first
    `count` frames are wanted, the others fill the batch.
    """

    canvas: GpuStage
    count: int
    frames: Float[Tensor, "n c h w"]
    landmarks: Float[np.ndarray, "n 478 3"]
    areas: dict[str, list[UInt8[np.ndarray, "_ _"]]]
    places: dict[str, list[Place]]
    chosen: dict[str, Bool[np.ndarray, "n"]]
    described: dict[tuple[str, int], Described] = field(default_factory=dict)

    def paint(self) -> None:
        """See Begun.paint."""
        self.canvas.brush.paint(self)

    @torch.inference_mode()
    def conditions(self, name: str, picks: list[int]) -> Float[Tensor, "k 8 h w"]:
        """See Paintable.conditions."""
        known = self._described(name, picks)
        hole = torch.from_numpy(np.stack([one.hole for one in known])).to(self.canvas.device)
        drawn, features = (
            _planes(torch.from_numpy(np.stack(some)).to(self.canvas.device))
            for some in ([one.drawn for one in known], [one.features for one in known])
        )
        hole = hole[:, None] > 0
        image = torch.where(hole, drawn, self._cut(name, picks))
        planes = torch.cat([image, 255.0 * ~hole, features], 1) / 255
        return planes.contiguous(memory_format=torch.channels_last)

    def _described(self, name: str, picks: list[int]) -> list[Described]:
        for k in picks:
            if (name, k) not in self.described:
                place = self.places[name][k]
                known = describe(self.canvas.inside, self.landmarks[k], name, place)
                self.described[name, k] = known
        return [self.described[name, k] for k in picks]

    def _cut(self, name: str, picks: list[int]) -> Float[Tensor, "k 3 h w"]:
        """See Place.cut; a frame larger than the window is averaged instead of smoothed."""
        places = [self.places[name][k] for k in picks]
        width, height = places[0].size
        dense = max(1, round(0.8 / min(place.scale for place in places)))
        y, x = (
            (torch.arange(n * dense, device=self.canvas.device) + 0.5) / dense - 0.5
            for n in (height, width)
        )
        at = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        turns = np.stack([np.linalg.inv(place.matrix[:, :2]) for place in places])
        shifts = np.stack([place.matrix[:, 2] for place in places])
        matrix, shift = (
            torch.from_numpy(v.astype(np.float32)).to(self.canvas.device) for v in (turns, shifts)
        )
        grid = torch.einsum("hwc,kdc->khwd", at, matrix)
        grid = grid - torch.einsum("kc,kdc->kd", shift, matrix)[:, None, None]
        cut = sample(self.frames[picks, :3], grid, "bicubic").clamp(0, 255)
        return F.avg_pool2d(cut, dense).round()

    @torch.inference_mode()
    def put(self, name: str, picks: list[int], pictures: Float[Tensor, "k 3 h w"]) -> None:
        """See Paintable.put."""
        known, pictures = self._described(name, picks), pictures.mul(255).round()
        areas = [
            painted_area(self.areas[name][k], one) for k, one in zip(picks, known, strict=True)
        ]
        if name == "mouth":
            images = rearrange(pictures, "k c h w -> k h w c").byte().cpu().numpy()
            detail = self.canvas.inside.detail
            done = [finished(*one, detail) for one in zip(images, known, strict=True)]
            pictures = _planes(torch.from_numpy(np.stack(done)).to(self.canvas.device))
        self._lay(name, picks, pictures, areas)

    def _lay(
        self,
        name: str,
        picks: list[int],
        pictures: Float[Tensor, "k 3 h w"],
        areas: list[UInt8[np.ndarray, "_ _"]],
    ) -> None:
        """See Place.lay."""
        places, device = [self.places[name][k] for k in picks], self.canvas.device
        width, height = places[0].size
        reach = [place.reach(tuple(self.frames.shape[2:]), 1) for place in places]
        y0, x0 = (min(part[axis].start for part in reach) for axis in (0, 1))
        y1, x1 = (max(part[axis].stop for part in reach) for axis in (0, 1))
        y, x = torch.arange(y0, y1, device=device), torch.arange(x0, x1, device=device)
        at = torch.stack(
            [*torch.meshgrid(x, y, indexing="xy"), torch.ones(len(y), len(x)).to(x)], -1
        )
        matrix = np.stack([place.matrix for place in places]).astype(np.float32)
        grid = torch.einsum("hwc,kdc->khwd", at.float(), torch.from_numpy(matrix).to(device))
        over = sample(pictures.float(), grid, "bicubic").clamp(0, 255)
        alpha = torch.from_numpy(np.stack(areas)).to(device).float()
        edge = torch.tensor([width - 0.5, height - 0.5], device=device)
        inside = ((grid > -0.5) & (grid < edge)).all(-1)
        weight = sample(alpha[:, None], grid) / 255 * inside[:, None]
        part = self.frames[picks, :3, y0:y1, x0:x1]
        self.frames[picks, :3, y0:y1, x0:x1] = (part + weight * (over - part)).round()

    @torch.inference_mode()
    def put_drawn(self) -> None:
        """See Paintable.put_drawn."""
        picks = np.flatnonzero(self.chosen["mouth"]).tolist()
        if picks:
            known = self._described("mouth", picks)
            drawn = _planes(torch.from_numpy(np.stack([one.drawn for one in known])))
            areas = [soft_hole(one) for one in known]
            self._lay("mouth", picks, drawn.to(self.canvas.device), areas)

    @torch.inference_mode()
    def paste(self) -> Frames:
        """See Begun.paste. Every frame is an array of its own."""
        frames = rearrange(self.frames[: self.count], "n c h w -> n h w c").byte()
        return [np.ascontiguousarray(frame) for frame in frames.cpu().numpy()]


def sample(
    image: Float[Tensor, "n c h w"], grid: Float[Tensor, "n H W 2"], mode: str = "bilinear"
) -> Float[Tensor, "n c H W"]:
    """The picture at the places of a map in pixels, edges replicated (cv2.remap's convention)."""
    h, w = image.shape[2:]
    size = torch.tensor([w, h], device=grid.device, dtype=grid.dtype)
    at = (grid + 0.5) / size * 2 - 1
    return F.grid_sample(image, at, mode=mode, padding_mode="border", align_corners=False)


def _affine_maps(
    moved: Float[Tensor, "n m 3 2"], source: Float[Tensor, "n m 3 2"]
) -> Float[Tensor, "n m 2 3"]:
    """Per triangle the matrix that takes target pixels to source pixels."""
    e1, e2 = moved[:, :, 1] - moved[:, :, 0], moved[:, :, 2] - moved[:, :, 0]
    s1, s2 = source[:, :, 1] - source[:, :, 0], source[:, :, 2] - source[:, :, 0]
    det = e1[..., 0] * e2[..., 1] - e1[..., 1] * e2[..., 0]
    least = torch.where(det < 0, -1e-3, 1e-3)
    det = torch.where(det.abs() < 1e-3, least, det)[..., None]
    a = (s1 * e2[..., 1:] - s2 * e1[..., 1:]) / det
    b = (s2 * e1[..., :1] - s1 * e2[..., :1]) / det
    c = source[:, :, 0] - a * moved[:, :, 0, :1] - b * moved[:, :, 0, 1:]
    return torch.stack([a, b, c], -1)


def _planes(images: Tensor) -> Float[Tensor, "n c h w"]:
    return rearrange(images, "n h w c -> n c h w").float().contiguous()
