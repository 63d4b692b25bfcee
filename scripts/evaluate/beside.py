"""One portrait moved by the generator and, beside it, by the person who spoke.

python -m scripts.evaluate.beside --pairs PAIRS --portrait FILE ... --out DIR [--most 30]

PAIRS is of scripts/evaluate/pairs.py: PAIRS/made and PAIRS/real hold motion of one voice each, with
the sound beside it. The portraits take turns. For each take DIR gets NAME.mp4 (made at the left,
the person's own motion at the right, with the voice), NAME.sheet.png (every 5th frame, the mouths
enlarged) and NAME.curves.png: made in orange and the person in grey, over the waveform.
"""

import argparse
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from motion2video.faces.tracker import FaceTracker
from motion2video.media.video import VideoWriter
from motion2video.motion import FPS, Motion, channel_index
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import Renderer
from scripts.evaluate.contact_sheet import sheet
from scripts.evaluate.liveliness import GROUPS

_LABELS, _LANE, _SECOND = 110, 64, 120
"""Pixels: the room for names, the height of a curve, the width of a second."""
_MADE, _REAL, _VOICE, _LINE = (222, 110, 20), (120, 120, 120), (170, 190, 220), (225, 225, 225)

_OWN = {
    "lips round": ("mouthPucker", "mouthFunnel"),
    "smile left": ("mouthSmileLeft",),
    "smile right": ("mouthSmileRight",),
    "brow inner": ("browInnerUp",),
    "brow outer": ("browOuterUpLeft", "browOuterUpRight"),
}
_HEAD = ("pitch", "yaw", "roll")
_OF_LIVELINESS = ("brow down", "blink", "gaze x", *_HEAD)
ROWS: dict[str, list[int]] = {
    "jaw": GROUPS["jaw"],
    **{name: [channel_index(c) for c in channels] for name, channels in _OWN.items()},
    **{name: GROUPS[name] for name in _OF_LIVELINESS},
}


def curves(
    made: Float[np.ndarray, "T 90"], real: Float[np.ndarray, "T 90"], voice: Waveform
) -> UInt8[np.ndarray, "H W 3"]:
    """Both motions over the waveform, each row on a scale of its own; degrees for the head."""
    width = _LABELS + max(1, round(len(made) / FPS * _SECOND))
    picture = np.full((_LANE * (len(ROWS) + 1), width, 3), 255, np.uint8)
    places = np.linspace(_LABELS, width - 1, len(made))
    for second in range(int(len(made) / FPS) + 1):
        x = _LABELS + second * _SECOND
        cv2.line(picture, (x, 0), (x, len(picture)), _LINE, 1)
    loud = np.abs(
        voice.samples[: len(made) * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME // 4)
    )
    peaks = loud.max(1) / max(float(loud.max()), 1e-3) * (_LANE / 2 - 4)
    for x, peak in zip(np.linspace(_LABELS, width - 1, len(peaks)), peaks, strict=True):
        top, bottom = (round(_LANE / 2 + sign * float(peak)) for sign in (-1, 1))
        cv2.line(picture, (int(x), top), (int(x), bottom), _VOICE, 1)
    for row, (name, channels) in enumerate(ROWS.items(), 1):
        head = name in _HEAD
        both = [m[:, channels].mean(1) * (180 / np.pi if head else 1) for m in (real, made)]
        low, high = min(c.min() for c in both), max(c.max() for c in both)
        room = max(high - low, 4.0 if head else 0.2)
        for curve, colour in zip(both, (_REAL, _MADE), strict=True):
            y = (row + 1) * _LANE - 6 - (curve - low) / room * (_LANE - 12)
            points = np.stack([places, y], 1).round().astype(np.int32)
            cv2.polylines(picture, [points], False, colour, 2, cv2.LINE_AA)
        for text, y in ((name, 26), (f"{low:.2f} to {high:.2f}", 42)):
            at = (4, row * _LANE + y)
            cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1)
    return picture


def film(
    renderer: Renderer, portrait: Portrait, sides: list[Motion], voice: Waveform, out: Path
) -> None:
    """Write the portrait moved by each of `sides`, one beside the other, with the voice."""
    frames = zip(*(renderer.stream(portrait, [side]) for side in sides), strict=True)
    first = np.hstack(next(frames))
    height, width = (side // 2 * 2 for side in first.shape[:2])
    with VideoWriter(out, (width, height), FPS, voice) as writer:
        writer.write(first[None, :height, :width])
        for pair in frames:
            writer.write(np.hstack(pair)[None, :height, :width])


def main() -> None:
    """Parse the command line, write the files of every take."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--portrait", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=float, default=30.0, help="seconds of each take")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tracker, renderer = FaceTracker.load(), Renderer.load()
    portraits = cycle([Portrait.load(file, tracker) for file in options.portrait])
    for file in sorted((options.pairs / "made").glob("*.npz")):
        sides = [Motion.load(options.pairs / side / file.name) for side in ("made", "real")]
        count = min(round(options.most * FPS), *(len(side) for side in sides))
        sides = [side[:count] for side in sides]
        samples = Waveform.load(file.with_suffix(".wav")).samples
        voice = Waveform(samples[: count * SAMPLES_PER_FRAME])
        out = options.out / f"{file.stem}.mp4"
        film(renderer, next(portraits), sides, voice, out)
        picture = curves(sides[0].values, sides[1].values, voice)
        cv2.imwrite(str(out.with_suffix(".curves.png")), picture[..., ::-1])
        cv2.imwrite(str(out.with_suffix(".sheet.png")), sheet(out, 5, 6)[..., ::-1])
        print(out)


if __name__ == "__main__":
    main()
