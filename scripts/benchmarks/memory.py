"""Peak memory of renders of different lengths: it does not grow with them.

    scripts/bench memory [--minutes 1 10] [--size 512] [--steps 2] [--json]

Renders the embedded conversation, repeated, from two sound files, by `visavis render --json` in a
process of its own for every length, and prints the peak memory that it reports.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from app.render.demo import DEFAULT_PORTRAIT, conversation
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform


def measure(minutes: float, size: int, steps: int, folder: Path) -> dict[str, Any]:
    """One row: length, peak memory in 10^6 bytes, frames a second and seconds it took."""
    words = ["render", "--portrait", str(DEFAULT_PORTRAIT), "--out", str(folder / "out.mp4")]
    for who, voice in zip(("agent", "interlocutor"), conversation(), strict=True):
        samples = np.resize(voice.samples, round(60 * minutes * SAMPLE_RATE))
        path = Waveform(samples).save(folder / f"{who}.wav")
        words += [f"--{who}-audio", str(path)]
    words += ["--size", str(size), "--steps", str(steps), "--json"]
    command = [
        sys.executable,
        "-c",
        "import app.cli.commands as c; raise SystemExit(c.main())",
        *words,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result = json.loads(done.stdout)
    return {
        "minutes": minutes,
        "peak_memory_mb": result["peak_memory_mb"],
        "fps": round(result["render_fps"], 1),
        "seconds": round(result["wall_seconds"], 1),
    }


def main() -> None:
    """Parse the command line, render, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    rows = []
    for minutes in a.minutes:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(minutes, a.size, a.steps, Path(folder)))
    if a.json:
        print(json.dumps(rows))
        return
    for row in rows:
        more = row["peak_memory_mb"] / rows[0]["peak_memory_mb"] - 1
        print(
            f"{row['minutes']:g} min: peak {row['peak_memory_mb']:.0f} MB ({more:+.1%}), "
            f"{row['fps']:.1f} frames/s, {row['seconds']:.0f} s"
        )


if __name__ == "__main__":
    main()
