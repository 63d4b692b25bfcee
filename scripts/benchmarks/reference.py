"""Speed and memory of the public checkpoints' networks, at full size, with random weights.

    scripts/bench reference [--device cuda] [--rows base fp16 xformers] [--steps 25] [--json]

What a network computes does not depend on its weights, so none are needed. Draws one group of
frames for each row, once to warm up and once to measure: seconds a frame of video and the most
memory that PyTorch held, beside what motion2video.reference.memory says.

On a machine that has PyTorch and nothing else, no network either: pack the other packages here,
and take them along with this folder.

    scripts/bench reference --carry WHEELS
    python -m scripts.benchmarks.reference --wheels WHEELS --seconds 480 --json
"""

import argparse
import dataclasses
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.benchmarks.carried import needed, pack, unpack

if TYPE_CHECKING:
    from motion2video.network.choices import AttentionKind

PACKAGES = (
    *("accelerate", "diffusers", "einops", "huggingface_hub", "jaxtyping", "lazy_loader"),
    *("platformdirs", "safetensors", "transformers"),
)
"""What is imported on the way, beside PyTorch; they need others."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what is changed in ReferenceConfig, and how networks run."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    precision: str = "bf16"
    attention: "AttentionKind" = "sdpa"
    compiled: bool = False


ROWS = (
    Row("base"),
    Row("fp16", precision="fp16"),
    Row("fp32", precision="fp32"),
    Row("flash", attention="flash"),
    Row("xformers", attention="xformers"),
    Row("compile", compiled=True),
    Row("dpm", {"scheduler": "dpm"}),
    Row("lcm", {"scheduler": "lcm"}),
    Row("half guided", {"guidance_interval": (0.0, 0.5)}),
    Row("unguided", {"guidance": 1.0}),
    Row("together 3", {"together": 3}),
    Row("preview", {"preview": True}),
    Row("slicing", {"slicing": True}),
    Row("offload model", {"offload": "model"}),
    Row("offload sequential", {"offload": "sequential"}),
)


def measure(
    row: Row, family: Any, device_name: str, size: int, steps: int | None
) -> dict[str, Any]:
    """Seconds a frame and GB of one row. Raises what its networks raise."""
    import torch

    from motion2video.reference.memory import need
    from motion2video.reference.networks import freeze, make_networks
    from motion2video.reference.predictor import Economy, Predictor
    from motion2video.reference.sampler import denoise
    from motion2video.reference.settings import ReferenceConfig

    device = torch.device(device_name)
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[row.precision]
    asked: dict[str, Any] = {"size": size, "steps": steps}
    config = ReferenceConfig(**asked | row.config)
    sampling = config.sampling(family)
    stay = torch.device("cpu") if config.offload != "none" else device
    with stay:
        networks = make_networks(family.shapes, row.attention, config.rows)
    freeze(networks, dtype, config.batch_norm)
    told: list[str] = []
    economy = Economy(rows=config.rows)
    predictor = Predictor(
        networks, [device], dtype, config.offload, economy, row.attention, row.compiled, told.append
    )
    side = family.shapes.image_encoder.image
    seen = predictor.portray(torch.rand(1, 3, size, size) * 2 - 1, torch.randn(1, 3, side, side))
    count = sampling.windows.span

    def group() -> None:
        pose = predictor.guide(torch.rand(count, 3, size, size))
        latents, _ = denoise(
            lambda step: torch.randn(count, 4, size // 8, size // 8),
            lambda x, t, windows, guided: predictor.predict(
                x, t, windows, pose, seen, sampling.guidance if guided else 1.0
            ),
            sampling,
            None,
        )
        predictor.decode(latents[: sampling.windows.fresh], config.preview)

    group()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    group()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    return {
        "row": row.name,
        "passes": sampling.passes,
        "seconds_per_frame": round(seconds / sampling.windows.fresh, 3),
        "peak_gb": round(peak / 1e9, 2),
        "estimated_gb": round(need(family, config, dtype.itemsize).total / 1e9, 2),
        "notices": told,
    }


def device_of(name: str) -> str:
    """What the device is called, for the table's head."""
    import torch

    return torch.cuda.get_device_name() if name.startswith("cuda") else "the CPU"


def tiny(family: Any) -> Any:
    """A family whose networks are a few channels wide: shows that everything runs, and no more."""
    from motion2video.reference.families import (
        AutoencoderShape,
        ImageEncoderShape,
        Shapes,
        UNetShape,
    )

    widths = tuple(min(width, 8) for width in family.shapes.guider.widths)
    shapes = Shapes(
        dataclasses.replace(family.shapes.guider, widths=widths, heads=2, head_width=4, groups=4),
        UNetShape(channels=(8, 16, 16, 16), layers=1, heads=2, groups=4, context=12),
        AutoencoderShape(
            channels=(8, 8, 16, 16), layers=1, groups=4, tiny=8, tiny_blocks=(1, 1, 1, 1)
        ),
        ImageEncoderShape(width=16, inner=24, layers=2, heads=2, image=28, projection=12),
    )
    return dataclasses.replace(family, shapes=shapes)


def _options(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="aniportrait")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, help="of all rows (default: those of each)")
    parser.add_argument("--rows", nargs="*", default=[row.name for row in ROWS])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, help="begin no row after so many")
    parser.add_argument(
        "--tiny", action="store_true", help="networks of a few channels, as a trial"
    )
    parser.add_argument("--carry", type=Path, metavar="FOLDER", help="pack what is needed, and end")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="use what was packed")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """One table, or JSON."""
    started, options = time.monotonic(), _options(given)
    if options.carry is not None:
        for path in pack(needed(PACKAGES), options.carry):
            print(path)
        return
    if options.wheels is not None:
        unpack(options.wheels)
    from motion2video.reference.families import FAMILIES
    from weights.errors import VisavisError

    family = tiny(FAMILIES[options.family]) if options.tiny else FAMILIES[options.family]
    print(f"{options.family}, {options.size} px, {device_of(options.device)}", file=sys.stderr)
    head = ("passes", "seconds_per_frame", "peak_gb", "estimated_gb")
    if not options.json:
        print(f"| row | {' | '.join(head)} |\n|---|{'---|' * len(head)}")
    for row in (row for row in ROWS if row.name in options.rows):
        if options.seconds is not None and time.monotonic() - started > options.seconds:
            break
        try:
            found = measure(row, family, options.device, options.size, options.steps)
        except (VisavisError, ImportError, RuntimeError) as error:  # the other rows can go on
            found = {"row": row.name, "error": str(error)}
        if options.json:
            print(json.dumps({**found, "config": dataclasses.asdict(row)}), flush=True)
        else:
            cells = [str(found.get(name, found.get("error", ""))) for name in head]
            print(f"| {row.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
