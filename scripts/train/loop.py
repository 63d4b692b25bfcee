"""What the training scripts share: the loop, averaged weights, and checkpoints that resume exactly.

The batch of step n depends on (seed, n) alone, so a run that was killed and started again goes
through the same numbers as one that was not. Several processes may train together (see
scripts/train/processes.py); of N, the one of rank r takes the batches r, N + r, 2 N + r...

A run uses the GPU where there is one, in bf16 (`ACCELERATE_USE_CPU=true` and
`ACCELERATE_MIXED_PRECISION=no` or `fp16`, or the options of `accelerate launch`, say otherwise).
The log goes to the terminal, to OUT/log.jsonl and, where tensorboard is installed, to
OUT/tensorboard; sheets of samples to OUT/samples.
"""

import importlib
import importlib.util
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from motion2video.geometry.basis import FaceBasis
from motion2video.motion import DETAIL, EXPRESSION, MOTION_DIM
from scripts.train import processes
from weights.errors import InputError

T = TypeVar("T")
_READY = 4  # batches that each process keeps waiting


@dataclass(frozen=True)
class LoopConfig:
    """Length and pace of a run; `minutes` ends it early, whatever `steps` says (the learning
    rate then follows the clock, and no two runs are the same). `stop` leaves a run after that
    many steps as if it had been killed.
    """

    steps: int
    learning_rate: float
    minutes: float = 1e9
    warmup: int = 50
    weight_decay: float = 0.02
    average: float = 0.998
    clip: float = 1.0
    save_minutes: float = 3.0
    log_every: int = 25
    stop: int | None = None


class Average:
    """Exponential moving average of the parameters; the first steps count more."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def update(self, module: nn.Module, step: int) -> None:
        """Take in the parameters after step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value.detach(), 1 - decay)
            else:
                self.values[name].copy_(value)


@dataclass(frozen=True)
class Held:
    """What an export found out on held-out data: figures, and a sheet of samples."""

    figures: dict[str, float]
    sheet: UInt8[np.ndarray, "h w 3"]


class Stateful(Protocol):
    """What else belongs to a run: anything that gives its state as tensors and plain values, and
    takes it back. Networks and optimizers do.
    """

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Ahead(Generic[T]):
    """The batches of the steps to come, made by `workers` processes of their own: a GPU is faster
    than the core that draws its batches. Without workers each is made when it is asked for; the
    batches are the same, since `make` depends on nothing but its number.
    """

    def __init__(self, make: Callable[[int], T], workers: int = 0) -> None:
        self._make, self._workers = make, workers
        self._coming: Iterator[T] = iter(())
        self._next: int | None = None

    def __call__(self, step: int) -> T:
        """A batch by its number; this process's in a row are what it is quick at."""
        if not self._workers:
            return self._make(step)
        if step != self._next:
            numbers = range(step, step + (1 << 30), processes.count())
            self._coming = iter(
                DataLoader(
                    _Steps(self._make),
                    batch_size=None,
                    sampler=numbers,
                    num_workers=self._workers,
                    prefetch_factor=_READY,
                    worker_init_fn=_one_thread,
                )
            )
        self._next = step + processes.count()
        return next(self._coming)


class _Steps(Dataset[T]):
    """What DataLoader asks for the batch of a step."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make

    def __getitem__(self, index: int) -> T:
        return self._make(index)


def _one_thread(_: int) -> None:
    """The processes share the cores out, not the threads of one."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def batch_workers(wanted: int | None = None) -> int:
    """How many processes should draw batches, where nobody said: none without a GPU, since
    training needs the cores itself.
    """
    if wanted is not None:
        return wanted
    return max(1, len(os.sched_getaffinity(0)) - 2) if training_device().type == "cuda" else 0


Loss = Callable[[int], tuple[Tensor, dict[str, float]]]
Export = Callable[[dict[str, Tensor], int, float], Held | None]


class Journal:
    """The log of a run, wherever it is kept."""

    def __init__(self, out: Path) -> None:
        self.entries: list[dict[str, float]] = []
        self._out = out
        self._board: Any = None
        self._silent = not processes.first()
        if self._silent:
            return
        if importlib.util.find_spec("tensorboard") is None:
            print("no TensorBoard log: pip install tensorboard (or the extra `train`)", flush=True)
        else:
            module: Any = importlib.import_module("torch.utils.tensorboard")
            self._board = module.SummaryWriter(str(out / "tensorboard"))

    def note(self, entry: dict[str, float], rate: float) -> None:
        """The losses of a step; `rate` is the learning rate."""
        self.entries.append(entry)
        if self._silent:
            return
        print(json.dumps({k: round(v, 4) for k, v in entry.items()}), flush=True)
        self._scalars("train", {**entry, "rate": rate}, int(entry["step"]))

    def show(self, held: Held, step: int) -> None:
        """The figures and the sheet of an export."""
        folder = self._out / "samples"
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"{step:06d}.png"), np.ascontiguousarray(held.sheet[..., ::-1]))
        self._scalars("held out", held.figures, step)
        if self._board is not None:
            self._board.add_image("samples", held.sheet, step, dataformats="HWC")

    def save(self) -> None:
        """Bring all of it to the disk."""
        lines = "".join(json.dumps(entry) + "\n" for entry in self.entries)
        (self._out / "log.jsonl").write_text(lines)
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """End TensorBoard's log."""
        if self._board is not None:
            self._board.close()

    def _scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        if self._board is not None:
            for name in values.keys() - {"step", "minutes"}:
                self._board.add_scalar(f"{group}/{name}", values[name], step)


