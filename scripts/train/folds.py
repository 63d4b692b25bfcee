"""Learn how folds and bulges of a face change its light (role `folds`).

    python -m scripts.train.folds --pack PACK [--out weights/folds.safetensors]

Pairs of pictures of one person with the head in nearly the same pose: neutral and smiling portraits
of London's, and frames of a clip, of PACK/hires. Each is laid flat by its mesh, a ratio of the two
is taken in logarithms of brightness, without what is a plane over the face: light and exposure.
The ratio is regressed (ridge) on the first principal directions in which the points move, left and
right alike, with neither lids, lips and brows, whose edges are no light, nor the outline. Prints
the correlation with the ratios of the people and clips that are held out.
"""

import argparse
import itertools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float

from motion2video.drawing.inside import affine_maps
from motion2video.drawing.places import LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from motion2video.geometry.basis import FACE_OVAL, FaceBasis, fit_pose, interocular
from scripts.data.facepack import still_held_out
from scripts.data.hires import Hires, Picture, held_out
from weights.tensors import save_safetensors

WIDTH, HEIGHT = 112, 128
UNIT = WIDTH / 2.3  # of the maps an eye distance
BROWS = (
    [46, 53, 52, 65, 55, 107, 66, 105, 63, 70],
    [276, 283, 282, 295, 285, 336, 296, 334, 293, 300],
)
DIRECTIONS = 12
RIDGE = 0.1
COUPLES = 10.0  # times a clip's pair: their pictures are sharp and have one light
MOST_PAIRS = 24  # of one clip
_TURN = np.radians(7)
_MOVED = 0.012  # eye distances, in the mean, from which two faces differ
_MOST = 0.6  # of a logarithm
_BLACK = 12.0  # of 255: below it nothing is darker
_SMOOTH = 1.2  # sigma, pixels of the maps
_RIM = 10.0  # pixels of the maps over which the face's light ends at its outline
_LINES = (
    3.0  # sigma: folds lie elsewhere in every face, so that their mean is duller than any of them
)


