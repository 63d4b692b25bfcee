"""Speed and memory of the renderer: frames a second end to end, and milliseconds by stage.

    scripts/bench render [--backend torch onnxruntime] [--size 512] [--steps 2] [--json]

Renders the embedded portrait speaking, encoded to a file that is thrown away, once for each
combination, each in a process of its own, so that peak memory is that combination's. Stages are
timed one after the other in one thread; frames a second, and the network on the mouth's window
alone, with all threads. `speed-up` is that of the network against eager PyTorch in fp32 in the
same run, `difference` the greatest of a pixel (0..255) from it.
"""

import argparse
import copy
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from app.render.demo import DEFAULT_PORTRAIT, conversation
from app.render.pipeline import Avatar
from motion2video.drawing.places import WINDOWS
from motion2video.faces.tracker import FaceTracker
from motion2video.media.video import VideoWriter
from motion2video.motion import Motion
from motion2video.network.choices import Quality
from motion2video.network.compute import ComputeConfig
from motion2video.network.denoiser import FACTOR
from motion2video.network.painter import Painter, Window, make_painter
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import RenderConfig, Renderer
from weights.errors import VisavisError

Row = dict[str, Any]
_STAGE_FRAMES = 60
_REPEATS, _AT_ONCE = 15, 4  # of the network alone; windows waiting for a thread
_COLUMNS = (
    ("device", "device", "s"),
    ("backend", "backend", "s"),
    ("precision", "precision", "s"),
    ("threads", "threads", "d"),
    ("size", "size", "d"),
    ("quality", "quality", "s"),
    ("steps", "steps", "d"),
    ("fps", "fps", ".1f"),
    ("warp_ms", "warp", ".1f"),
    ("diffuse_ms", "diffuse", ".1f"),
    ("paste_ms", "paste", ".1f"),
    ("encode_ms", "encode", ".1f"),
    ("network_ms", "network", ".1f"),
    ("network_speed_up", "speed-up", ".2f"),
    ("difference", "difference", ".1f"),
    ("peak_memory_mb", "peak MB", ".0f"),
)


def speaking(seconds: float) -> Motion:
    """The agent's motion in the demo's conversation, repeated to this length."""
    agent, other = conversation()
    motion = Avatar.load(device="cpu").motion(agent_audio=agent, interlocutor_audio=other)
    count = max(1, round(seconds * motion.fps))
    repeats = -(-count // len(motion))
    return Motion.concat([motion] * repeats)[:count]


def measure(
    portrait: Portrait, motion: Motion, config: RenderConfig, compute: ComputeConfig
) -> Row:
    """One row: the whole way first, then stage by stage, then the network alone."""
    renderer = Renderer.load(config, compute)
    list(renderer.stream(portrait, [motion[:8]]))  # warms up
    height, width = portrait.image.shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with VideoWriter(Path(folder) / "bench.mp4", size=(width, height), fps=motion.fps) as video:
            pieces = (motion[i : i + 5] for i in range(0, len(motion), 5))
            for frame in renderer.stream(portrait, pieces):
                video.write(frame[None])
        fps = len(motion) / (time.perf_counter() - started)
        row = _stages(renderer, portrait, motion[:_STAGE_FRAMES], Path(folder))
    device = renderer.device
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else _processor()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "device": device.type,
        "device_name": name,
        "backend": renderer.painter.backend,
        "precision": renderer.painter.precision,
        "attention": compute.attention,
        "compiled": compute.compile,
        "threads": compute.workers,
        "size": max(width, height),
        "quality": config.quality,
        "steps": config.work.steps,
        "frames": len(motion),
        "fps": fps,
        **row,
        "peak_memory_mb": peak,
        "peak_gpu_memory_mb": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else 0.0,
    }


