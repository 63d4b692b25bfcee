"""Frames drawn on a GPU, many at a time: what FaceWarp and `crops` do on the CPU.

One portrait's photo and mesh lie on the device. A batch of keypoints goes up, frames come down;
nothing but a few numbers a frame is worked out on the CPU. It runs on any device and pays on a GPU.
"""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

import motion2video.drawing.raster as raster
from motion2video.drawing.areas import (
    DARK,
    LASH_SHARE,
    LID_SHARE,
    LIP_LIKE,
    WINDOWS,
    lid_shares,
    lip_shares,
    window_corners,
)
from motion2video.drawing.stage import Frames
from motion2video.drawing.warp import (
    CROP_SIZE,
    INNER_LIPS,
    LEFT_EYE,
    LEFT_IRIS,
    OUTER_LIPS,
    RIGHT_EYE,
    RIGHT_IRIS,
    TEAR,
    FaceWarp,
)
from motion2video.drawing.windows import Brush
from motion2video.geometry.basis import FACE_OVAL
from motion2video.network.denoiser import FACTOR

_POLYGONS = (INNER_LIPS, OUTER_LIPS, RIGHT_EYE, LEFT_EYE)


class Canvas:
    """The stage of a GPU: one portrait's photo and mesh on `device`."""

    def __init__(self, warp: FaceWarp, brush: Brush, device: torch.device) -> None:
        self.device, self.brush, self._warp = device, brush, warp
        plan = warp.pasting
        self.plan = plan
        self.photo = torch.from_numpy(warp.image).to(device)
        self.image = _planes(self.photo[None])
        self._crop = _planes(torch.from_numpy(warp.crop_image)[None].to(device))
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
        to_crop = self._warp.crop.to_crop
        points, before = to_crop(landmarks[..., :2]), to_crop(open_eyes[..., :2])
        target, below, depth, oval = (
            torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.device)
            for x in (points, before, landmarks[..., 2], landmarks[:, FACE_OVAL, :2])
        )
        shapes = torch.stack([_even(target[:, one]) for one in _POLYGONS], 1)
        planes = rearrange(
            raster.fill_polygons(shapes.flatten(0, 1), CROP_SIZE), "(n k) h w -> n k h w", k=4
        )
        field = self._backward_field(oval)
        grid, known = self._map(target, below, depth, field, planes[:, 0])
        image = sample(self._crop.expand(len(grid), -1, -1, -1), grid).round()
        image = image * known[:, None]
        features = self._features(target, planes)
        unit = self._warp.crop_units(landmarks)
        shares = lip_shares(points, unit)
        corners = window_corners(points, unit)
        mouth = self._mouth(planes, shares)
        lids = lid_shares(points, before)
        eyes = self._lids(planes, below, lids)
        return Sheet(
            self,
            count,
            image,
            known,
            features,
            rearrange(grid, "n h w c -> n c h w"),
            field,
            {"mouth": mouth, "eyes": eyes},
            corners,
            {"mouth": shares[:, 0] > 0, "eyes": lids.max(1) > 0},
            image.clone(),
        )

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
        hole: Float[Tensor, "n s s"],
    ) -> tuple[Float[Tensor, "n s s 2"], Bool[Tensor, "n s s"]]:
        """Where every pixel of the crop comes from, and whether it does; see FaceWarp.warp."""
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
        grid = torch.where((ids >= 0)[..., None], places, outer)
        return grid, (ids >= 0) | (hole < 0.5)

    def _features(
        self, target: Float[Tensor, "n 478 2"], planes: Float[Tensor, "n 4 s s"]
    ) -> Float[Tensor, "n 4 s s"]:
        """See feature_map."""
        discs = []
        for iris in (RIGHT_IRIS, LEFT_IRIS):
            centre = target[:, iris[0]]
            radius = (target[:, iris[1:]] - centre[:, None]).norm(dim=-1).mean(1)
            discs.append(raster.fill_discs(centre, radius, CROP_SIZE))
        parts = planes[:, 0], planes[:, 1], planes[:, 2:].amax(1), torch.maximum(*discs)
        return (torch.stack(parts, 1) * 255).round()

    def _mouth(
        self, planes: Float[Tensor, "n 4 s s"], shares: Float[np.ndarray, "n 2"]
    ) -> Float[Tensor, "n s s"]:
        """See mouth_alpha."""
        inner = raster.blur(raster.dilate(planes[:, 0], 1), 1.2, 4)
        lips = raster.blur(planes[:, 1], 2.5, 8)
        opened, share = torch.from_numpy(shares.T[:, :, None, None].copy()).to(self.device)
        return 255 * opened * torch.maximum(inner, lips * share)

    def _lids(
        self,
        planes: Float[Tensor, "n 4 s s"],
        below: Float[Tensor, "n 478 2"],
        shares: Float[np.ndarray, "n 2"],
    ) -> Float[Tensor, "n s s"]:
        """See eyes_alpha."""
        out = torch.zeros_like(planes[:, 0])
        if not shares.any():
            return out
        shut = torch.from_numpy(shares.T[:, :, None, None].copy()).to(self.device)
        for i, eye in enumerate((RIGHT_EYE, LEFT_EYE)):
            now = planes[:, 2 + i]
            area = torch.maximum(now, raster.fill_polygons(below[:, eye], CROP_SIZE))
            soft = raster.blur(raster.dilate(area, 2), 2.0, 6)
            line = raster.blur(raster.dilate(now, 1), 1.2, 4)
            for part, most in ((soft, LID_SHARE), (line, LASH_SHARE)):
                out = torch.maximum(out, part * shut[i] * most)
        return 255 * out