@dataclass(eq=False)
class _Run:
    """All that a checkpoint holds; `step` steps are done, in `minutes`."""

    module: nn.Module
    optimizer: Stateful
    average: Average
    journal: Journal
    also: Mapping[str, Stateful]
    step: int = 0
    minutes: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Minutes trained, those before this process included."""
        return self.minutes + (time.monotonic() - self.started) / 60

    def resume(self, path: Path, device: torch.device) -> None:
        """Go on from a checkpoint."""
        saved = torch.load(path, map_location=device, weights_only=True)
        self.module.load_state_dict(saved["module"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.values = saved["average"]
        self.step, self.minutes, self.journal.entries = (
            saved["step"],
            saved["minutes"],
            saved["log"],
        )
        for name, one in self.also.items():
            one.load_state_dict(saved["also"][name])

    def save(self, path: Path, step: int) -> None:
        """Write a checkpoint under another name first: a kill leaves the old one or the new one."""
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.values,
            "also": {name: one.state_dict() for name, one in self.also.items()},
            "step": step,
            "minutes": self.elapsed,
            "log": self.journal.entries,
        }
        temporary = path.with_suffix(".part")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def keep(self, out: Path, step: int, export: Export) -> None:
        """Checkpoint, export and log; the first process does, for all."""
        if not processes.first():
            return
        self.save(out / "checkpoint.pt", step)
        averaged = {k: v.cpu() for k, v in self.average.values.items()}
        held = export(averaged, step, self.elapsed)
        if held is not None:
            self.journal.show(held, step)
        self.journal.save()


def run(
    module: nn.Module,
    loss: Loss,
    export: Export,
    config: LoopConfig,
    out: Path,
    seed: int = 0,
    also: Mapping[str, Stateful] | None = None,
) -> list[dict[str, float]]:
    """Train `module` on `loss(step)`; returns the log and leaves it in `out/log.jsonl`.

    The module moves to the run's device; `loss` has its batches follow. Every `save_minutes` and
    at the end `out/checkpoint.pt` is written and `export(averaged parameters on the CPU, steps
    done, minutes trained)` is called. An existing checkpoint is resumed, with `also`, whatever
    else the loss trains on the side. Several processes give `loss` the numbers of other batches,
    each its own; raises InputError where they would train something on the side.
    """
    out.mkdir(parents=True, exist_ok=True)
    accelerator = _accelerator()
    module.to(accelerator.device)
    optimizer = torch.optim.AdamW(
        _groups(module, config), config.learning_rate, (0.9, 0.98), weight_decay=0.0
    )
    optimizer = accelerator.prepare(optimizer)
    also = dict(also or {})
    if also and processes.count() > 1:
        raise InputError(f"one process trains what has {', '.join(also)} on the side")
    if accelerator.scaler is not None:  # fp16 keeps losses in range by a factor that it learns
        also["scaler"] = accelerator.scaler
    state = _Run(module, optimizer, Average(module, config.average), Journal(out), also)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.is_file():
        state.resume(checkpoint, accelerator.device)
    processes.begin_alike(module, state.step)

    saved_at = time.monotonic()
    for step in range(state.step, config.steps):
        minutes = processes.as_first(state.elapsed, accelerator.device)
        finished = minutes >= config.minutes or step == config.stop
        if finished or time.monotonic() - saved_at > 60 * config.save_minutes:
            state.keep(out, step, export)
            saved_at = time.monotonic()
        if finished:
            break
        rate = _learning_rate(config, step, minutes)
        for group in optimizer.param_groups:
            group["lr"] = rate
        number = processes.share(step)
        torch.manual_seed(seed * 1_000_003 + number)
        with accelerator.autocast():
            value, parts = loss(number)
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(value)
        processes.meet(module)
        accelerator.clip_grad_norm_(module.parameters(), config.clip)
        optimizer.step()
        state.average.update(module, step)
        if step % config.log_every == 0 or step + 1 == config.steps:
            mean = processes.mean_of(value)
            entry = {"step": step, "minutes": round(minutes, 2), "loss": mean, **parts}
            state.journal.note(entry, rate)
    else:
        state.keep(out, config.steps, export)
    state.journal.close()
    processes.end()
    return state.journal.entries


def training_device() -> torch.device:
    """Where `run` trains, for what a loss brings along."""
    return _accelerator().device


def _accelerator() -> Accelerator:
    """bf16 on a GPU, unless accelerate was told another format. The network is not wrapped: the
    losses use more of it than its `forward`.
    """
    told = os.environ.get("ACCELERATE_MIXED_PRECISION")
    half = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    return Accelerator(mixed_precision=told or ("bf16" if half and not on_cpu else "no"))


def _groups(module: nn.Module, config: LoopConfig) -> list[dict[str, Any]]:
    """Matrices decay, vectors do not."""
    decay = [p for p in module.parameters() if p.ndim >= 2]
    other = [p for p in module.parameters() if p.ndim < 2]
    return [{"params": decay, "weight_decay": config.weight_decay}, {"params": other}]


def _learning_rate(config: LoopConfig, step: int, minutes: float) -> float:
    """A cosine down to a fiftieth, after a linear warm-up."""
    progress = max(step / config.steps, minutes / config.minutes)
    rate = min(1.0, (step + 1) / max(config.warmup, 1)) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * max(rate, 0.02)


def lip_aperture(basis: FaceBasis) -> Tensor:
    """[90] how the gap between the inner lips grows with every channel (interocular distances)."""
    out = np.zeros(MOTION_DIM, np.float32)
    out[EXPRESSION] = basis.expression[:, 13, 1] - basis.expression[:, 14, 1]
    out[DETAIL] = basis.detail[:, 13, 1] - basis.detail[:, 14, 1]
    return torch.from_numpy(out)
