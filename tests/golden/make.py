"""What the software gave at a known state: numbers to compare with, made by public names alone.

    OMP_NUM_THREADS=1 python -m tests.golden.make tests/golden/before.json

Run it in a checkout of the state that is to be kept; `test_golden.py` compares today's with it.
Bits depend on the kernels that a CPU gets, so the processor's features are written down too.
"""

import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PORTRAIT = ROOT / "app" / "assets" / "portraits" / "man_1.jpg"
_SAMPLES = 24
"""Numbers that are kept of each array beside its hash, evenly spread."""


def processor() -> str:
    """What decides which kernels run: the CPU's model and its vector units, and what OpenBLAS was
    told it is.
    """
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    lines = text.splitlines()
    model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")
    flags = next((x.partition(":")[2].split() for x in lines if x.startswith("flags")), [])
    wide = sorted(f for f in flags if f.startswith(("avx", "amx", "fma", "sse4")))
    told = os.environ.get("OPENBLAS_CORETYPE", "")
    return hashlib.sha256(" ".join([model, *wide, told]).encode()).hexdigest()[:16]


def of_array(array: np.ndarray) -> dict[str, Any]:
    """Shape, hash and a few of the numbers of an array."""
    array = np.ascontiguousarray(array)
    flat = array.reshape(-1)
    picked = flat[np.linspace(0, len(flat) - 1, _SAMPLES).astype(int)]
    return {
        "shape": list(array.shape),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        "mean": float(array.mean(dtype=np.float64)),
        "samples": [float(value) for value in picked],
    }


def measure() -> dict[str, Any]:
    """Everything that is compared, by name."""
    return {"processor": processor(), **dict(_results()), "options": options(), "api": api()}


def _results() -> Iterator[tuple[str, Any]]:
    from app import Avatar
    from app.cli import main
    from audio2motion.voice.synthesis import synthesize, synthesize_transcript
    from motion2video.motion import Motion

    def said(text: str) -> dict[str, Any]:
        """A spoken text as a recording: without the silence that a text has around it."""
        return dict(zip(("agent_audio", "transcript"), synthesize_transcript(text), strict=True))

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        mine = synthesize("I have been to the market, and I bought a lot of apples.")
        yours = synthesize("So where have you been all day?", pitch=75)
        # The mark in a video's frames depends on weights and version, which may change.
        avatar = Avatar.load(device="cpu", provenance=False)
        motions = {
            "motion of a text": avatar.motion(
                **said("Yes, of course. No, that's not right."), seed=3
            ),
            "motion of two voices": avatar.motion(
                agent_audio=mine,
                interlocutor_audio=yours,
                order="together",
                seed=1,
                emotion="happiness",
                gestures=["nod@0.5", "wink/left@1.5:0.4x0.8"],
                expressivity=1.3,
                regions={"head": 0.5},
            ),
            "motion of a listener": avatar.motion(interlocutor_audio=yours, seed=7),
        }
        for name, motion in motions.items():
            yield name, of_array(motion.values)
        frames = avatar.frames(portrait=PORTRAIT, **said("Hello there."), size=256)
        yield "frames of a text", of_array(np.stack(list(frames)))
        motion = motions["motion of two voices"][:12]
        frames = avatar.frames(portrait=PORTRAIT, motion=motion, size=384, fps=30, crop="head")
        yield "frames of a motion", of_array(np.stack(list(frames)))
        whole = motions["motion of a text"].save(place / "m.npz")
        for ending in ("csv", "bvh"):
            out = place / f"m.{ending}"
            with redirect_stdout(io.StringIO()):
                assert main(["export", os.fspath(whole), "--out", os.fspath(out)]) == 0
            yield f"export to {ending}", {"sha256": hashlib.sha256(out.read_bytes()).hexdigest()}
            back = place / f"{ending}.npz"
            with redirect_stdout(io.StringIO()):
                assert main(["import", os.fspath(out), "--out", os.fspath(back)]) == 0
            yield f"import of {ending}", of_array(Motion.load(back).values)
        video = place / "v.mp4"
        result = avatar.animate(portrait=PORTRAIT, **said("Well, hello."), size=128, out=video)
        tracked = place / "t.npz"
        with redirect_stdout(io.StringIO()):
            assert main(["track", os.fspath(video), "--out", os.fspath(tracked)]) == 0
        yield "track of a video", of_array(Motion.load(tracked).values)
        yield "a result's members", sorted(result.to_json())


COMMANDS = (
    *("demo", "render", "track", "motion", "export", "import", "doctor", "batch", "app"),
    *("weights list", "weights verify", "weights fetch"),
)


def options() -> dict[str, list[str]]:
    """Every command of `visavis` with its options."""
    return {words: sorted(_offered(words)) for words in COMMANDS}


def _offered(words: str) -> set[str]:
    from typer.main import get_command

    from app.cli.commands import commands

    command: Any = get_command(commands)
    for word in words.split():
        command = command.commands[word]
    offered = [(*option.opts, *option.secondary_opts) for option in command.params]
    return {"--help", *(name for names in offered for name in names if name.startswith("--"))}


def api() -> dict[str, Any]:
    """The addresses of the API and the fields of its requests and answers."""
    from app.api import create_app
    from app.api.settings import ServerConfig

    with tempfile.TemporaryDirectory() as folder:
        app = create_app(lambda: None, ServerConfig(Path(folder)))  # pyrefly: ignore[bad-argument-type]
        schema = app.openapi()
        app.state.context.database.close()
    paths = {path: sorted(methods) for path, methods in schema["paths"].items()}
    models = schema["components"]["schemas"]
    return {
        "paths": paths,
        "models": {name: sorted(m.get("properties", {})) for name, m in models.items()},
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(measure(), indent=1) + "\n")
