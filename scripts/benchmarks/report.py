"""What the report of a video costs, beside all that making the video does.

    scripts/bench report [--seconds 10 60] [--size 256 512] [--quality draft standard] [--json]

Makes the embedded conversation, repeated, into videos. Both are seconds of processor time, which
do not depend on what else the machine does: `report` is what the result says that measuring took,
`video` that of all threads from two voices to the file. The share is to be below 10 %.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np

from app.render.demo import DEFAULT_PORTRAIT, conversation
from app.render.pipeline import Avatar
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from motion2video.network.choices import Quality


def measure(avatar: Avatar, seconds: float, size: int, quality: str) -> dict[str, Any]:
    """One row."""
    count = round(seconds * SAMPLE_RATE)
    agent, other = (Waveform(np.resize(voice.samples, count)) for voice in conversation())
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        result = avatar.animate(
            portrait=DEFAULT_PORTRAIT,
            agent_audio=agent,
            interlocutor_audio=other,
            size=size,
            quality=quality,
            out=Path(folder) / "out.mp4",
        )
        video = time.process_time() - started
    assert result.report is not None
    spent = result.report.seconds
    return {
        "seconds": seconds,
        "size": size,
        "quality": quality,
        "video_s": round(video, 2),
        "report_s": spent,
        "share": round(spent / video, 4),
    }


def main() -> None:
    """Parse the command line, render, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0])
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512])
    parser.add_argument(
        "--quality", nargs="+", choices=get_args(Quality), default=["draft", "standard"]
    )
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    rows = []
    avatar = Avatar.load(device="cpu")
    measure(avatar, 1.0, a.size[0], a.quality[0])  # loads every part
    for seconds, size, quality in ((s, p, q) for s in a.seconds for p in a.size for q in a.quality):
        rows.append(measure(avatar, seconds, size, quality))
        if not a.json:
            row = rows[-1]
            print(
                f"{seconds:g} s of {size} px, {quality}: video {row['video_s']:.1f} s, "
                f"report {row['report_s']:.2f} s: {row['share']:.1%}",
                flush=True,
            )
    if a.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
