"""What it costs a request that strangers' files are decoded in a sandbox: milliseconds a file.

    scripts/bench sandbox [--seconds 10] [--repeat 15] [--json]

Reads a photo, a sound and a video of so many seconds, a motion file and a transcript, in this
process and in a sandbox, and prints the median of each; `helper` is its start, once a server, and
`webcam` a picture as a live conversation sends up to 25 a second. What a sandbox reads is compared
with what this process reads, bit for bit.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.intake.inspection import Kind, inspect
from app.intake.limits import Limits
from app.intake.sandbox import Sandbox
from app.intake.values import SandboxReader
from app.render.demo import DEFAULT_PORTRAIT, conversation
from app.render.reading import HERE, Reader
from audio2motion.hearing.audio import SAMPLE_RATE, Waveform
from motion2video.media.video import VideoWriter
from motion2video.motion import Motion

_FPS, _SIZE = 25.0, 512
_UPLOADED: tuple[Kind, ...] = ("picture", "sound", "video")


def make_samples(folder: Path, seconds: float) -> dict[str, Path]:
    """A file of each kind."""
    voice, _ = conversation()
    sound = np.resize(voice.samples, round(seconds * SAMPLE_RATE))
    with Image.open(DEFAULT_PORTRAIT) as image:
        picture = np.array(image.convert("RGB").resize((_SIZE, _SIZE)), np.uint8)
    video = folder / "video.mp4"
    with VideoWriter(video, (_SIZE, _SIZE), _FPS, sound, SAMPLE_RATE) as writer:
        for number in range(round(seconds * _FPS)):
            writer.write(np.roll(picture, number, 1)[None])
    cues = [f"{n + 1}\n00:00:{n % 60:02},000 --> 00:00:{n % 60:02},900\nyes\n" for n in range(50)]
    transcript = folder / "transcript.srt"
    transcript.write_text("\n".join(cues), encoding="utf-8")
    webcam = folder / "webcam.jpeg"
    Image.fromarray(picture).resize((320, 240)).save(webcam)
    return {
        "picture": DEFAULT_PORTRAIT,
        "sound": Waveform(sound).save(folder / "sound.wav"),
        "video": video,
        "motion": Motion.neutral(round(seconds * _FPS)).save(folder / "motion.npz"),
        "transcript": transcript,
        "webcam": webcam,
    }


def tasks(reader: Reader, samples: dict[str, Path]) -> dict[str, Callable[[], Any]]:
    """What is measured; each returns something to compare."""
    return {
        "picture": lambda: reader.picture(samples["picture"])[0],
        "sound": lambda: _all(reader.sound(samples["sound"])),
        "video, its sound": lambda: _all(reader.sound(samples["video"])),
        "video, its frames": lambda: sum(int(f.sum()) for f in reader.frames(samples["video"], 25)),
        "motion": lambda: reader.motion(samples["motion"]).values,
        "transcript": lambda: reader.transcript(samples["transcript"]),
        "webcam": lambda: reader.picture(samples["webcam"])[0],
    }


def _all(sound: Any) -> np.ndarray:
    return sound.read(0, len(sound))


def median_ms(task: Callable[[], Any], repeat: int) -> float:
    """The first call is not counted."""
    task()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        task()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def measure(seconds: float, repeat: int) -> tuple[float, list[dict[str, Any]]]:
    """Milliseconds until a fresh helper is ready, and a row for each kind of file."""
    with tempfile.TemporaryDirectory() as folder:
        samples = make_samples(Path(folder), seconds)
        sandbox = Sandbox()
        began = time.perf_counter()
        sandbox.start()
        started = 1000 * (time.perf_counter() - began)
        there = SandboxReader(sandbox)
        here_tasks, there_tasks = tasks(HERE, samples), tasks(there, samples)
        looked = Limits()
        for kind in _UPLOADED:
            path = samples[kind]
            here_tasks[f"upload: {kind}"] = partial(inspect, path, (kind,), looked)
            there_tasks[f"upload: {kind}"] = partial(there.inspect, path, (kind,), looked)
        rows = []
        for name, here in here_tasks.items():
            np.testing.assert_equal(there_tasks[name](), here())
            row = {"what": name, "here_ms": median_ms(here, repeat)}
            row["sandbox_ms"] = median_ms(there_tasks[name], repeat)
            rows.append(row)
        sandbox.close()
    return started, rows


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    started, rows = measure(a.seconds, a.repeat)
    if a.json:
        print(json.dumps({"helper_ms": started, "rows": rows}))
        return
    print(f"helper: {started:.0f} ms, once a server")
    for row in rows:
        more = row["sandbox_ms"] - row["here_ms"]
        print(
            f"{row['what']:<20}{row['here_ms']:8.1f} ms here {row['sandbox_ms']:8.1f} ms in a "
            f"sandbox, {more:+.1f} ms"
        )


if __name__ == "__main__":
    main()
