"""Fit of how bright it is in mouths (`white` and `light` of role `mouth`), by real ones.

    python -m scripts.train.teeth --pack PACK [--out weights/mouth.safetensors]

PACK/hires has sharp faces with open mouths. `white` is the colour of the brightest teeth, by ridge
regression on the colours of the eyes' white, of the lips, and of the skin about the mouth, in
logarithms. `light` is what the drawn mouth must be multiplied by to be as bright as the true one,
by place between the lips, gap and width. People count alike, however many pictures there are of
them. Those that are held out (scripts.data.hires) are left out, and printed on: how far
colours are off (Lab) by the mean colour of teeth and as fitted, and how many grey levels the drawn
mouth's parts are, dark as it is baked and lit. Run scripts/update_manifest.py afterwards.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion2video.drawing.inside import draw_mouth
from motion2video.drawing.places import INNER_LIPS, Place, fill_polygon
from motion2video.geometry.basis import FaceBasis, interocular
from motion2video.geometry.retarget import PortraitFace
from motion2video.portrait.mouth import (
    FOOT,
    Mouth,
    around_teeth,
    between_lips,
    teeth_in,
    white_of,
)
from scripts.data.hires import Hires, held_out
from weights import find
from weights.tensors import read_safetensors, save_safetensors

SHARP = 60.0
"""Pixels between the eyes, at least."""
OPEN = 0.04
"""Eye distances between lips, at least."""
TURNED = 0.3
"""Radians from which a head's mouth does not count for the light in it."""
STIFFNESS, LIGHT_STIFFNESS = 1.0, 3.0
PARTS = (4, 8)
"""Of a mouth: from the middle to the corners, from the upper to the lower lip."""
ENOUGH = 60
"""Pixels of a part that count in full."""


@dataclass(frozen=True, eq=False)
class Seen:
    """An open mouth: the colour of the brightest teeth (0..1), if it shows some, and the colours
    around them; its window of the picture; the face, and that at rest; whose it is.
    """

    white: Float[np.ndarray, "3"] | None
    around: Float[np.ndarray, "3 3"]
    window: UInt8[np.ndarray, "h w 3"]
    landmarks: Float[np.ndarray, "478 3"]
    neutral: Float[np.ndarray, "478 3"]
    turned: float
    group: str


def faces(pack: Path) -> list[Seen]:
    """Of every picture with an open mouth."""
    hires, found, basis = Hires(pack), list[Seen](), FaceBasis.load()
    for i, row in enumerate(hires.rows):
        marks, scores = hires.tracked(i)
        unit = float(interocular(marks))
        if unit < SHARP or np.linalg.norm(marks[13] - marks[14]) < OPEN * unit:
            continue
        image = hires.image(i)
        teeth = teeth_in(image, marks, between_lips(image.shape[:2], marks))
        around, place = around_teeth(image, marks), Place.of("mouth", marks)
        neutral = PortraitFace.fit(marks, scores, basis).neutral
        turned = float(np.linalg.norm(hires.rotation(i)))
        whole = (place.cut(image), marks, neutral, turned, row["group"])
        white = None if teeth is None else teeth.white / 255
        found.append(Seen(white, around, *whole))
    return found


def fit_white(known: list[Seen]) -> Float[np.ndarray, "10 3"]:
    """What `white_of` goes by, of those that show teeth."""
    known = [one for one in known if one.white is not None]
    whites = [one.white for one in known if one.white is not None]
    often = Counter(one.group for one in known)
    weight = np.array([often[one.group] ** -0.5 for one in known])[:, None]
    colours = np.log(np.clip([one.around.ravel() for one in known], 2 / 255, 1))
    whole = np.concatenate([colours, np.ones((len(known), 1))], 1) * weight
    wanted = np.log(np.clip(whites, 2 / 255, 1)) * weight
    stiff = STIFFNESS * np.eye(10)
    stiff[-1, -1] = 0
    return np.linalg.solve(whole.T @ whole + stiff, whole.T @ wanted).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Parts:
    """Of the parts of a mouth: mean colours of the `true` and of the drawn one, how much they
    count, and what light depends on there.
    """

    true: Float[np.ndarray, "n 3"]
    drawn: Float[np.ndarray, "n 3"]
    weight: Float[np.ndarray, "n"]
    grown: Float[np.ndarray, "n 28"]


