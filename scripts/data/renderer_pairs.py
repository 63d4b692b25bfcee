"""Which frames of a clip make a training pair of the renderer, and how its pictures vary.

Sources are mostly frames with a closed mouth and open eyes (as portraits are), targets mostly
open mouths and blinks.
"""

from collections.abc import Callable

import cv2
import numpy as np

from motion2video.drawing.places import LEFT_EYE, RIGHT_EYE
from motion2video.geometry.basis import HeadPose, interocular
from motion2video.motion import Motion

EYES = sorted(RIGHT_EYE + LEFT_EYE)
Recolour = Callable[[np.ndarray], np.ndarray]


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The matrix [2, 3] that turns, scales and moves one face's rigid points onto another's."""
    rigid = [33, 133, 263, 362, 168, 6, 197, 1]
    a, b = source[rigid].astype(np.float64), target[rigid].astype(np.float64)
    a_0, b_0 = a - a.mean(0), b - b.mean(0)
    z = ((a_0 @ [1, -1j]) * (b_0 @ [1, 1j])).sum() / (a_0**2).sum()
    matrix = np.array([[z.real, -z.imag], [z.imag, z.real]])
    return np.column_stack([matrix, b.mean(0) - matrix @ a.mean(0)])


def eyes_at_rest(marks: np.ndarray, pose: HeadPose, source: int, targets: np.ndarray) -> np.ndarray:
    """Landmarks [n, 478, 3] of the target frames, with the eyes as they are in the source frame."""
    out = marks[targets].copy()
    rest = _at(pose, source).unproject(marks[source : source + 1])
    for face, k in zip(out, targets, strict=True):
        face[EYES] = _at(pose, k).project(rest)[0][EYES]
    return out


def _state(marks: np.ndarray, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Lip gap in interocular distances, and blink, of every frame."""
    gap = np.linalg.norm(marks[:, 13] - marks[:, 14], axis=-1) / interocular(marks)
    blink = (motion.channel("eyeBlinkLeft") + motion.channel("eyeBlinkRight")) / 2
    return gap, blink[: len(marks)]


def calm_frame(marks: np.ndarray, motion: Motion, rng: np.random.Generator) -> int:
    """A frame that could be a portrait: most likely with closed lips and open eyes."""
    gap, blink = _state(marks, motion)
    calm = _share(np.exp(-25 * gap - 3 * blink))
    return int(rng.choice(len(marks), p=0.8 * calm + 0.2 / len(marks)))


def lively_frames(
    marks: np.ndarray, motion: Motion, source: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Frames other than `source`, most of them with an open mouth or a blink."""
    gap, blink = _state(marks, motion)
    lively = 0.3 / len(marks) + 0.5 * _share(gap + 0.01) + 0.2 * _share(blink + 0.02)
    lively[source] = 0
    return rng.choice(len(marks), min(count, len(marks) - 1), replace=False, p=_share(lively))


def _at(pose: HeadPose, k: int) -> HeadPose:
    return HeadPose(pose.rotation[k : k + 1], pose.offset[k : k + 1], pose.scale[k : k + 1])


def _share(x: np.ndarray) -> np.ndarray:
    return x / x.sum()


def variation(rng: np.random.Generator) -> Recolour:
    """One change of light and colour for all pictures of a pair; none for three in ten."""
    if rng.random() < 0.3:
        return lambda image: image
    gain, bias = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3), rng.uniform(-25, 25)
    gamma = rng.uniform(0.75, 1.3) * (1.6 if rng.random() < 0.1 else 1.0)
    saturation = rng.uniform(0.0 if rng.random() < 0.15 else 0.6, 1.3)
    slope = rng.normal(0, 0.12, 2)  # light from one side

    def change(image: np.ndarray) -> np.ndarray:
        down, across = (np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape[:2])
        light = 1 + slope[0] * down[:, None] + slope[1] * across[None]
        x = image.astype(np.float32) * light[..., None].astype(np.float32)
        grey = x.mean(-1, keepdims=True)
        x = 255 * (np.clip(grey + (x - grey) * saturation, 0, 255) / 255) ** gamma
        return np.clip((x - 128) * gain + 128 + bias, 0, 255).astype(np.uint8)

    return change


def compressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blocks and rings of a JPEG file, or grain."""
    if rng.random() < 0.3:
        grain = rng.normal(0, rng.uniform(2, 8), image.shape)
        return np.clip(image + grain, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 85))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
