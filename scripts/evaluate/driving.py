#!/usr/bin/env python3
"""How near a person's own motion brings a frame of theirs to the frames it was tracked from.

    python -m scripts.evaluate.driving --data DATA [--split test] [--frames 3]
    python -m scripts.evaluate.driving --pack PACK

Of every tracked clip some frames are taken for the photo, as a user would who drives a picture of
somebody by their own video; nobody says which frames they are. Errors are distances to the tracked
landmarks in pixels, where the eyes are 107 pixels apart (a head in a 512 px picture): all points
and lips, means over clips and photos, and the worst tenth of the frames. `as if for anybody` moves
the photo from the clip's rest, as it would a stranger's.

With --pack it is the clips of PACK/hires that are held out (see turning.py): the calmest frame of
each is the photo, and `reach` is how far the mouth goes of the way that it goes in life, where
people smile, pout, press or frown: the made way along the true one, in the head. `expression` is
without the detail components.
"""

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motion2video.geometry.basis import (
    FaceBasis,
    fit_pose,
    motion_from_landmarks,
    mouth_channels,
)
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import DETAIL, FPS, Motion, channel_index
from scripts.data.dataset import clips
from scripts.evaluate.turning import clips as sharp_clips

EYES_PX = 107.0
# fmt: off
LIPS = [
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
]
# fmt: on


def errors(
    face: PortraitFace,
    shown: Float[np.ndarray, "T 478 3"],
    true: Float[np.ndarray, "T 478 3"],
) -> Float[np.ndarray, "3"]:
    """Mean distance of all points and of the lips, and of the worst tenth of the frames."""
    away = np.linalg.norm((shown - true)[..., :2], axis=-1) / face.pose.scale[0] * EYES_PX
    return np.array([away.mean(), away[:, LIPS].mean(), np.quantile(away.mean(1), 0.9)])


EXPRESSIONS = {
    "smile": (("mouthSmileLeft", "mouthSmileRight"), 0.4),
    "pout": (("mouthPucker", "mouthFunnel"), 0.4),
    "frown": (("mouthFrownLeft", "mouthFrownRight"), 0.15),
    "press": (("mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper"), 0.35),
    "open": (("jawOpen",), 0.3),
}
"""Channels, and how far beyond the person's rest any of them is where somebody does that."""


def reaches(pack: Path, basis: FaceBasis) -> dict[str, list[np.ndarray]]:
    """Of every expression, and frame that shows it: the reach of expression and detail, that of
    expression alone, and how far off the lips are with both, in interocular distances.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in EXPRESSIONS}
    for frames in sharp_clips(pack).values():
        marks = np.stack([frame.landmarks for frame in frames])
        scores = np.stack([frame.scores for frame in frames])
        motion = motion_from_landmarks(marks, scores, np.ones(len(marks), bool), FPS, basis)
        calm = int(motion.expression[:, mouth_channels()].sum(1).argmin())
        face = PortraitFace.fit(marks[calm], scores[calm], basis).driven_by(motion)
        plain = Motion(motion.values.copy(), motion.fps, motion.valid, motion.rest)
        plain.values[:, DETAIL] = 0
        true, made, rough = (
            fit_pose(m, basis.canonical).unproject(m)[:, LIPS]
            for m in (marks, face.keypoints(motion)[0], face.keypoints(plain)[0])
        )
        goes = true - true[calm]
        for name, (channels, least) in EXPRESSIONS.items():
            most = motion.values[:, [channel_index(c) for c in channels]].max(1)
            for k in np.setdiff1d(np.flatnonzero(most > least), [calm]):
                way = float((goes[k] ** 2).sum())
                along = [float((goes[k] * (p[k] - p[calm])).sum()) / way for p in (made, rough)]
                off = np.linalg.norm(made[k] - true[k], axis=-1).mean()
                found[name].append(np.array([*along, off]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--frames", type=int, default=3, help="of each clip that are photos")
    parser.add_argument("--seconds", type=float, default=2.0, help="shortest clip that counts")
    options = parser.parse_args()
    basis, rows = FaceBasis.load(), []
    if options.pack:
        for name, seen in reaches(options.pack, basis).items():
            if seen:
                whole, plain, off = np.median(seen, 0)
                print(
                    f"{name:6} {len(seen):3} frames  reach {whole:.2f}  expression {plain:.2f}  "
                    f"lips off {100 * off:.1f} %"
                )
        return
    if options.data is None:
        parser.error("--data or --pack is needed")
    for clip in clips(options.data, options.split):
        if not clip.tracked or clip.frames < 25 * options.seconds:
            continue
        track, motion = clip.track(), clip.motion()
        marks = track["landmarks"].astype(np.float32)
        for frame in np.linspace(0, len(marks) - 1, options.frames + 1).astype(int)[:-1]:
            if not track["valid"][frame]:
                continue
            face = PortraitFace.fit(marks[frame], track["expression"][frame], basis)
            own = face.driven_by(motion)
            both = [errors(face, f.keypoints(motion)[0], marks) for f in (face, own)]
            rows.append(np.concatenate(both))
    if not rows:
        raise SystemExit("there is no tracked clip that is long enough")
    mean = np.mean(rows, 0)
    print(f"{len(rows)} photos of {options.split}; px where the eyes are {EYES_PX:g} px apart")
    for name, part in (("as if for anybody", mean[:3]), ("their own motion", mean[3:])):
        print(f"{name:18} all {part[0]:6.2f}  lips {part[1]:6.2f}  worst tenth {part[2]:6.2f}")


if __name__ == "__main__":
    main()
