"""Frames drawn on the CPU in numpy and OpenCV, each by itself; the network may be elsewhere."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from motion2video.drawing.areas import (
    DARK,
    WINDOWS,
    eyes_alpha,
    lid_shares,
    lip_shares,
    mouth_alpha,
    shade_cavity,
    window_corners,
)
from motion2video.drawing.stage import Frames
from motion2video.drawing.warp import FaceWarp, Warped
from motion2video.drawing.windows import Brush
from motion2video.network.denoiser import FACTOR


@dataclass(eq=False)
class Crops:
    """Frames on their way: the `warped` crops; per window the `areas` to paint, the `corners` in
    latents, and in which frames it was `chosen`; and the pictures being `painted`.
    """

    warp: FaceWarp
    brush: Brush
    warped: list[Warped]
    areas: dict[str, list[UInt8[np.ndarray, "s s"]]]
    corners: dict[str, Int[np.ndarray, "n 2"]]
    chosen: dict[str, Bool[np.ndarray, "n"]]
    painted: list[UInt8[np.ndarray, "s s 3"]]

    def paint(self) -> None:
        """See Scene.paint."""
        self.brush.paint(self)

    def conditions(self, name: str, picks: list[int]) -> Float[Tensor, "k 8 h w"]:
        """See Paintable.conditions."""
        planes = []
        for k in picks:
            pixels, warped = self._pixels(name, k), self.warped[k]
            parts = (warped.image[pixels], warped.known[pixels][..., None], warped.features[pixels])
            planes.append(np.concatenate(parts, -1))
        return pictures_of(planes, self.brush.noise.device)

    def put(self, name: str, picks: list[int], pictures: Float[Tensor, "k 3 h w"]) -> None:
        """See Paintable.put."""
        images = rearrange(pictures, "n c h w -> n h w c").mul(255).round().byte().cpu().numpy()
        for k, image in zip(picks, images, strict=True):
            self.painted[k][self._pixels(name, k)] = image

    def shade(self, amount: float) -> None:
        """See Paintable.shade."""
        for k in np.flatnonzero(self.chosen["mouth"]).tolist():
            self.painted[k] = shade_cavity(self.painted[k], self.warped[k], amount)

    def darken(self) -> None:
        """See Paintable.darken. What is dark is then all that is laid over the photo."""
        for k, warped in enumerate(self.warped):
            self.painted[k][warped.known == 0] = DARK
            hole = np.where(warped.known == 0, 255, 0).astype(np.uint8)
            self.areas["mouth"][k], self.areas["eyes"][k] = hole, np.zeros_like(hole)

    def paste(self) -> Frames:
        """See Scene.paste."""
        over = map(np.maximum, self.areas["mouth"], self.areas["eyes"])
        ready = zip(self.warped, self.painted, over, strict=True)
        return [one.pasted(painted, alpha) for one, painted, alpha in ready]

    def _pixels(self, name: str, k: int) -> tuple[slice, slice]:
        (x, y), (width, height) = self.corners[name][k].tolist(), WINDOWS[name]
        return np.s_[y * FACTOR : (y + height) * FACTOR, x * FACTOR : (x + width) * FACTOR]


class CropStage:
    """Draws one portrait on the CPU, bent or in layers as `warp` does; threads share it."""

    def __init__(self, warp: FaceWarp, brush: Brush) -> None:
        self._warp, self._brush = warp, brush

    def begin(
        self,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> Crops:
        """See Stage.begin."""
        to_crop, unit = self._warp.crop.to_crop, self._warp.crop_units(landmarks)
        points, before = to_crop(landmarks[..., :2]), to_crop(open_eyes[..., :2])
        lips, lids = lip_shares(points, unit), lid_shares(points, before)
        areas = {
            "mouth": list(map(mouth_alpha, points, lips)),
            "eyes": list(map(eyes_alpha, points, before, lids)),
        }
        warped: list[Warped] = list(map(self._warp.warp, landmarks, open_eyes))
        return Crops(
            self._warp,
            self._brush,
            warped,
            areas,
            window_corners(points, unit),
            {name: np.array([one.any() for one in some], bool) for name, some in areas.items()},
            [one.image.copy() for one in warped],
        )


def pictures_of(
    images: list[UInt8[np.ndarray, "h w c"]], device: torch.device
) -> Float[Tensor, "n c h w"]:
    """Pictures as a network takes them, 0..1."""
    planes = torch.from_numpy(np.stack(images)).to(device)
    planes = rearrange(planes, "n h w c -> n c h w").float() / 255
    return planes.contiguous(memory_format=torch.channels_last)
