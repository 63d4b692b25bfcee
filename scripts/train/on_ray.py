"""Train on a Ray cluster: a trainer of this folder in several workers, by Ray Train.

    scripts/train/cluster autoencoder --workers 4 --gpu -- --data DATA --out OUT
    scripts/train/cluster identity --workers 2 -- --tiny --out OUT      # made-up data

What follows `--` are the trainer's own options. DATA and OUT are folders that all nodes see, and
each has this checkout with its environment at the same place. With N workers a step is one of a
batch N times as large. A worker that is lost takes the others with it: all begin again from
OUT/checkpoint.pt, as often as --retry says. Needs the extra `ray`.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TRAINERS = ("autoencoder", "identity", "renderer", "speech")
"""Those whose processes need nothing of each other but gradients; of renderer not --polish."""


def work(told: dict[str, Any]) -> None:
    """What every worker does: the trainer's own command, in the folder of who asked."""
    os.chdir(told["folder"])
    if not told["gpu"]:
        os.environ["ACCELERATE_USE_CPU"] = "true"
    sys.argv = [told["module"], *told["arguments"]]
    importlib.import_module(told["module"]).main()


def asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Command line; `options` are what follows `--`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    at = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(
        prog="scripts/train/cluster", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("trainer", choices=TRAINERS)
    parser.add_argument("--workers", type=int, default=2, help="processes, on whatever nodes")
    parser.add_argument("--gpu", action="store_true", help="a GPU for each")
    parser.add_argument("--address", help="of a cluster, such as auto; else one on this machine")
    parser.add_argument("--retry", type=int, default=3, help="times that a lost worker may be")
    parser.epilog = "then -- and the trainer's own options, --out among them"
    found = parser.parse_args(words[:at])
    found.options = words[at + 1 :]
    if "--out" not in found.options:
        parser.error("the trainer needs --out, after --")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    options = asked(arguments)
    ray, train, torch = (importlib.import_module(f"ray{n}") for n in ("", ".train", ".train.torch"))
    out = Path(options.options[options.options.index("--out") + 1]).absolute()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    seen: dict[str, Any] = {"runtime_env": {"env_vars": {"PYTHONPATH": str(ROOT)}}}
    if options.address is None:
        seen["include_dashboard"] = False
    ray.init(address=options.address or "local", **seen)
    try:
        torch.TorchTrainer(
            work,
            train_loop_config={
                "module": f"scripts.train.{options.trainer}",
                "arguments": options.options,
                "folder": os.getcwd(),
                "gpu": options.gpu,
            },
            scaling_config=train.ScalingConfig(num_workers=options.workers, use_gpu=options.gpu),
            torch_config=torch.TorchConfig(backend="nccl" if options.gpu else "gloo"),
            run_config=train.RunConfig(
                storage_path=str(out / "ray"),
                failure_config=train.FailureConfig(max_failures=options.retry),
            ),
        ).fit()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