@dataclass(frozen=True, eq=False)
class Flat:
    """A picture laid flat: logarithms of its `light`; the `points` and the `turn` of the head."""

    light: Float[np.ndarray, "h w"]
    points: Float[np.ndarray, "478 3"]
    turn: Float[np.ndarray, "3 3"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """What points `moved` [n, 936], the `ratios` of light, whether it is a `couple` of London's."""

    moved: Float[np.ndarray, "n 936"]
    ratios: Float[np.ndarray, "n h w"]
    couple: Bool[np.ndarray, "n"]


class Map:
    """The flattened face: where its `points` lie, which pixels of it are `known`, and how much of
    each is skin whose light changes (`skin`, 0..1), or a face's at all (`whole`).
    """

    def __init__(self, basis: FaceBasis) -> None:
        face = basis.canonical[:468, :2]
        low, high = face.min(0), face.max(0)
        size = np.array([WIDTH - 1, HEIGHT - 1])
        self.points = ((face - low) / (high - low) * size).astype(np.float32)
        self.points[:, 1] = HEIGHT - 1 - self.points[:, 1]
        self.mesh = basis.triangles[(basis.triangles < 468).all(1)]
        self._ids = np.full((HEIGHT, WIDTH), -1, np.int32)
        for number, shape in enumerate(np.round(self.points[self.mesh] * 16).astype(np.int32)):
            cv2.fillConvexPoly(self._ids, shape, number, shift=4)
        self.known = (self._ids >= 0) & (self._ids >= 0)[:, ::-1]
        whole = self._filled(FACE_OVAL)
        away = 1 - cv2.erode(whole, _disc(4), borderValue=0)
        for part, grow in (
            (OUTER_LIPS, 2),
            (RIGHT_EYE, 4),
            (LEFT_EYE, 4),
            *((b, 5) for b in BROWS),
        ):
            away = np.maximum(away, cv2.dilate(self._filled(part), _disc(grow)))
        soft = cv2.GaussianBlur(away.astype(np.float32), (0, 0), 2.0)
        skin = np.clip(1 - 1.6 * soft, 0, 1) * self.known
        self.skin = np.minimum(skin, skin[:, ::-1])
        inner = cv2.distanceTransform(cv2.copyMakeBorder(whole, 1, 1, 1, 1, 0), cv2.DIST_L2, 5)
        self.whole = np.clip(inner[1:-1, 1:-1] / _RIM, 0, 1)

    def _filled(self, part: list[int]) -> np.ndarray:
        plane = np.zeros((HEIGHT, WIDTH), np.uint8)
        points = np.round(self.points[part]).astype(np.int32)
        shape = cv2.convexHull(points) if part in BROWS else points
        return np.asarray(cv2.fillPoly(plane, [shape], 1), np.uint8)

    def lay(self, picture: Picture, basis: FaceBasis) -> Flat:
        """A picture laid flat."""
        marks, image = picture.landmarks, picture.image
        fine = float(interocular(marks * np.array([1, 1, 0], np.float32))) / UNIT / 2
        image = cv2.GaussianBlur(image, (0, 0), fine) if fine > 0.5 else image
        maps = affine_maps(self.points[self.mesh], marks[self.mesh, :2])[self._ids]
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        at = maps[..., 0, :] * x[..., None] + maps[..., 1, :] * y[..., None] + maps[..., 2, :]
        seen = cv2.remap(image, at.astype(np.float32), None, cv2.INTER_LINEAR)  # pyrefly: ignore[no-matching-overload]
        light = np.log(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY).astype(np.float32) + _BLACK)
        weight = cv2.GaussianBlur(self.known.astype(np.float32), (0, 0), _SMOOTH)
        smooth = cv2.GaussianBlur(light * self.known, (0, 0), _SMOOTH) / np.maximum(weight, 1e-3)
        pose = fit_pose(marks[None], basis.canonical)
        return Flat(smooth * self.known, pose.unproject(marks[None])[0], pose.rotation[0])

    def ratio(self, one: Flat, other: Flat) -> Float[np.ndarray, "h w"]:
        """Of the light of two pictures, without the plane that most of the face agrees on."""
        y, x = np.nonzero(self.known)
        plane = np.stack([np.ones(len(x)), x / WIDTH - 0.5, y / HEIGHT - 0.5], 1)
        left = away = (other.light - one.light)[y, x]
        weight = np.ones(len(x))
        for _ in range(4):
            factors = np.linalg.lstsq(plane * weight[:, None], away * weight, rcond=None)[0]
            left = away - plane @ factors
            weight = 1 / np.sqrt(1 + (left / 0.05) ** 2)
        out = np.zeros(self.known.shape, np.float32)
        out[y, x] = np.clip(left, -_MOST, _MOST)
        return out * (self.skin > 0)


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)


def _apart(one: Flat, other: Flat) -> float:
    return float(np.linalg.norm((one.points - other.points)[:468, :2], axis=1).mean())


def _turned(one: Flat, other: Flat) -> float:
    return float(np.arccos(np.clip((np.trace(one.turn.T @ other.turn) - 1) / 2, -1, 1)))


def pairs(pack: Path, flat: Map, basis: FaceBasis, test: bool) -> Pairs:
    """Of the people and clips that are held out, or of the others."""
    hires, groups = Hires(pack), defaultdict[str, list[int]](list)
    for i, row in enumerate(hires.rows):
        if row["kind"] == "clip":
            groups[row["group"]].append(i)
    groups |= {person: list(both.values()) for person, both in hires.couples().items()}
    rng, moved, ratios, couples = np.random.default_rng(0), [], [], []
    for name, members in sorted(groups.items()):
        couple = hires.rows[members[0]]["kind"] == "real"
        if (still_held_out(name) if couple else held_out(name)) != test:
            continue
        faces = [flat.lay(hires.picture(i), basis) for i in members]
        chosen = list(itertools.combinations(faces, 2))
        rng.shuffle(chosen)
        if not couple:
            chosen = [p for p in chosen if _turned(*p) < _TURN and _apart(*p) > _MOVED]
        for one, other in chosen[:MOST_PAIRS]:
            moved.append((other.points - one.points)[:468, :2].reshape(-1))
            ratios.append(flat.ratio(one, other))
            couples.append(couple)
    return Pairs(np.stack(moved), np.stack(ratios), np.array(couples))