class _Noting:
    """A painter that keeps the windows of mouths that it was given."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self.backend, self.precision = painter.backend, painter.precision
        self.mouths: list[Window] = []

    def paint(self, window: Window) -> torch.Tensor:
        width, height = WINDOWS["mouth"]
        if window.condition.shape[2:] == (height * FACTOR, width * FACTOR):
            self.mouths.append(window)
        return self._painter.paint(window)

    def taking(self, steps: int) -> Painter:
        return self._painter.taking(steps)


def _stages(renderer: Renderer, portrait: Portrait, motion: Motion, folder: Path) -> Row:
    noting = _Noting(renderer.painter)
    watched = copy.copy(renderer)
    watched.painter = noting
    prepared = watched.init_state(portrait).prepared
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent: dict[str, float] = dict.fromkeys(("warp", "diffuse", "paste", "encode"), 0.0)

    def timed(name: str, work: Callable[[], Any]) -> Any:
        if renderer.device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        out = work()
        if renderer.device.type == "cuda":
            torch.cuda.synchronize()
        spent[name] += time.perf_counter() - started
        return out

    marks, eyes = prepared.face.keypoints(motion)
    height, width = prepared.portrait.image.shape[:2]
    with VideoWriter(folder / "stages.mp4", size=(width, height), fps=motion.fps) as video:
        for start in range(0, len(marks), renderer.batch):
            part = slice(start, start + renderer.batch)
            scene = timed("warp", lambda p=part: prepared.stage.begin(marks[p], eyes[p]))
            timed("diffuse", scene.paint)
            for frame in timed("paste", scene.paste):
                timed("encode", lambda f=frame: video.write(f[None]))
    torch.set_num_threads(torch_threads)
    network, difference = _network(renderer, noting.mouths)
    rows = {f"{name}_ms": 1000 * value / len(marks) for name, value in spent.items()}
    return {**rows, **network, "difference": difference}


def _network(renderer: Renderer, mouths: list[Window]) -> tuple[Row, float]:
    """Milliseconds a frame of the network on the widest mouth with all threads, here and eager
    (whose threads share one window), and the greatest difference of a pixel (0..255)."""
    if not mouths:
        return {"network_ms": 0.0, "eager_ms": 0.0, "network_speed_up": 1.0}, 0.0
    here = max(mouths, key=lambda window: int((window.condition[:, 3] == 0).sum()))
    eager = make_painter(
        renderer.autoencoder, renderer.denoiser, renderer.config.work.steps, "torch", "fp32"
    )
    spent: dict[str, list[float]] = {"network_ms": [], "eager_ms": []}
    pictures = {}
    with ThreadPoolExecutor(renderer.compute.workers) as pool:
        for _ in range(_REPEATS):
            for name, painter in (("network_ms", renderer.painter), ("eager_ms", eager)):
                started = time.perf_counter()
                for picture in pool.map(painter.paint, [here] * _AT_ONCE):
                    pictures[name] = picture.cpu()
                frames = _AT_ONCE * renderer.batch
                spent[name].append((time.perf_counter() - started) * 1000 / frames)
    row = {name: float(np.median(values[3:])) for name, values in spent.items()}
    away = (pictures["network_ms"] - pictures["eager_ms"]).abs().max() * 255
    return {**row, "network_speed_up": row["eager_ms"] / row["network_ms"]}, float(away)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def table(rows: list[Row]) -> str:
    cells = [[title for _, title, _ in _COLUMNS]]
    cells += [[format(row[key], form) for key, _, form in _COLUMNS] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )


def _combinations(a: argparse.Namespace) -> list[Row]:
    device = a.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        pairs = [("torch", p) for p in a.precision or ("fp32", "bf16", "fp16")]
    else:
        backends = a.backend or ["torch", "onnxruntime"] + ["openvino"] * bool(
            find_spec("openvino")
        )
        pairs = [
            (b, p)
            for b in backends
            for p in (a.precision or (("fp32",) if b == "torch" else ("fp32", "int8")))
        ]
    return [
        {"device": device, "backend": b, "precision": p, "size": s, "quality": q, "steps": n}
        for b, p in pairs
        for s in a.size
        for q in a.quality
        for n in a.steps
    ]


def main() -> None:
    """Parse the command line, measure every combination, print."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench render", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--portrait", type=Path, default=DEFAULT_PORTRAIT)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--backend", nargs="+", choices=["torch", "onnxruntime", "openvino"])
    parser.add_argument("--precision", nargs="+", choices=["fp32", "fp16", "bf16", "int8"])
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "xformers"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--size", type=int, nargs="+", default=[512])
    parser.add_argument("--quality", nargs="+", choices=get_args(Quality), default=["standard"])
    parser.add_argument("--steps", type=int, nargs="+", default=[None], help="default: its own")
    parser.add_argument("--seconds", type=float, default=12.0, help="of video, each")
    parser.add_argument("--json", action="store_true", help="rows as JSON, and nothing else")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.row is not None:
        wanted = json.loads(a.row)
        size = wanted.pop("size")
        config = RenderConfig(wanted.pop("quality"), wanted.pop("steps"))
        compute = ComputeConfig(
            **wanted, threads=a.threads, attention=a.attention, compile=a.compile
        )
        portrait = Portrait.load(a.portrait, tracker=FaceTracker.load(), size=size)
        print(
            json.dumps(measure(portrait, Motion.load(os.environ["BENCH_MOTION"]), config, compute))
        )
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motion.npz"
        speaking(a.seconds).save(path)
        environment = {**os.environ, "BENCH_MOTION": str(path)}
        for combination in _combinations(a):
            command = [sys.executable, "-m", "scripts.benchmarks.render", *sys.argv[1:]]
            command += ["--row", json.dumps(combination)]
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                raise SystemExit(f"{combination}:\n{done.stderr}")
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    if a.json:
        print(json.dumps(rows))
        return
    print(f"{rows[0]['device_name']}; stages in ms a frame, one thread; {rows[0]['frames']} frames")
    print(table(rows))


if __name__ == "__main__":
    try:
        main()
    except VisavisError as error:
        raise SystemExit(str(error)) from error
