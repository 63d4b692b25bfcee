"""What each part of a portrait's preparation and of a frame takes: milliseconds of CPU, and its MB.

    scripts/bench parts [--size 512] [--quality standard] [--frames 40] [--portrait FILE]

The embedded portrait speaks the demo's words with the head turning, in one thread, under a profiler
that counts Python's functions alone; a part's time is that of the functions that it is named after
and of all that they call. The parts of a preparation or of a frame are in the order in which they
come; indented ones are within the one above. Then what a prepared portrait and the weights keep.
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import torch

from app.render.demo import DEFAULT_PORTRAIT
from motion2video.drawing.crops import CropStage
from motion2video.drawing.layered import LayeredWarp
from motion2video.drawing.stage import draw
from motion2video.faces.tracker import FaceTracker
from motion2video.media.video import VideoWriter
from motion2video.motion import ROTATION, Motion
from motion2video.network.choices import Quality
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import RenderConfig, Renderer, RenderState
from scripts.benchmarks.render import speaking
from weights import locate

T = TypeVar("T")
ROLES = ("face_landmarker", "matte", "face_basis", "head", "mouth", "folds", "painter")
PREPARATION = {
    "face: found and settled": ("tracker.py", "detect", "settle"),
    "matte": ("matte.py", "person_alpha"),
    "head in layers": ("layered.py", "__init__"),
    "  plate behind the person": ("layers.py", "make_plate"),
    "  skull": ("skull.py", "under"),
    "  shell": ("head.py", "build_shell"),
    "  clean colours": ("layers.py", "make_layers"),
    "  shading": ("shading.py", "of"),
    "mouth": ("mouth.py", "fit"),
    "the network's memory of the photo": ("renderer.py", "_brush"),
}
FRAME = {
    "keypoints": ("retarget.py", "keypoints"),
    "head": ("layered.py", "warp"),
    "  mesh: moved and drawn": ("layered.py", "_raster"),
    "  where pixels come from": ("layered.py", "_grid"),
    "  back of the head": ("layered.py", "_lay_over_back"),
    "  shading": ("shading.py", "shade"),
    "  torso and plate": ("layered.py", "_lean"),
    "inside of the mouth": ("inside.py", "describe", "finished"),
    "network": ("painter.py", "paint"),
    "windows laid back": ("places.py", "lay"),
    "encoding": ("video.py", "write"),
}


def profiled(work: Callable[[], T]) -> tuple[T, pstats.Stats, float]:
    """What the work returns, its profile, and its seconds of CPU without one."""
    started = time.process_time()
    work()
    alone = time.process_time() - started
    profile = cProfile.Profile(time.process_time, builtins=False)
    result = profile.runcall(work)
    return result, pstats.Stats(profile), alone


def milliseconds(stats: pstats.Stats, part: tuple[str, ...]) -> float:
    """In the functions of a part: a file's name, then theirs."""
    file, *names = part
    found: dict[Any, Any] = vars(stats)["stats"]
    return 1000 * sum(
        row[3] for (path, _, name), row in found.items() if path.endswith(file) and name in names
    )


def kept(thing: object) -> float:
    """10^6 bytes of the arrays that something holds, each counted once."""
    seen: dict[int, int] = {}

    def walk(one: object) -> Iterator[None]:
        if isinstance(one, np.ndarray):
            base = one if one.base is None else one.base
            seen[id(base)] = getattr(base, "nbytes", one.nbytes)
        elif isinstance(one, torch.Tensor):
            seen[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        elif isinstance(one, dict):
            for value in one.values():
                yield from walk(value)
        elif isinstance(one, (tuple, list)):
            for value in one:
                yield from walk(value)
        elif type(one).__module__.startswith("motion2video.") and id(one) not in seen:
            seen[id(one)] = 0
            yield from walk(vars(one))

    list(walk(thing))
    return sum(seen.values()) / 1e6


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--portrait", type=Path, default=DEFAULT_PORTRAIT)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--quality", choices=get_args(Quality), default="standard")
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    motion = speaking(options.frames / 25)
    motion.values[:, ROTATION.start + 1] += np.linspace(-0.3, 0.3, len(motion), dtype=np.float32)
    tracker = FaceTracker.load()
    config = RenderConfig(options.quality)
    renderer = Renderer.load(config, ComputeConfig(device="cpu", threads=1))

    def prepare() -> RenderState:
        portrait = Portrait.load(options.portrait, tracker, size=options.size)
        return renderer.init_state(portrait)

    state, stats, alone = profiled(prepare)
    print(f"preparation of a photo of {options.size} px: {alone:.2f} s of CPU")
    _print_rows(stats, PREPARATION, 1)
    _, stats, alone = profiled(lambda: _render(state, motion))
    print(f"a frame, {options.quality}, one thread: {1000 * alone / len(motion):.1f} ms of CPU")
    _print_rows(stats, FRAME, len(motion))
    _print_kept(state)


def _render(state: RenderState, motion: Motion) -> None:
    """Frames one by one to a file that is thrown away."""
    prepared = state.prepared
    with (
        tempfile.TemporaryDirectory() as folder,
        VideoWriter(Path(folder) / "parts.mp4", size=state.size, fps=motion.fps) as video,
    ):
        marks, eyes = prepared.face.keypoints(motion)
        for k in range(len(marks)):
            part = slice(k, k + 1)
            (frame,) = draw(prepared.stage, marks[part], eyes[part])
            video.write(frame[None])


def _print_rows(stats: pstats.Stats, parts: Mapping[str, tuple[str, ...]], frames: int) -> None:
    for name, part in parts.items():
        print(f"  {name:34} {milliseconds(stats, part) / frames:8.1f} ms")


def _print_kept(state: RenderState) -> None:
    prepared, stage = state.prepared, state.prepared.stage
    rows: dict[str, object] = {"mouth": prepared.inside, "the network's": vars(prepared.brush)}
    if isinstance(stage, CropStage) and isinstance(stage.warp, LayeredWarp):
        rows = {"head in layers": stage.warp, "  shading": stage.warp.shading, **rows}
    print("kept by a prepared portrait")
    for name, thing in rows.items():
        print(f"  {name:34} {kept(thing):8.1f} MB")
    print("weights")
    for role in ROLES:
        path = locate(role)
        assert path is not None
        print(f"  {role:34} {path.stat().st_size / 1e6:8.1f} MB")


if __name__ == "__main__":
    main()
