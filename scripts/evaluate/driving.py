#!/usr/bin/env python3
"""How near a person's own motion brings a frame of theirs to the frames it was tracked from.

    python -m scripts.evaluate.driving --data DATA [--split test] [--frames 3]

Of every tracked clip some frames are taken for the photo, as a user would who drives a picture of
somebody by their own video; nobody says which frames they are. Errors are distances to the tracked
landmarks in pixels, where the eyes are 107 pixels apart (a head in a 512 px picture): all points
and lips, means over clips and photos, and the worst tenth of the frames. `as if for anybody` moves
the photo from the clip's rest, as it would a stranger's.
"""

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motion2video.geometry.basis import FaceBasis
from motion2video.geometry.retarget import PortraitFace
from scripts.data.dataset import clips

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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--frames", type=int, default=3, help="of each clip that are photos")
    parser.add_argument("--seconds", type=float, default=2.0, help="shortest clip that counts")
    options = parser.parse_args()
    basis, rows = FaceBasis.load(), []
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
