"""Frames drawn on the CPU in numpy and OpenCV, each by itself; the network may be elsewhere."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from motion2video.drawing.areas import eye_alpha, lid_shares, lip_shares, mouth_alpha
from motion2video.drawing.inside import draw_mouth, hole_of
from motion2video.drawing.places import EYES, WINDOWS, Place, feature_map
from motion2video.drawing.stage import Frames
from motion2video.drawing.warp import Warp
from motion2video.drawing.windows import Brush
from motion2video.geometry.basis import interocular
from motion2video.portrait.mouth import Mouth


@dataclass(eq=False)
class Crops:
    """Frames on their way: the `frames` themselves with their `landmarks`; per window the `areas`
    to paint, the `places`, and in which frames it was `chosen`.
    """

    mouth: Mouth
    brush: Brush
    frames: list[UInt8[np.ndarray, "h w 3"]]
    landmarks: Float[np.ndarray, "n 478 3"]
    areas: dict[str, list[UInt8[np.ndarray, "_ _"]]]
    places: dict[str, list[Place]]
    chosen: dict[str, Bool[np.ndarray, "n"]]

    def paint(self) -> None:
        """See Scene.paint."""
        self.brush.paint(self)

    def conditions(self, name: str, picks: list[int]) -> Float[Tensor, "k 8 h w"]:
        """See Paintable.conditions."""
        planes = []
        for k in picks:
            place = self.places[name][k]
            known = describe(self.mouth, self.landmarks[k], name, place)
            planes.append(condition_of(place.cut(self.frames[k]), known))
        return pictures_of(planes, self.brush.sharpness.device)

    def put(self, name: str, picks: list[int], pictures: Float[Tensor, "k 3 h w"]) -> None:
        """See Paintable.put."""
        images = rearrange(pictures, "n c h w -> n h w c").mul(255).round().byte().cpu().numpy()
        for k, image in zip(picks, images, strict=True):
            self.places[name][k].lay(self.frames[k], image, self.areas[name][k])

    def put_drawn(self) -> None:
        """See Paintable.put_drawn."""
        for k in np.flatnonzero(self.chosen["mouth"]).tolist():
            place = self.places["mouth"][k]
            known = describe(self.mouth, self.landmarks[k], "mouth", place)
            place.lay(self.frames[k], known.drawn, soft_hole(known))

    def paste(self) -> Frames:
        """See Scene.paste."""
        return self.frames


class CropStage:
    """Draws one portrait on the CPU, bent or in layers as `warp` does; threads share it."""

    def __init__(self, warp: Warp, mouth: Mouth, brush: Brush) -> None:
        self.warp, self._mouth, self._brush = warp, mouth, brush

    def begin(
        self,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> Crops:
        """See Stage.begin."""
        frames = list(map(self.warp.warp, landmarks, open_eyes))
        plan = plan_windows(landmarks, open_eyes)
        return Crops(self._mouth, self._brush, frames, landmarks, **vars(plan))


@dataclass(frozen=True, eq=False)
class Plan:
    """Per window of n frames: `areas` to paint, `places`, in which frames it is `chosen`."""

    areas: dict[str, list[UInt8[np.ndarray, "_ _"]]]
    places: dict[str, list[Place]]
    chosen: dict[str, Bool[np.ndarray, "n"]]


def plan_windows(
    landmarks: Float[np.ndarray, "n 478 3"], open_eyes: Float[np.ndarray, "n 478 3"]
) -> Plan:
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
    return Plan(areas, places, chosen)


@dataclass(frozen=True, eq=False)
class Described:
    """Of a window: the `drawn` inside of the mouth, its `hole` (1 where the frame shows nothing of
    the photo), and the keypoint map `features`.
    """

    drawn: UInt8[np.ndarray, "h w 3"]
    hole: UInt8[np.ndarray, "h w"]
    features: UInt8[np.ndarray, "h w 4"]


def describe(
    mouth: Mouth, landmarks: Float[np.ndarray, "478 3"], name: str, place: Place
) -> Described:
    """What is known of a window but its picture."""
    features = feature_map(place.points(landmarks[:, :2]), place.size)
    hole = hole_of(features[..., 0])
    if name == "mouth":
        return Described(draw_mouth(mouth, landmarks, place), hole, features)
    return Described(np.zeros((*hole.shape, 3), np.uint8), hole, features)


def condition_of(image: UInt8[np.ndarray, "h w 3"], known: Described) -> UInt8[np.ndarray, "h w 8"]:
    """What the network is shown of a window: its picture, with the drawn inside of an open mouth;
    where it is the photo's; and the keypoint map.
    """
    hole = known.hole[..., None]
    photo = np.where(hole > 0, 0, 255).astype(np.uint8)
    return np.concatenate([np.where(hole > 0, known.drawn, image), photo, known.features], -1)


def soft_hole(known: Described) -> UInt8[np.ndarray, "h w"]:
    """Where the drawn mouth is laid over a frame that no network paints in."""
    return np.asarray(cv2.GaussianBlur(known.features[..., 0], (0, 0), 0.8), np.uint8)


def pictures_of(
    images: list[UInt8[np.ndarray, "h w c"]], device: torch.device
) -> Float[Tensor, "n c h w"]:
    """Pictures as a network takes them, 0..1."""
    planes = torch.from_numpy(np.stack(images)).to(device)
    planes = rearrange(planes, "n h w c -> n c h w").float() / 255
    return planes.contiguous(memory_format=torch.channels_last)
