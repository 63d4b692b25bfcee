"""Fit the linear face basis (role face_basis) to tracked clips.

    python -m scripts.train.face_basis --data DATA --out DIR

1. Mean face: similarity alignment of every identity's mean keypoints, symmetrised.
2. Expression directions: ridge regression of pose-free keypoints on the tracker's 52 scores,
   both centred within each identity, so that who somebody is does not leak into what they do.
3. Detail directions: 32 principal components of what is left, lips and eyes weighted up.

4. Eyes and brows may not move the mouth, nor the mouth the brows: see `locality`.

Only clips of the train split are used. Prints how much variance each stage explains.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import eigh
from scipy.spatial import KDTree

from motion2video.drawing.places import INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from motion2video.geometry.basis import (
    CLOSED_LIPS,
    RIGID_POINTS,
    FaceBasis,
    axis_angle,
    fit_pose,
    interocular,
    mouth_channels,
    rotation_matrix,
)
from motion2video.motion import EXPRESSION_NAMES
from scripts.data.dataset import clips
from weights.tensors import save_safetensors

DETAILS = 32
RIDGE = 2e-4
MOST_FRAMES = 3000  # of one identity
PICTURE_TO_HEAD = np.array([1.0, -1.0, -1.0])


@dataclass
class Person:
    """Frames of one identity: scores above rest [n, 52] and head-frame points [n, 478, 3]."""

    rest: np.ndarray
    relative: np.ndarray
    points: np.ndarray


def people(root: Path, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Landmarks and raw scores of every identity of the train split."""
    marks, scores = defaultdict(list), defaultdict(list)
    for clip in clips(root, "train"):
        if not clip.tracked:
            continue
        track = clip.track()
        marks[clip.identity].append(track["landmarks"][track["valid"]])
        scores[clip.identity].append(track["expression"][track["valid"]])
    rng, out = np.random.default_rng(seed), []
    for identity, parts in marks.items():
        landmarks, expression = np.concatenate(parts), np.concatenate(scores[identity])
        if len(landmarks) < 25:
            continue
        if len(landmarks) > MOST_FRAMES:
            keep = rng.choice(len(landmarks), MOST_FRAMES, replace=False)
            landmarks, expression = landmarks[keep], expression[keep]
        out.append((landmarks, expression))
    return out