def fit(found: Pairs, flat: Map, basis: FaceBasis) -> tuple[np.ndarray, np.ndarray]:
    """Readings [936, DIRECTIONS] of amounts from moved points, and a map for each."""
    mirrored = found.moved.reshape(-1, 468, 2)[:, basis.partners[:468]] * [-1, 1]
    moved = np.concatenate([found.moved, mirrored.reshape(found.moved.shape)])
    ratios = np.concatenate([found.ratios, found.ratios[:, :, ::-1]]).reshape(len(moved), -1)
    weight = np.where(np.tile(found.couple, 2), COUPLES, 1.0)[:, None]
    _, _, axes = np.linalg.svd(moved * np.sqrt(weight), full_matrices=False)
    # An axis has two signs; which one comes out depends on the machine.
    largest = np.abs(axes).argmax(1)[:, None]
    axes = axes * np.sign(np.take_along_axis(axes, largest, 1))
    reads = axes[:DIRECTIONS].T
    reads = reads / np.sqrt(((moved @ reads) ** 2 * weight).sum(0) / weight.sum())
    amounts = moved @ reads
    gram = (amounts * weight).T @ amounts / weight.sum() + RIDGE * np.eye(DIRECTIONS)
    maps = np.linalg.solve(gram, (amounts * weight).T @ ratios / weight.sum())
    maps = maps.reshape(-1, HEIGHT, WIDTH)
    clear = [2 * one - cv2.GaussianBlur(one, (0, 0), _LINES) for one in maps]
    return reads, np.stack(clear) * flat.skin


def judge(found: Pairs, reads: np.ndarray, maps: np.ndarray, flat: Map) -> str:
    """How ratios of light agree with what is made of the points, couples and clips apart."""
    told = np.tensordot(found.moved @ reads, maps, 1)
    parts = []
    for name, chosen in (("couples", found.couple), ("clips", ~found.couple)):
        if not chosen.any():
            continue  # a pack may have none
        a, b = (x[chosen][:, flat.skin > 0].ravel() for x in (told, found.ratios))
        share = 1 - ((b - a) ** 2).sum() / (b**2).sum()
        parts.append(f"{chosen.sum()} {name}: r {np.corrcoef(a, b)[0, 1]:.3f}, R2 {share:.3f}")
    return "; ".join(parts)


def main() -> None:
    """Parse the command line, fit, write, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("weights/folds.safetensors"))
    options = parser.parse_args()
    basis = FaceBasis.load()
    flat = Map(basis)
    train = pairs(options.pack, flat, basis, test=False)
    reads, maps = fit(train, flat, basis)
    steps = np.abs(maps).max((1, 2)) / 127
    tensors = {
        "points": flat.points,
        "reads": reads.astype(np.float32),
        "maps": np.round(maps / steps[:, None, None]).astype(np.int8),
        "steps": steps.astype(np.float32),
        "skin": np.round(255 * flat.skin).astype(np.uint8),
        "whole": np.round(255 * flat.whole).astype(np.uint8),
    }
    save_safetensors(options.out, tensors, {"unit": "logarithm of a ratio of brightness"})
    print("trained on:", judge(train, reads, maps, flat))
    test = pairs(options.pack, flat, basis, test=True)
    print("held out:  ", judge(test, reads, maps, flat))


if __name__ == "__main__":
    main()
