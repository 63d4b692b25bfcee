"""How often the watermark is found, and found where it is not: a table with 95 % intervals.

Clips are the embedded portraits, mirrored or not, whose heads sway, turn, grow and get lighter by
smooth random paths before a background that stays, as in the videos of the product: no renderer is
needed, so that hundreds take minutes. Each is marked with a payload of its own and written as the
product does (x264, CRF 18); what is done to it afterwards is a row of the table. It counts as found
where the payload is the one that was put in.

    .venv/bin/python -m scripts.evaluate.watermark --clips 200
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from app.provenance.detector import detect
from app.provenance.pattern import PAYLOAD_BITS
from app.provenance.watermark import Marker
from app.render.demo import EXAMPLES
from motion2video.media.video import EncoderConfig, VideoWriter, read_video
from motion2video.portrait.portrait import load_image

Clip = UInt8[np.ndarray, "T H W 3"]
FPS = 25.0
_CUT_S = 2.0
_Z = 1.96


def clip_of(number: int, side: int, frames: int) -> Clip:
    """A clip of one of the embedded portraits with a motion of its own."""
    rng = np.random.default_rng(number)
    image = load_image(EXAMPLES[number % len(EXAMPLES)])[0]
    scale = side / min(image.shape[:2])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = np.ascontiguousarray(image[:side, :side])
    image = image if rng.random() < 0.5 else np.ascontiguousarray(image[:, ::-1])
    down, across = np.mgrid[:side, :side] / side
    distance = np.hypot((across - 0.5) / 0.32, (down - 0.42) / 0.4)
    head = np.clip(3 * (1 - distance), 0, 1)[..., None]  # soft at its edge
    times = np.arange(frames) / FPS
    paths = [
        amount * np.sin(2 * np.pi * (rng.uniform(0.1, 0.7) * times + rng.random()))
        for amount in (6.0, 5.0, 3.0, 0.02, 4.0)  # px, px, degrees, of the size, steps of 255
    ]
    made = []
    for x, y, angle, zoom, light in np.stack(paths, 1):
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1.03 + zoom)
        turn[:, 2] += (x, y)
        moved = cv2.warpAffine(image, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
        frame = image * (1 - head) + (moved + light) * head
        made.append(np.clip(np.rint(frame), 0, 255).astype(np.uint8))
    return np.stack(made)


def coded(clip: Clip, folder: Path, crf: int) -> Clip:
    """The clip as it comes out of a file."""
    path = folder / "clip.mp4"
    with VideoWriter(path, clip.shape[2:0:-1], FPS, config=EncoderConfig(crf=crf)) as writer:
        writer.write(clip)
    with read_video(path) as frames:
        return np.stack(list(frames))


def half(clip: Clip) -> Clip:
    """At half the size."""
    side = [s // 4 * 2 for s in clip.shape[1:3]]
    how = cv2.INTER_AREA
    return np.stack([cv2.resize(f, (side[1], side[0]), interpolation=how) for f in clip])


def cropped(clip: Clip, number: int) -> Clip:
    """Without 15 % of its width and of its height, somewhere."""
    rng, (height, width) = np.random.default_rng(number), clip.shape[1:3]
    keep = [round(0.85 * side / 2) * 2 for side in (height, width)]
    top, left = int(rng.integers(height - keep[0] + 1)), int(rng.integers(width - keep[1] + 1))
    return clip[:, top : top + keep[0], left : left + keep[1]]


def changes(folder: Path, number: int) -> dict[str, Callable[[Clip], Clip]]:
    """What is done to a clip that was written, by the name of its row."""
    last = round(_CUT_S * FPS)
    return {
        "as it was written": lambda clip: clip,
        "H.264 at CRF 28": lambda clip: coded(clip, folder, 28),
        "half the size, CRF 23": lambda clip: coded(half(clip), folder, 23),
        "half the size, CRF 28": lambda clip: coded(half(clip), folder, 28),
        "15 % cropped, CRF 28": lambda clip: coded(cropped(clip, number), folder, 28),
        "2 s of it, CRF 28": lambda clip: coded(clip[-last:], folder, 28),
        "half of a crop of 2 s, CRF 23": lambda clip: coded(
            half(cropped(clip[-last:], number)), folder, 23
        ),
    }


def interval(found: int, tried: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate."""
    rate, square = found / tried, _Z**2
    middle = (rate + square / (2 * tried)) / (1 + square / tried)
    wide = _Z * np.sqrt(rate * (1 - rate) / tried + square / (4 * tried**2)) / (1 + square / tried)
    return max(0.0, float(middle - wide)), min(1.0, float(middle + wide))


def psnr(clip: Clip, marked: Clip) -> float:
    """Of the luma, in dB."""
    lumas = (cv2.cvtColor(c.reshape(-1, c.shape[2], 3), cv2.COLOR_RGB2GRAY) for c in (clip, marked))
    first, second = (luma.astype(np.float64) for luma in lumas)
    return float(10 * np.log10(255**2 / np.mean((first - second) ** 2)))


def measured(clips: int, side: int, frames: int) -> Iterator[tuple[int, dict[str, bool], float]]:
    """Number, what was found by row, and PSNR, clip by clip."""
    for number in range(clips):
        clip = clip_of(number, side, frames)
        payload = int(np.random.default_rng((7, number)).integers(1 << PAYLOAD_BITS))
        marker = Marker(payload)
        marked = np.stack([marker.mark(frame) for frame in clip])
        hit = {}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            written = coded(marked, folder, EncoderConfig.crf)
            for row, change in changes(folder, number).items():
                found = detect(change(written)[::6])
                hit[row] = found is not None and found.payload == payload
            plain = coded(clip, folder, 28)
            hit["not marked: found all the same"] = detect(plain[::6]) is not None
        yield number, hit, psnr(clip[:1], marked[:1])


def cost_ms(side: int) -> float:
    """Milliseconds of processor time, on one core and undisturbed, of marking a frame."""
    cv2.setNumThreads(1)
    frame, marker = clip_of(0, side, 1)[0], Marker(1)
    marker.mark(frame)
    times = []
    for _ in range(200):
        began = time.process_time()
        marker.mark(frame)
        times.append(time.process_time() - began)
    return 1000 * float(np.min(times))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="one line a clip, then the table")
    asked = parser.parse_args()
    hits: dict[str, list[bool]] = {}
    quality = []
    for number, hit, level in measured(asked.clips, asked.side, asked.frames):
        quality.append(level)
        for row, found in hit.items():
            hits.setdefault(row, []).append(found)
        if asked.json:
            print(json.dumps({"clip": number, "psnr": level, **hit}), flush=True)
    print(f"{asked.clips} clips of {asked.side} px; PSNR {min(quality):.1f} dB at least; ", end="")
    print(f"{cost_ms(asked.side):.2f} ms a frame")
    for row, found in hits.items():
        low, high = interval(sum(found), len(found))
        rate = f"{sum(found)} of {len(found)}"
        print(f"{row:<34} {rate:>12}   {100 * low:.1f} to {100 * high:.1f} %")


if __name__ == "__main__":
    main()