def mean_face(everybody: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The symmetric, frontal mean face in the head frame [478, 3]."""
    first = []
    for landmarks, _ in everybody:
        head = landmarks[:40] * PICTURE_TO_HEAD
        head = head - head[:, RIGID_POINTS].mean(1, keepdims=True)
        first.append((head / interocular(landmarks[:40])[:, None, None]).mean(0))
    face = np.mean(first, 0)
    for _ in range(4):
        means = [
            fit_pose(m[::5], face.astype(np.float32)).unproject(m[::5]).mean(0)
            for m, _ in everybody
        ]
        face = np.mean(means, 0)
        face = (face - face[RIGID_POINTS].mean(0)) / interocular(face)
    for _ in range(5):
        mirrored = face * [-1, 1, 1]
        partner = KDTree(face).query(mirrored)[1]
        centre = face.mean(0)
        u, _, vt = np.linalg.svd((face - centre).T @ (mirrored[partner] - centre * [-1, 1, 1]))
        half = rotation_matrix(axis_angle((u @ vt)[None])[0].astype(np.float64) / 2)
        face = (face - face[RIGID_POINTS].mean(0)) @ half
    return (face - face[RIGID_POINTS].mean(0)).astype(np.float32)


def locality(canonical: np.ndarray) -> np.ndarray:
    """How much each channel may move each point [52, 478].

    People blink while they talk, and the regression cannot tell what goes together from what
    belongs together: eyes and brows end at the nose tip, mouth and jaw at the brows.
    """
    eyes = canonical[[33, 133, 263, 362], 1].mean()
    height = canonical[:, 1] - eyes
    upper = np.clip((height + 0.65) / 0.3, 0, 1)  # 0 below the nose tip, 1 above its middle
    lower = np.clip((0.35 - height) / 0.3, 0, 1)  # 0 from the brows up
    out = np.ones((52, len(canonical)))
    out[[n.startswith(("eye", "brow")) for n in EXPRESSION_NAMES]] = upper
    out[mouth_channels()] = lower
    return out


def fit(root: Path) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The tensors of the basis and the shares of variance explained."""
    everybody = people(root)
    canonical = mean_face(everybody)
    quantile = np.where(mouth_channels(), 0.1, 0.25)
    persons = []
    for landmarks, scores in everybody:
        rest = np.array([np.quantile(scores[:, i], q) for i, q in enumerate(quantile)])
        points = fit_pose(landmarks, canonical).unproject(landmarks)
        relative = np.clip(scores - rest, 0, 1)
        persons.append(Person(rest, relative, points.reshape(len(points), -1)))
    count = sum(len(p.points) for p in persons)
    gram, cross = np.zeros((52, 52)), np.zeros((52, 478 * 3))
    for p in persons:
        centred = p.relative - p.relative.mean(0)
        gram += centred.T @ centred
        cross += centred.T @ (p.points - p.points.mean(0))
    expression = np.linalg.solve(gram + count * RIDGE * np.eye(52), cross)
    expression[0] = 0  # _neutral moves nothing
    weight = _weights().reshape(-1)
    total, left, covariance, neutrals = 0.0, 0.0, 0.0, []
    for p in persons:
        residual = p.points - p.relative @ expression
        faces = p.points.reshape(-1, 478, 3)
        gap = np.linalg.norm(faces[:, 13] - faces[:, 14], axis=1)
        neutrals.append(np.median(residual[gap <= np.quantile(gap, CLOSED_LIPS)], 0))
        residual = residual - residual.mean(0)
        total += ((p.points - p.points.mean(0)) ** 2).sum()
        left += (residual**2).sum()
        covariance = covariance + (residual * weight).T @ (residual * weight)
    values, vectors = eigh(covariance / count, subset_by_index=[478 * 3 - DETAILS, 478 * 3 - 1])
    values, vectors = values[::-1], vectors[:, ::-1]  # pyrefly: ignore[bad-index]
    detail = (vectors * np.sqrt(values)).T / weight
    encoder = weight[:, None] * vectors / np.sqrt(values)
    after = 0.0
    for p in persons:
        residual = p.points - p.relative @ expression
        residual = residual - residual.mean(0)
        after += ((residual - residual @ encoder @ detail) ** 2).sum()
    tensors = {
        "canonical": np.mean(neutrals, 0).reshape(478, 3).astype(np.float32),
        "expression": (expression.reshape(52, 478, 3) * locality(canonical)[:, :, None]).astype(
            np.float16
        ),
        "detail": detail.reshape(DETAILS, 478, 3).astype(np.float16),
        "detail_encoder": encoder.astype(np.float16),
        "rest_expression": np.median([p.rest for p in persons], 0).astype(np.float32),
        "triangles": FaceBasis.load().triangles.astype(np.int16),
        "smile": np.zeros(DETAILS, np.float32),  # see scripts/train/smile.py
    }
    shares = {"expression": 1 - left / total, "with detail": 1 - after / total}
    return tensors, {"frames": count, "identities": len(persons), **shares}


def _weights() -> np.ndarray:
    weight = np.ones((478, 3))
    weight[INNER_LIPS + OUTER_LIPS + RIGHT_EYE + LEFT_EYE] = 2.5
    weight[468:] = 2.0
    weight[:, 2] *= 0.5  # depth is the tracker's guess
    return weight


def main() -> None:
    """Parse the command line, fit, write, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tensors, figures = fit(arguments.data)
    arguments.out.mkdir(parents=True, exist_ok=True)
    config = {"unit": "interocular distance", "axes": "x right, y up, z to the camera"}
    save_safetensors(arguments.out / "face_basis.safetensors", tensors, config)
    for name, value in figures.items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
