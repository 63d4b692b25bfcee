#!/usr/bin/env python3
"""Neutral portraits moved by the same people's real smiles, against the pictures of those smiles.

    python -m scripts.evaluate.smiles --pack PACK [--everybody] [--no-pictures] [--skin]
        [--calm] [--without folds creases light mouth] [--sheet FILE]

PACK/hires has a neutral and a smiling portrait of each of 82 people of the Face Research Lab London
Set. The smile is tracked, measured from the neutral face, and moves the neutral portrait. Errors
are those of the 40 lip points in percent of the distance between the eyes, after a similarity by
points that do not smile. Stages: `unmoved` is the neutral face itself, `52 channels` and `model`
what Motion can say without and with its detail, `asked for` the keypoints that are to be drawn,
`drawn` what is tracked in the frame, `drawn for asked` how far that is from what was asked for.

Inside the true inner lips of smiles that open them: `edges`, gradient energy as a share of the true
one, and `colour`, the distance of the mean colours in Lab (8 bits). With --skin, `skin`: LPIPS of
the face from the eyes to the chin, whose lips are the true ones in both pictures. With --calm that
of smiling photos that become calm. Only the people whom nothing was trained on count, unless
--everybody is given: then figures of what is drawn are flattered.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from app.quality.perceptual import Lpips
from motion2video.drawing.places import INNER_LIPS, OUTER_LIPS
from motion2video.drawing.stage import draw
from motion2video.faces.tracker import Face, FaceTracker, pick_face
from motion2video.geometry.basis import (
    FaceBasis,
    estimate_neutral,
    fit_pose,
    interocular,
    motion_from_landmarks,
)
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import DETAIL, Motion
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import Renderer
from scripts.data.facepack import still_held_out
from scripts.data.hires import Hires
from scripts.evaluate.ablation import PARTS, Part, without

LIPS = OUTER_LIPS + INNER_LIPS
UNSMILING = [33, 133, 362, 263, 168, 6, 197, 195, 9, 151, 10]
OPEN = 0.06  # eye distances between the lips from which there is an inside to compare
_SMALLEST = 50  # pixels of it
_TILE = (240, 200)


@dataclass(frozen=True)
class Pair:
    """A person's neutral and smiling portrait, each with its face."""

    name: str
    neutral: UInt8[np.ndarray, "h w 3"]
    smile: UInt8[np.ndarray, "h w 3"]
    faces: tuple[Face, Face]

    def motion(self, basis: FaceBasis) -> Motion:
        """The smile, measured from the neutral face."""
        calm, glad = self.faces
        one = np.ones(1, bool)
        neutral = estimate_neutral(calm.landmarks[None], calm.expression[None], one, basis)
        return motion_from_landmarks(
            glad.landmarks[None], glad.expression[None], one, 25.0, basis, neutral
        )


def pairs(pack: Path, tracker: FaceTracker, everybody: bool = False) -> list[Pair]:
    """The portraits of the people who are held out, or of all."""
    hires, out = Hires(pack), []
    for person, rows in sorted(hires.couples().items()):
        if not everybody and not still_held_out(person):
            continue
        calm, glad = (hires.image(rows[e]) for e in ("neutral", "smiling"))
        faces = tuple(pick_face(tracker.detect(image))[0] for image in (calm, glad))
        out.append(Pair(person, calm, glad, (faces[0], faces[1])))
    return out


def laid_over(
    shown: Float[np.ndarray, "478 3"], true: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, "2 3"]:
    """The similarity of the picture plane that lays one face on another."""
    matrix, _ = cv2.estimateAffinePartial2D(
        shown[UNSMILING, :2].astype(np.float32), true[UNSMILING, :2].astype(np.float32)
    )
    return np.asarray(matrix, np.float64)


def lips_off(shown: Float[np.ndarray, "478 3"], true: Float[np.ndarray, "478 3"]) -> float:
    """Mean distance of the lips' points, percent of the true eye distance."""
    matrix = laid_over(shown, true)
    placed = shown[LIPS, :2] @ matrix[:, :2].T + matrix[:, 2]
    away = np.linalg.norm(placed - true[LIPS, :2], axis=1).mean()
    return float(100 * away / interocular(true * np.array([1, 1, 0], np.float32)))


