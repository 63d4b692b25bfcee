"""MediaPipe's Face Landmarker: 478 points in pixels and 52 expression scores of a face.

Its three networks (role `face_landmarker`) run on ONNX Runtime; what is around them is here: a
detector says roughly where a face is, and from then on its own landmarks say where to look next.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from motion2video.faces.detector import find_faces
from motion2video.faces.region import Region
from weights.telemetry import import_onnxruntime
from weights.tensors import read_safetensors

LANDMARKS = 478

_SIZE = 256
_EYE_CORNERS = (33, 263)  # the outer ones, at the left and at the right of the picture
_GROWN = 1.5
_SAME = 0.5  # of the area of both, that two regions of one face share

# The landmarks that the network of the expression knows.
# fmt: off
_EXPRESSIVE = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65,
    66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136,
    144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172,
    173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283,
    284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324,
    332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385,
    386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472,
    473, 474, 475, 476, 477,
])
# fmt: on

Mesh = tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, "52"]]
"""Landmarks in pixels of the picture, and expression scores."""


@dataclass(frozen=True)
class _Networks:
    """Three sessions of ONNX Runtime, which hold no state."""

    detector: Any
    landmarks: Any
    expression: Any


@cache
def _networks(model: Path) -> _Networks:
    """Once a process and file."""
    ort = import_onnxruntime()
    tensors, _ = read_safetensors(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    names = ("detector", "landmarks", "expression")
    providers = ["CPUExecutionProvider"]
    return _Networks(
        *(ort.InferenceSession(tensors[n].tobytes(), options, providers=providers) for n in names)
    )


class Landmarker:
    """`video` follows faces from picture to picture (it keeps a state: one Landmarker a video,
    pictures in order); otherwise every picture stands alone. Nothing is smoothed over time.

    `model` is the file of role face_landmarker; raises WeightsError where it is not one.
    """

    def __init__(self, model: Path, faces: int, video: bool) -> None:
        self._networks = _networks(model)
        self._faces = faces
        self._video = video
        self._regions: list[Region] = []

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Mesh]:
        """The faces of one picture, at most as many as asked for; surest first where they were
        detected in it.
        """
        regions = self._regions
        if len(regions) < self._faces:
            regions = _joined(regions, find_faces(self._networks.detector, image, self._faces))
        seen = [self._landmarks(image, region) for region in regions[: self._faces]]
        found = [points for points in seen if points is not None]
        if self._video:
            self._regions = [_region_of(points[:, :2]) for points in found]
        return [(points, self._expression(points[:, :2])) for points in found]

    def surest(self, image: UInt8[np.ndarray, "H W 3"]) -> float:
        """How sure it is of the surest face that it detects in a picture, a logit; 0 for none."""
        regions = find_faces(self._networks.detector, image, self._faces)
        return max((self._seen(image, region)[1] for region in regions), default=0.0)

    def _landmarks(
        self, image: UInt8[np.ndarray, "H W 3"], region: Region
    ) -> Float[np.ndarray, "478 3"] | None:
        """Of the face in a region; None where there is none."""
        points, presence = self._seen(image, region)
        if presence < 0:  # before the sigmoid: less likely than not
            return None
        mesh = points.reshape(LANDMARKS, 3) / _SIZE
        depth = mesh[:, 2:] * region.width
        return np.concatenate([region.place(mesh[:, :2]), depth], axis=1).astype(np.float32)

    def _seen(
        self, image: UInt8[np.ndarray, "H W 3"], region: Region
    ) -> tuple[Float[np.ndarray, "..."], float]:
        """What the network says of a region: points in its pixels, and the logit of a face."""
        crop = region.crop(image, _SIZE, repeat=True).astype(np.float32) / 255
        fed = {"input": crop.transpose(2, 0, 1)[None]}
        points, presence = self._networks.landmarks.run(["points", "presence"], fed)
        return points, presence.item()

    def _expression(self, points: Float[np.ndarray, "478 2"]) -> Float[np.ndarray, "52"]:
        fed = {"input": points[None, _EXPRESSIVE]}
        (scores,) = self._networks.expression.run(["scores"], fed)
        return scores


def _region_of(points: Float[np.ndarray, "478 2"]) -> Region:
    """Where to look for a face in the next picture."""
    start, end = points[_EYE_CORNERS[0]], points[_EYE_CORNERS[1]]
    return Region.around(points, start, end).squared().grown(_GROWN)


def _joined(followed: list[Region], detected: list[Region]) -> list[Region]:
    """Those that are followed and those that were detected; the latter where they are the same."""
    regions = list(followed)
    for new in detected:
        regions = [old for old in regions if new.overlap(old) <= _SAME] + [new]
    return regions
