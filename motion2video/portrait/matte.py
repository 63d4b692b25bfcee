"""The matte: how much of every pixel of a photo is the person whose face it is.

MediaPipe's selfie segmentation (role `matte`) says roughly; a guided filter (He et al. 2013) with
the photo as its guide brings that to the edges that are in the picture, strands of hair included.
"""

from functools import cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from weights.telemetry import import_onnxruntime
from weights.tensors import load_safetensors

_SIZE = 256
_RADIUS = 0.07  # of the guided filter, in interocular distances
_EPSILON = 2e-4
_LOW, _HIGH = 0.12, 0.88
_SURE = 0.6
_SEEN = 0.7  # of the face, for a matte that can be used


@cache
def _network() -> Any:
    """The session, one a process: it holds no state."""
    ort = import_onnxruntime()
    tensors, _ = load_safetensors("matte")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        tensors["graph"].tobytes(), options, providers=["CPUExecutionProvider"]
    )


def rough_matte(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """0..1 for people, as the network sees it at 256 px. Raises WeightsError without it."""
    session = _network()
    small = cv2.resize(image, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    fed = (small.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    (out,) = session.run(None, {session.get_inputs()[0].name: fed})
    height, width = image.shape[:2]
    return cv2.resize(out[0, 0], (width, height), interpolation=cv2.INTER_LINEAR)


def person_alpha(
    image: UInt8[np.ndarray, "h w 3"], oval: Float[np.ndarray, "n 2"], unit: float
) -> Float[np.ndarray, "h w"] | None:
    """The matte of the person whose face's outline is `oval` (pixels); `unit` is the interocular
    distance in pixels. 0 everywhere but around them, also where other people are. None where the
    network does not see that there is somebody, as in some drawings.
    """
    radius = max(2, round(_RADIUS * unit))
    guide = image.astype(np.float32) / 255
    rough = rough_matte(image)
    face = cv2.fillPoly(np.zeros(rough.shape, np.uint8), [oval.astype(np.int32)], 1)
    if not face.any() or rough[face > 0].mean() < _SEEN:
        return None
    fine = _guided(guide, rough, radius)
    alpha = np.clip((fine - _LOW) / (_HIGH - _LOW), 0, 1)
    alpha = np.maximum(alpha, face)
    own = component((alpha > _SURE).astype(np.uint8), face)
    near = cv2.dilate(own, np.ones((2 * radius + 1,) * 2, np.uint8))
    return (alpha * cv2.blur(near.astype(np.float32), (3, 3))).astype(np.float32)


def component(
    mask: UInt8[np.ndarray, "h w"], seed: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """The connected part of a mask in which most of the seed lies, 0 or 1."""
    _, labels = cv2.connectedComponents(mask)
    within = labels[(seed > 0) & (labels > 0)]
    if not len(within):
        return seed
    return (labels == np.bincount(within).argmax()).astype(np.uint8)


def _guided(
    guide: Float[np.ndarray, "h w 3"], plane: Float[np.ndarray, "h w"], radius: int
) -> Float[np.ndarray, "h w"]:
    """He's guided filter with a colour guide (0..1)."""
    size = (2 * radius + 1,) * 2

    def mean(x: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.blur(x, size))

    mu, p = mean(guide), mean(plane)
    pairs = [mean(guide[..., c] * plane) - mu[..., c] * p for c in range(3)]
    covariance = np.stack(pairs, -1)
    variance = np.empty((*plane.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            v = mean(guide[..., i] * guide[..., j]) - mu[..., i] * mu[..., j]
            variance[..., i, j] = variance[..., j, i] = v
    regular = variance + _EPSILON * np.eye(3, dtype=np.float32)
    a = np.linalg.solve(regular, covariance[..., None])[..., 0]
    b = p - (a * mu).sum(-1)
    return (mean(a) * guide).sum(-1) + mean(b)