def geometry(pair: Pair, motion: Motion, face: PortraitFace) -> dict[str, float]:
    """The errors of the stages before anything is drawn."""
    true, basis, rest = pair.faces[1].landmarks, face.basis, motion.rest
    assert rest is not None
    pose = fit_pose(true[None], basis.canonical)
    plain = motion.values.copy()
    plain[:, DETAIL] = 0
    said = [pose.project(rest.points + basis.offsets(v))[0] for v in (plain, motion.values)]
    return {
        "unmoved": lips_off(pair.faces[0].landmarks, true),
        "52 channels": lips_off(said[0], true),
        "model": lips_off(said[1], true),
        "asked for": lips_off(face.keypoints(motion)[0][0], true),
    }


def inside(
    image: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "478 2"]
) -> tuple[float, Float[np.ndarray, "3"]] | None:
    """Gradient energy and mean colour (Lab) of an open mouth; None where it is too small."""
    mask = cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [points[INNER_LIPS].astype(int)], 1)
    mask = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0
    if mask.sum() <= _SMALLEST:
        return None
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    edges = np.hypot(*(cv2.Sobel(lab[..., 0], -1, 1 - k, k) for k in (0, 1)))
    return float(edges[mask].mean()), lab[mask].mean(0)


def pictures(
    pair: Pair, frame: UInt8[np.ndarray, "h w 3"], asked: Float[np.ndarray, "478 3"], seen: Face
) -> tuple[dict[str, float], UInt8[np.ndarray, "h w 3"]]:
    """The figures of what was drawn, and the frame laid over the true picture. A mouth that was
    drawn shut, where the true one is open, has no edges."""
    true = pair.faces[1].landmarks
    figures = {
        "drawn": lips_off(seen.landmarks, true),
        "drawn for asked": lips_off(seen.landmarks, asked),
    }
    matrix = laid_over(seen.landmarks, true)
    size = (pair.smile.shape[1], pair.smile.shape[0])
    placed = np.asarray(cv2.warpAffine(frame, matrix, size), np.uint8)
    gap = np.linalg.norm(true[13] - true[14]) / interocular(true)
    wanted = inside(pair.smile, true[:, :2]) if gap > OPEN else None
    if wanted is not None:
        points = seen.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        got = inside(placed, points)
        figures["edges"] = got[0] / wanted[0] if got else 0.0
        if got:
            figures["colour"] = float(np.linalg.norm(got[1] - wanted[1]))
    return figures, placed


def skin(lpips: Lpips, shown: UInt8[np.ndarray, "h w 3"], pair: Pair) -> float:
    """How far a frame that is laid over the true smile is from it, but for the lips."""
    true, marks = pair.smile, pair.faces[1].landmarks
    unit = float(interocular(marks))
    grow = np.ones((2 * round(0.08 * unit) + 1,) * 2, np.uint8)
    lips = cv2.fillPoly(np.zeros(true.shape[:2], np.uint8), [marks[OUTER_LIPS, :2].astype(int)], 1)
    shown = np.where(cv2.dilate(lips, grow)[..., None] > 0, true, shown)
    x, y = (float(v) for v in marks[[33, 263], :2].mean(0))
    rows = slice(round(y + 0.1 * unit), round(y + 1.45 * unit))
    columns = slice(round(x - 0.75 * unit), round(x + 0.75 * unit))
    both = [
        torch.from_numpy(one[rows, columns].copy()).permute(2, 0, 1)[None] / 255
        for one in (shown, true)
    ]
    with torch.inference_mode():
        return float(lpips(*both))


def unsmiled(renderer: Renderer, pair: Pair, parts: list[Part]) -> Pair:
    """The other way round: the calm photo laid over the smiling one (`smile` of what is given
    back), and what becomes of this when its points lie as in the calm one (`neutral`).
    """
    calm, glad = pair.faces
    matrix = laid_over(calm.landmarks, glad.landmarks)
    size = (pair.smile.shape[1], pair.smile.shape[0])
    true = cv2.warpAffine(pair.neutral, matrix, size, flags=cv2.INTER_CUBIC)
    marks = calm.landmarks.copy()
    marks[:, :2] = marks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    marks[:, 2] *= np.hypot(matrix[0, 0], matrix[1, 0])
    marks = marks.astype(np.float32)
    prepared = without(renderer.init_state(Portrait(pair.smile, glad)), parts).prepared
    shown = draw(prepared.stage, marks[None], marks[None])[0]
    return Pair(
        pair.name, shown, np.asarray(true, np.uint8), (glad, replace(calm, landmarks=marks))
    )


