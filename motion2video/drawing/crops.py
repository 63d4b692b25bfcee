"""Frames drawn on the CPU in numpy and OpenCV, each by itself; the network may be elsewhere."""

from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from motion2video.drawing.areas import eye_alpha, lid_shares, lip_shares, mouth_alpha
from motion2video.drawing.inside import (
    Described,
    Inside,
    describe,
    finished,
    painted_area,
    soft_hole,
)
from motion2video.drawing.places import EYES, WINDOWS, Place
from motion2video.drawing.stage import Frames
from motion2video.drawing.warp import Warp
from motion2video.drawing.windows import Brush
from motion2video.geometry.basis import interocular


@dataclass(eq=False)
class Crops:
    """Frames on their way: the `frames` themselves with their `landmarks`; per window the `areas`
    to paint, the `places`, and in which frames it was `chosen`. `covers` is how much of every pixel
    is the person, where nothing is behind them.
    """

    inside: Inside
    brush: Brush
    frames: list[UInt8[np.ndarray, "h w 3"]]
    landmarks: Float[np.ndarray, "n 478 3"]
    areas: dict[str, list[UInt8[np.ndarray, "_ _"]]]
    places: dict[str, list[Place]]
    chosen: dict[str, Bool[np.ndarray, "n"]]
    covers: list[UInt8[np.ndarray, "h w"]] = field(default_factory=list)
    described: dict[tuple[str, int], Described] = field(default_factory=dict)

    def paint(self) -> None:
        """See Begun.paint."""
        self.brush.paint(self)

    def conditions(self, name: str, picks: list[int]) -> Float[Tensor, "k 8 h w"]:
        """See Paintable.conditions."""
        planes = []
        for k in picks:
            place = self.places[name][k]
            planes.append(condition_of(place.cut(self.frames[k]), self._known(name, k)))
        return pictures_of(planes, self.brush.sharpness.device)

    def _known(self, name: str, k: int) -> Described:
        """See describe; once a window."""
        if (name, k) not in self.described:
            place = self.places[name][k]
            self.described[name, k] = describe(self.inside, self.landmarks[k], name, place)
        return self.described[name, k]

    def put(self, name: str, picks: list[int], pictures: Float[Tensor, "k 3 h w"]) -> None:
        """See Paintable.put."""
        images = rearrange(pictures, "n c h w -> n h w c").mul(255).round().byte().cpu().numpy()
        for k, image in zip(picks, images, strict=True):
            place, known = self.places[name][k], self._known(name, k)
            if name == "mouth":
                image = finished(image, known, self.inside.detail)
            place.lay(self.frames[k], image, painted_area(self.areas[name][k], known))

    def put_drawn(self) -> None:
        """See Paintable.put_drawn."""
        for k in np.flatnonzero(self.chosen["mouth"]).tolist():
            place = self.places["mouth"][k]
            known = self._known("mouth", k)
            place.lay(self.frames[k], known.drawn, soft_hole(known))

    def paste(self) -> Frames:
        """See Begun.paste."""
        if not self.covers:
            return self.frames
        return [np.dstack(both) for both in zip(self.frames, self.covers, strict=True)]


class CropStage:
    """Draws one portrait on the CPU, bent or in layers as `warp` does; threads share it."""

    def __init__(self, warp: Warp, inside: Inside, brush: Brush) -> None:
        self.warp, self._inside, self._brush = warp, inside, brush

    def begin(
        self,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> Crops:
        """See Stage.begin."""
        drawn = list(map(self.warp.warp, landmarks, open_eyes))
        frames = [np.ascontiguousarray(frame[..., :3]) for frame in drawn]
        covers = [frame[..., 3] for frame in drawn if frame.shape[2] == 4]
        plan = plan_windows(landmarks, open_eyes)
        return Crops(self._inside, self._brush, frames, landmarks, **vars(plan), covers=covers)


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """Per window of n frames: `areas` to paint, `places`, in which frames it is `chosen`."""

    areas: dict[str, list[UInt8[np.ndarray, "_ _"]]]
    places: dict[str, list[Place]]
    chosen: dict[str, Bool[np.ndarray, "n"]]


def plan_windows(
    landmarks: Float[np.ndarray, "n 478 3"], open_eyes: Float[np.ndarray, "n 478 3"]
) -> WindowPlan:
    """Where the network shall paint in n frames."""
    lips = lip_shares(landmarks[..., :2], interocular(landmarks))
    places = {name: [Place.of(name, marks) for marks in landmarks] for name in WINDOWS}
    areas: dict[str, list[UInt8[np.ndarray, "_ _"]]] = {
        "mouth": [
            mouth_alpha(place.points(marks[:, :2]), share, place.size)
            for place, marks, share in zip(places["mouth"], landmarks, lips, strict=True)
        ]
    }
    for name, (eye, _) in EYES.items():
        shut = lid_shares(name, landmarks[..., :2], open_eyes[..., :2])
        areas[name] = [
            eye_alpha(place.points(a[eye, :2]), place.points(b[eye, :2]), float(s), place.size)
            for place, a, b, s in zip(places[name], landmarks, open_eyes, shut, strict=True)
        ]
    chosen = {name: np.array([one.any() for one in some], bool) for name, some in areas.items()}
    return WindowPlan(areas, places, chosen)


def condition_of(image: UInt8[np.ndarray, "h w 3"], known: Described) -> UInt8[np.ndarray, "h w 8"]:
    """What the network is shown of a window: its picture, with the drawn inside of an open mouth;
    where it is the photo's; and the keypoint map.
    """
    hole = known.hole[..., None]
    photo = np.where(hole > 0, 0, 255).astype(np.uint8)
    return np.concatenate([np.where(hole > 0, known.drawn, image), photo, known.features], -1)


def pictures_of(
    images: list[UInt8[np.ndarray, "h w c"]], device: torch.device
) -> Float[Tensor, "n c h w"]:
    """Pictures as a network takes them, 0..1."""
    planes = torch.from_numpy(np.stack(images)).to(device)
    planes = rearrange(planes, "n h w c -> n c h w").float() / 255
    return planes.contiguous(memory_format=torch.channels_last)