@dataclass(eq=False)
class Sheet:
    """A batch of frames on its way, on the device: the warped crops `image`, where the photo
    reaches (`known`), the keypoint map `features`, the sampling maps `grid` and `field`, per
    window the `areas` to paint (all 0..255 where they are pictures) and their `corners` in
    latents, and the pictures being `painted`. The first `count` are wanted, the others fill the
    batch.
    """

    canvas: Canvas
    count: int
    image: Float[Tensor, "n 3 s s"]
    known: Bool[Tensor, "n s s"]
    features: Float[Tensor, "n 4 s s"]
    grid: Float[Tensor, "n 2 s s"]
    field: Float[Tensor, "n 2 g g"]
    areas: dict[str, Float[Tensor, "n s s"]]
    corners: dict[str, Int[np.ndarray, "n 2"]]
    chosen: dict[str, Bool[np.ndarray, "n"]]
    painted: Float[Tensor, "n 3 s s"]

    def paint(self) -> None:
        """See Scene.paint."""
        self.canvas.brush.paint(self)

    def conditions(self, name: str, picks: list[int]) -> Float[Tensor, "k 8 h w"]:
        """See Paintable.conditions."""
        known = self.known[:, None] * 255.0
        planes = torch.cat([self.image, known, self.features], 1) / 255
        rows, columns = self._window(name, picks)
        which = torch.tensor(picks, device=self.canvas.device)[:, None, None]
        cut = planes.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None]]
        return rearrange(cut, "k h w c -> k c h w").contiguous(memory_format=torch.channels_last)

    def put(self, name: str, picks: list[int], pictures: Float[Tensor, "k 3 h w"]) -> None:
        """See Paintable.put."""
        rows, columns = self._window(name, picks)
        which = torch.tensor(picks, device=self.canvas.device)[:, None, None]
        painted = self.painted.permute(0, 2, 3, 1)
        colours = rearrange(pictures, "k c h w -> k h w c").mul(255).round()
        painted[which, rows[:, :, None], columns[:, None]] = colours

    def _window(self, name: str, picks: list[int]) -> tuple[Int[Tensor, "k h"], Int[Tensor, "k w"]]:
        width, height = WINDOWS[name]
        start = torch.from_numpy(FACTOR * self.corners[name][picks]).to(self.canvas.device)
        rows, columns = (
            start[:, axis, None] + torch.arange(FACTOR * length, device=self.canvas.device)
            for axis, length in ((1, height), (0, width))
        )
        return rows, columns

    @torch.inference_mode()
    def shade(self, amount: float) -> None:
        """See shade_cavity."""
        hole = ~self.known
        reach = raster.dilate(hole.float(), 2) > 0
        lips = (self.features[:, 1] > 127) & ~reach
        some = (lips.any(2).any(1) & torch.from_numpy(self.chosen["mouth"]).to(self.canvas.device))[
            :, None, None, None
        ]
        colours = self.painted
        of_lips = torch.where(lips[:, None], colours, torch.nan).flatten(2)
        middle = of_lips.nanmedian(2).values.nan_to_num()[..., None, None]
        away = (colours - middle).norm(dim=1)
        depth = (raster.depth_in(hole) / 1.5).clamp(max=1)
        shade = raster.blur(amount * torch.exp(-((away / LIP_LIKE) ** 2)) * depth, 0.8, 3)
        self.painted = torch.where(some, (colours * (1 - shade[:, None])).round(), colours)

    def darken(self) -> None:
        """See Paintable.darken. What is dark is then all that is laid over the photo."""
        dark = torch.tensor(DARK, device=self.canvas.device, dtype=torch.float32).view(1, 3, 1, 1)
        self.painted = torch.where(self.known[:, None], self.painted, dark)
        self.areas["mouth"] = 255.0 * ~self.known
        self.areas["eyes"] = torch.zeros_like(self.areas["mouth"])

    @torch.inference_mode()
    def paste(self) -> Frames:
        """See Scene.paste, and FaceWarp.paste. Every frame is an array of its own."""
        plan, n = self.canvas.plan, len(self.image)
        alpha = torch.maximum(self.areas["mouth"], self.areas["eyes"])
        x0, y0, x1, y1 = plan.window
        field = F.interpolate(self.field, (y1 - y0, x1 - x0), mode="bilinear", align_corners=False)
        grid = self.canvas.base - rearrange(field, "n c h w -> n h w c")
        places = self.canvas.to_crop.expand(n, -1, -1, -1)
        fine, nearest = sample(self.grid, places), sample(self.grid, places, "nearest")
        torn = (fine - nearest).abs().amax(1, keepdim=True) > TEAR
        fine = torch.where(torn, nearest, fine)
        inner = np.s_[:, plan.rows, plan.columns]
        grid[inner] = rearrange(fine, "n c h w -> n h w c") * plan.scale + self.canvas.offset
        region = sample(self.canvas.image.expand(n, -1, -1, -1), grid)
        over = sample(self.painted, places, "bicubic").clamp(0, 255)
        weight = sample(alpha[:, None], places) / 255
        part = np.s_[:, :, plan.rows, plan.columns]
        region[part] += weight * (over - region[part])
        frames = self.canvas.photo.repeat(n, 1, 1, 1)
        frames[:, y0:y1, x0:x1] = rearrange(region, "n c h w -> n h w c").round().byte()
        return list(frames[: self.count].cpu().numpy())


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


def _even(points: Float[Tensor, "n v 2"]) -> Float[Tensor, "n w 2"]:
    """A polygon of as many corners as the longest has: the last one stands still."""
    missing = len(INNER_LIPS) - points.shape[1]
    return torch.cat([points, points[:, -1:].expand(-1, missing, -1)], 1)


def _planes(images: Tensor) -> Float[Tensor, "n c h w"]:
    return rearrange(images, "n h w c -> n c h w").float().contiguous()
