"""The photo on a GPU: what `FaceWarp.paste` does, many frames at a time."""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from motion2video.warp import TEAR, FaceWarp, Warped


class Canvas:
    """One portrait's photo on `device`; runs on any device, and pays on a GPU."""

    def __init__(self, warp: FaceWarp, device: torch.device) -> None:
        self.device = device
        plan = warp.pasting
        self._plan = plan
        self._photo = torch.from_numpy(warp.image).to(device)
        self._image = _planes(self._photo[None])
        self._base = torch.from_numpy(plan.base).to(device)
        rows, columns = plan.rows, plan.columns
        ys = torch.arange(rows.stop - rows.start, device=device, dtype=torch.float32)
        xs = torch.arange(columns.stop - columns.start, device=device, dtype=torch.float32)
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        m = torch.from_numpy(plan.matrix.astype(np.float32)).to(device)
        self._to_crop = torch.stack([x, y, torch.ones_like(x)], -1) @ m.T
        self._offset = torch.from_numpy(plan.offset).to(device)

    @torch.inference_mode()
    def paste(
        self,
        warped: list[Warped],
        painted: list[UInt8[np.ndarray, "s s 3"]],
        alphas: list[UInt8[np.ndarray, "s s"]],
    ) -> list[UInt8[np.ndarray, "h w 3"]]:
        """The frames, each an array of its own; see FaceWarp.paste."""
        plan, n = self._plan, len(warped)
        x0, y0, x1, y1 = plan.window
        field = self._up([w.field for w in warped])
        field = F.interpolate(field, (y1 - y0, x1 - x0), mode="bilinear", align_corners=False)
        grid = self._base - rearrange(field, "n c h w -> n h w c")
        places = self._to_crop.expand(n, -1, -1, -1)
        coarse = self._up([w.grid for w in warped])
        fine, nearest = sample(coarse, places), sample(coarse, places, "nearest")
        torn = (fine - nearest).abs().amax(1, keepdim=True) > TEAR
        fine = torch.where(torn, nearest, fine)
        inner = np.s_[:, plan.rows, plan.columns]
        grid[inner] = rearrange(fine, "n c h w -> n h w c") * plan.scale + self._offset
        region = sample(self._image.expand(n, -1, -1, -1), grid)
        over = sample(self._up(painted), places, "bicubic").clamp(0, 255)
        weight = sample(self._up([a[..., None] for a in alphas]), places) / 255
        part = np.s_[:, :, plan.rows, plan.columns]
        region[part] += weight * (over - region[part])
        frames = self._photo.repeat(n, 1, 1, 1)
        frames[:, y0:y1, x0:x1] = rearrange(region, "n c h w -> n h w c").round().byte()
        return list(frames.cpu().numpy())

    def _up(self, arrays: list[np.ndarray]) -> Float[Tensor, "n c h w"]:
        return _planes(torch.from_numpy(np.stack(arrays)).to(self.device))


def sample(
    image: Float[Tensor, "n c h w"], grid: Float[Tensor, "n H W 2"], mode: str = "bilinear"
) -> Float[Tensor, "n c H W"]:
    """The picture at the places of a map in pixels, edges replicated (cv2.remap's convention)."""
    h, w = image.shape[2:]
    size = torch.tensor([w, h], device=grid.device, dtype=grid.dtype)
    at = (grid + 0.5) / size * 2 - 1
    return F.grid_sample(image, at, mode=mode, padding_mode="border", align_corners=False)


def _planes(images: Tensor) -> Float[Tensor, "n c h w"]:
    return rearrange(images, "n h w c -> n c h w").float().contiguous()