def parts_of(one: Seen, tensors: Mapping[str, np.ndarray]) -> Parts:
    """What is drawn beside what is there."""
    mouth, place = Mouth.amid(one.around, one.neutral, tensors), Place.of("mouth", one.landmarks)
    lips = place.points(one.landmarks[INNER_LIPS, :2])
    y, x = np.nonzero(fill_polygon(lips, place.size) > 127)
    points = place.back(np.stack([x, y], 1).astype(np.float32))
    grown = mouth.posed(one.landmarks).of_light(points)
    across, down = grown[:, 4], grown[:, 1]
    part = np.minimum(across * PARTS[0], PARTS[0] - 1).astype(int) * PARTS[1]
    part += np.minimum(down * PARTS[1], PARTS[1] - 1).astype(int)
    drawn = draw_mouth(mouth, one.landmarks, place)
    count = np.bincount(part, minlength=np.prod(PARTS))
    means = [
        np.stack([np.bincount(part, column, len(count)) for column in table.T.astype(float)], 1)
        / np.maximum(count, 1)[:, None]
        for table in (one.window[y, x], drawn[y, x], grown)
    ]
    return Parts(means[0], means[1], np.minimum(count / ENOUGH, 1), means[2])


def fit_light(every: list[Parts], often: list[int]) -> Float[np.ndarray, "4 7 3"]:
    """What `Mouth.lights` goes by: ridge regression of how much brighter true mouths are, in
    logarithms.
    """
    true, drawn, grown = (
        np.concatenate([getattr(one, name) for one in every]) for name in ("true", "drawn", "grown")
    )
    weight = np.concatenate([one.weight / n**0.5 for one, n in zip(every, often, strict=True)])
    root = np.sqrt(weight)[:, None]
    wanted = np.log((true + FOOT) / (drawn + FOOT)) * root
    whole = grown * root
    stiff = whole.T @ whole + LIGHT_STIFFNESS * np.eye(whole.shape[1])
    return np.linalg.solve(stiff, whole.T @ wanted).reshape(4, 7, 3).astype(np.float32)


def off(every: list[Parts], light: Float[np.ndarray, "4 7 3"]) -> float:
    """By how many grey levels parts of drawn mouths are off."""
    away, total = 0.0, 0.0
    for one in every:
        lit = (one.drawn + FOOT) * np.exp(one.grown @ light.reshape(-1, 3)) - FOOT
        away += float((np.abs(lit - one.true).mean(1) * one.weight).sum())
        total += float(one.weight.sum())
    return away / total


def away(made: Float[np.ndarray, "n 3"], true: Float[np.ndarray, "n 3"]) -> float:
    """Mean distance of colours, Lab."""
    both = [cv2.cvtColor(x[:, None].astype(np.float32), cv2.COLOR_RGB2LAB) for x in (made, true)]
    return float(np.linalg.norm(both[0] - both[1], axis=-1).mean())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="else the same file")
    options = parser.parse_args()
    path = find("mouth")
    tensors, header = read_safetensors(path)
    every = faces(options.pack)
    known, judged = (
        [one for one in every if held_out(one.group) == held] for held in (False, True)
    )
    white = fit_white(known)
    print(f"{len(known)} pictures of {len({one.group for one in known})} people")
    dark = {**tensors, "white": white, "light": np.zeros((4, 7, 3), np.float32)}
    straight = [one for one in known if one.turned < TURNED]
    often = Counter(one.group for one in straight)
    light = fit_light(
        [parts_of(one, dark) for one in straight], [often[one.group] for one in straight]
    )
    if judged:
        toothy = [one for one in judged if one.white is not None]
        true = np.array([one.white for one in toothy])
        mean = np.mean([one.white for one in known if one.white is not None], 0)
        made = white_of(np.array([one.around for one in toothy]), white)
        flat = away(np.broadcast_to(mean, true.shape), true)
        print(
            f"{len(toothy)} of {len(judged)} held out show teeth: Lab off by {flat:.1f}, "
            f"{away(made, true):.1f} fitted"
        )
        parts = [parts_of(one, dark) for one in judged if one.turned < TURNED]
        before, after = off(parts, dark["light"]), off(parts, light)
        print(f"parts of mouths, grey levels {before:.1f} as baked, {after:.1f} lit")
    fitted = {"white": white, "light": light}
    save_safetensors(options.out or path, {**tensors, **fitted}, header)


if __name__ == "__main__":
    main()
