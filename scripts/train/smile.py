"""Learn what of a smile the expression channels leave out (tensor `smile` of role `face_basis`).

    python -m scripts.train.smile --pack PACK [--out weights/face_basis.safetensors]

The channels' directions are a regression over people who talk, who hardly smile. From the neutral
and smiling portraits of PACK/hires: the mean detail, per unit of mouthSmile, that is left when a
smile is asked for as the controls ask for one. It moves the lips apart no more than channels do.
Prints how far corners and cheeks go along real smiles of the people who are held out, 1 is all.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from audio2motion.gestures.emotion import class_offset
from motion2video.geometry.basis import LOWER_LIP, UPPER_LIP, FaceBasis, fit_pose
from motion2video.motion import channel_index
from scripts.data.facepack import still_held_out
from scripts.data.hires import Hires
from weights.tensors import load_safetensors, save_safetensors

CORNERS = [61, 291]
CHEEKS = [50, 280, 205, 425, 187, 411, 36, 266]
LIDS = [159, 145, 386, 374]
EVEN, SHUT, RIDGE = 3.0, 1e3, 1e-4
SMILES = [channel_index("mouthSmileLeft"), channel_index("mouthSmileRight")]


@dataclass(frozen=True, eq=False)
class Smiles:
    """How strong each smile is (`amount`), and what moves by it (`moved`, head frame)."""

    amount: Float[np.ndarray, "n"]
    moved: Float[np.ndarray, "n 478 3"]


def smiles(hires: Hires, basis: FaceBasis, test: bool) -> Smiles:
    """Of the people who are held out, or of the others."""
    amounts, moved = [], []
    for person, both in hires.couples().items():
        if still_held_out(person) != test:
            continue
        (calm, before), (glad, after) = (hires.tracked(both[e]) for e in ("neutral", "smiling"))
        amounts.append((after - before)[SMILES].mean())
        points = [fit_pose(m[None], basis.canonical).unproject(m[None])[0] for m in (calm, glad)]
        moved.append(points[1] - points[0])
    return Smiles(np.maximum(np.array(amounts), 0), np.stack(moved))


def asked(basis: FaceBasis) -> Float[np.ndarray, "478 3"]:
    """What channels alone move, per unit of mouthSmile."""
    wanted = class_offset("happiness")
    return basis.offsets(wanted[None] / wanted[SMILES].mean())[0]


def fit(found: Smiles, basis: FaceBasis) -> Float[np.ndarray, "32"]:
    """The detail that comes nearest to the mean of what is left, both sides alike, and without a
    gap between the lips.
    """
    left = (found.moved - found.amount[:, None, None] * asked(basis)) * found.amount[:, None, None]
    mean = left.sum(0) / (found.amount**2).sum()
    moves = basis.detail.astype(np.float64)
    uneven = (moves - moves[:, basis.partners] * [-1, 1, 1]).reshape(len(moves), -1)
    gap = moves[:, UPPER_LIP, 1] - moves[:, LOWER_LIP, 1]
    weight = np.ones(mean.shape)
    weight[:, 2] = 0.2  # depth is the tracker's guess
    weight[[*range(468, 478), *LIDS]] = 0
    flat, weight = moves.reshape(len(moves), -1), weight.reshape(-1)
    gram = (flat * weight) @ flat.T + EVEN * uneven @ uneven.T + SHUT * np.outer(gap, gap)
    gram += RIDGE * np.eye(len(moves))
    return np.linalg.solve(gram, (flat * weight) @ mean.reshape(-1)).astype(np.float32)


def reach(found: Smiles, unit: Float[np.ndarray, "478 3"], points: list[int]) -> float:
    """How far points go along what they really move."""
    true = found.moved[:, points, :2]
    told = found.amount[:, None, None] * unit[points, :2]
    return float((told * true).sum() / (true**2).sum())


def main() -> None:
    """Parse the command line, fit, write, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("weights/face_basis.safetensors"))
    options = parser.parse_args()
    hires, basis = Hires(options.pack), FaceBasis.load()
    detail = fit(smiles(hires, basis, test=False), basis)
    tensors, config = load_safetensors("face_basis")
    save_safetensors(options.out, tensors | {"smile": detail}, config)
    test, plain = smiles(hires, basis, test=True), asked(basis)
    whole = plain + np.tensordot(detail, basis.detail, 1)
    for name, unit in (("channels alone", plain), ("with detail", whole)):
        corners, cheeks = (reach(test, unit, part) for part in (CORNERS, CHEEKS))
        print(f"{name}: corners {corners:.2f}, cheeks {cheeks:.2f} of {len(test.amount)} smiles")


if __name__ == "__main__":
    main()
