"""A short animated WebP of a video, to be shown on a page: smaller, fewer frames, no sound.

python -m scripts.evaluate.clip demo.mp4 demo.webp [--size 256] [--fps 12.5] [--quality 60]
"""

import argparse
from pathlib import Path

import cv2
from PIL import Image

from motion2video.media.video import frames_at


def write_clip(video: Path, out: Path, size: int, fps: float, quality: int) -> int:
    """Write the frames at `fps`, `size` pixels high, as an endless WebP; returns their count."""
    pictures = []
    for frame in frames_at(video, fps):
        width = round(frame.shape[1] * size / frame.shape[0])
        small = cv2.resize(frame, (width, size), interpolation=cv2.INTER_AREA)
        pictures.append(Image.fromarray(small))
    first, *rest = pictures
    settings = {"duration": round(1000 / fps), "loop": 0, "quality": quality, "method": 6}
    first.save(out, save_all=True, append_images=rest, **settings)
    return len(pictures)


def main() -> None:
    """Parse the command line, write the clip."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=256, help="height in pixels")
    parser.add_argument("--fps", type=float, default=12.5)
    parser.add_argument("--quality", type=int, default=60, help="0 to 100")
    options = parser.parse_args()
    count = write_clip(options.video, options.out, options.size, options.fps, options.quality)
    print(f"{options.out}: {count} frames, {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
