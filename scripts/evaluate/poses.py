#!/usr/bin/env python3
"""Whether a head keeps its shape when it is turned, and the background its pixels.

    python -m scripts.evaluate.poses [PHOTO ...] [--size 512] [--sheet FILE]

The photos are the samples, where none are given: people who look into the camera. Each is turned,
nodded and tilted, bent and in layers, and the person is cut out of the frame again. `lean`: how far
the outline's middle at the height of the forehead has gone beyond what a solid head's would, in
widths of the head: the top of the skull stays over the eyes' middle as they turn about the same
neck. `hair`: how high the top of the head is over the eyes, over what it is at rest and what
nodding makes of it on a solid head (the average one of the ICT FaceKit, turned): 1 is neither
squashed nor drawn out. `background`: whether every pixel that no part of the
person covers before or after is unchanged to the bit.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.faces.tracker import FaceTracker
from motion2video.geometry.angles import head_rotation
from motion2video.geometry.basis import FACE_OVAL, FaceBasis, interocular, rotation_matrix
from motion2video.geometry.head_model import HeadModel
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION, Motion
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.matte import person_alpha
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import Head, RenderConfig, Renderer

SAMPLES = Path(__file__).parents[2] / "app" / "assets" / "portraits"
POSES = {
    "yaw 25": (25, 0, 0),
    "yaw -25": (-25, 0, 0),
    "pitch 15": (0, 15, 0),
    "pitch -15": (0, -15, 0),
    "roll 20": (0, 0, 20),
    "roll -20": (0, 0, -20),
}
NECK = np.array([0, -0.82, -0.73], np.float32)
"""Where a head turns on its neck, in the head frame: see HeadShell."""


@cache
def nodded(pitch: float) -> float:
    """How high the top of a solid head is over the eyes when it has nodded by an angle (radians),
    of what it was.
    """
    canonical = FaceBasis.load().canonical
    points = HeadModel.load().fitted(canonical).parts["skin"].points
    eyes = canonical[[33, 133, 263, 362]].mean(0)
    turn = rotation_matrix(head_rotation(np.array([[0, pitch, 0]], np.float32))[0])
    top, turned = (p[:, 1].max() for p in (points - eyes, (points - eyes) @ turn.T))
    return float(turned / top)


def posed(poses: dict[str, tuple[int, int, int]]) -> Motion:
    """A frame a pose (yaw, pitch, roll in degrees), turned about the neck."""
    values = np.zeros((len(poses), MOTION_DIM), np.float32)
    values[:, ROTATION] = head_rotation(np.radians(list(poses.values())))
    turn = rotation_matrix(values[:, ROTATION])
    values[:, TRANSLATION] = NECK - turn @ NECK
    return Motion(values)


def upright(plane: np.ndarray, marks: Float[np.ndarray, "478 3"]) -> np.ndarray:
    """A plane turned so that the eyes are level."""
    right, left = marks[[33, 133], :2].mean(0), marks[[263, 362], :2].mean(0)
    angle = float(np.degrees(np.arctan2(*(left - right)[::-1])))
    x, y = (float(v) for v in (right + left) / 2)
    height, width = plane.shape
    return cv2.warpAffine(plane, cv2.getRotationMatrix2D((x, y), angle, 1), (width, height))


def outline(
    frame: UInt8[np.ndarray, "h w 3"], marks: Float[np.ndarray, "478 3"]
) -> tuple[float, float, float]:
    """Of the person cut out of a frame, in interocular distances of the upright head: x of the
    outline's middle at the forehead from that at the eyes, its width there, and how far the top is
    over the eyes.
    """
    unit = float(interocular(marks))
    oval = marks[FACE_OVAL, :2]
    alpha = person_alpha(frame, oval, unit)
    assert alpha is not None
    solid = upright(alpha, marks) > 0.5
    eyes = marks[[33, 133, 263, 362], :2].mean(0)
    middles, widths = [], []
    for up in (0.9, 0.0):
        row = np.flatnonzero(solid[round(float(eyes[1]) - up * unit)])
        middles.append((row[0] + row[-1]) / 2 / unit)
        widths.append((row[-1] - row[0]) / unit)
    top = (float(eyes[1]) - float(np.flatnonzero(solid.any(1))[0])) / unit
    return middles[0] - middles[1], widths[0], top


def figures(
    renderer: Renderer, portrait: Portrait
) -> tuple[dict[str, tuple[float, float, bool]], list[UInt8[np.ndarray, "h w 3"]]]:
    """Of every pose the lean, the hair's height and whether the background stayed; the frames."""
    motion = posed({"rest": (0, 0, 0), **POSES})
    state = renderer.init_state(portrait)
    marks, _ = state.prepared.face.keypoints(motion)
    _, frames = renderer.step(state, motion)
    rest = outline(frames[0], marks[0])
    matte = portrait.matte
    assert matte is not None
    unit = float(interocular(marks[0]))
    found = {}
    for name, frame, mark in zip(POSES, frames[1:], marks[1:], strict=True):
        lean, _, top = outline(frame, mark)
        oval = mark[FACE_OVAL, :2]
        now = person_alpha(frame, oval, float(interocular(mark)))
        assert now is not None
        covered = np.maximum(matte, now) > 0.004
        reach = 2 * round(0.9 * unit) + 1  # strands, and what is filled around the person
        near = cv2.dilate(covered.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        same = bool((frame[~near] == portrait.image[~near]).all())
        solid = rest[2] * nodded(np.radians(POSES[name][1]))
        found[name] = ((lean - rest[0]) / rest[1], top / solid, same)
    return found, list(frames)


def rows(photos: list[Path], size: int) -> Iterator[tuple[str, Path, Renderer, Portrait]]:
    """Every photo bent and in layers."""
    tracker = FaceTracker.load()
    heads: tuple[Head, ...] = ("warp", "layers")
    for head in heads:
        renderer = Renderer.load(RenderConfig(head=head), ComputeConfig(device="cpu"))
        for photo in photos:
            yield head, photo, renderer, Portrait.load(photo, tracker=tracker, size=size)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path, default=sorted(SAMPLES.glob("*.jpg")))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--sheet", type=Path, help="all frames as one picture")
    options = parser.parse_args()
    seen: dict[tuple[str, str], list[tuple[float, float, bool]]] = defaultdict(list)
    strips = []
    for head, _, renderer, portrait in rows(options.photos, options.size):
        found, frames = figures(renderer, portrait)
        for name, values in found.items():
            seen[head, name].append(values)
        strips.append(np.concatenate([cv2.resize(f, (192, 192)) for f in frames], 1))
    print(f"{len(options.photos)} photos; worst of them")
    for (head, name), values in seen.items():
        lean, hair = (np.array([v[i] for v in values]) for i in (0, 1))
        still = all(v[2] for v in values)
        print(
            f"{head:7} {name:10} lean {np.abs(lean).max():.3f}  "
            f"hair {hair.min():.3f} to {hair.max():.3f}  background "
            f"{'unchanged' if still else 'changed'}"
        )
    if options.sheet:
        cv2.imwrite(str(options.sheet), np.concatenate(strips, 0)[..., ::-1])


if __name__ == "__main__":
    main()