def print_unsmiled(people: list[Pair], renderer: Renderer, parts: list[Part]) -> None:
    """How like calm skin the skin of smiling photos becomes."""
    lpips = Lpips()
    found = [
        skin(lpips, one.neutral, one) for one in (unsmiled(renderer, p, parts) for p in people)
    ]
    print(f"{len(found)} smiling photos become calm: skin {np.mean(found):.4f} LPIPS")


def _tile(image: UInt8[np.ndarray, "h w 3"], marks: Float[np.ndarray, "478 3"]) -> np.ndarray:
    """The lower face."""
    x, y = (round(float(v)) for v in marks[LIPS, :2].mean(0))
    half = 0.9 * float(interocular(marks))
    rows = slice(max(0, y - round(half)), y + round(half))
    columns = slice(max(0, x - round(1.2 * half)), x + round(1.2 * half))
    return cv2.resize(image[rows, columns], _TILE, interpolation=cv2.INTER_AREA)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--everybody", action="store_true", help="not only the people held out")
    parser.add_argument("--no-pictures", action="store_true", help="geometry alone")
    parser.add_argument("--skin", action="store_true", help="LPIPS of the skin too")
    parser.add_argument("--calm", action="store_true", help="smiling photos become calm instead")
    parser.add_argument("--without", choices=PARTS, nargs="*", default=[])
    parser.add_argument("--sheet", type=Path, help="neutral, drawn and true of 20 people")
    options = parser.parse_args()
    lpips = Lpips() if options.skin else None
    tracker, renderer = FaceTracker.load(), Renderer.load(compute=ComputeConfig(device="cpu"))
    basis, tiles = renderer.basis, []
    figures: dict[str, list[float]] = defaultdict(list)
    people = pairs(options.pack, tracker, options.everybody)
    if options.calm:
        return print_unsmiled(people, renderer, options.without)
    for pair in people:
        motion, portrait = pair.motion(basis), Portrait.load(pair.neutral, tracker)
        settled = PortraitFace.fit(portrait.face.landmarks, portrait.face.expression, basis)
        face = settled.driven_by(motion)
        found = geometry(pair, motion, face)
        if not options.no_pictures:
            state = without(renderer.init_state(portrait, driver=motion), options.without)
            frame = renderer.step(state, motion)[1][0]
            faces = tracker.detect(frame)
            if not faces:
                raise SystemExit(f"nobody is found in what was drawn of {pair.name}")
            asked = face.keypoints(motion)[0][0]
            more, placed = pictures(pair, frame, asked, pick_face(faces)[0])
            found |= more
            if lpips is not None:
                found["skin"] = skin(lpips, placed, pair)
            calm, true = (f.landmarks for f in pair.faces)
            three = ((pair.neutral, calm), (placed, true), (pair.smile, true))
            tiles.append(np.concatenate([_tile(*one) for one in three], 0))
        for name, value in found.items():
            figures[name].append(value)
    print(f"{len(people)} people; lips off by percent of the eye distance: mean, median, worst")
    for name, values in figures.items():
        middle = f"{np.median(values):.2f}"
        if name in ("edges", "colour"):
            print(f"{name:16} {np.mean(values):5.2f}  {middle:>5}  of {len(values)} open smiles")
        elif name == "skin":
            print(f"{name:16} {np.mean(values):.4f} LPIPS")
        else:
            print(f"{name:16} {np.mean(values):5.2f}  {middle:>5}  {max(values):5.2f}")
    if options.sheet and tiles:
        picked = tiles[:: max(1, len(tiles) // 20)][:20]
        lines = [
            np.concatenate(picked[i : i + 10], 1) for i in range(0, len(picked) // 10 * 10, 10)
        ]
        whole = np.concatenate(lines or [np.concatenate(picked, 1)], 0)
        cv2.imwrite(str(options.sheet), whole[..., ::-1])


if __name__ == "__main__":
    main()
