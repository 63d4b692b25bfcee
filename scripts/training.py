"""What the training scripts share: the loop, averaged weights, and checkpoints that resume exactly.

The batch of step n depends on (seed, n) alone, so a run that was killed and started again goes
through the same numbers as one that was not.
"""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from motion2video.geometry import FaceBasis
from motion2video.motion import DETAIL, EXPRESSION, MOTION_DIM


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


Loss = Callable[[int], tuple[Tensor, dict[str, float]]]
Export = Callable[[dict[str, Tensor], int, float], None]


def run(
    module: nn.Module, loss: Loss, export: Export, config: LoopConfig, out: Path, seed: int = 0
) -> list[dict[str, float]]:
    """Train `module` on `loss(step)`; returns the log and leaves it in `out/log.jsonl`.

    Every `save_minutes` and at the end `out/checkpoint.pt` is written and `export(averaged
    parameters, steps done, minutes trained)` is called. An existing checkpoint is resumed.
    """
    out.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator()
    decay = [p for p in module.parameters() if p.ndim >= 2]
    other = [p for p in module.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": other}]
    optimizer = torch.optim.AdamW(groups, config.learning_rate, (0.9, 0.98), weight_decay=0.0)
    average = Average(module, config.average)
    done, spent, log = 0, 0.0, []
    checkpoint = out / "checkpoint.pt"
    if checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=accelerator.device, weights_only=True)
        module.load_state_dict(saved["module"])
        optimizer.load_state_dict(saved["optimizer"])
        average.values, done, spent = saved["average"], saved["step"], saved["minutes"]
        log = saved["log"]
    model, optimizer = accelerator.prepare(module, optimizer)
    start = saved_at = time.monotonic()
    for step in range(done, config.steps):
        minutes = spent + (time.monotonic() - start) / 60
        finished = minutes >= config.minutes or step == config.stop
        if finished or time.monotonic() - saved_at > 60 * config.save_minutes:
            _save(checkpoint, accelerator, model, optimizer, average, step, minutes, log)
            export(average.values, step, minutes)
            saved_at = time.monotonic()
        if finished:
            return log
        progress = max(step / config.steps, minutes / config.minutes)
        rate = min(1.0, (step + 1) / config.warmup) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * max(rate, 0.02)
        torch.manual_seed(seed * 1_000_003 + step)
        value, parts = loss(step)
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(value)
        accelerator.clip_grad_norm_(module.parameters(), config.clip)
        optimizer.step()
        average.update(accelerator.unwrap_model(model), step)
        if step % config.log_every == 0 or step + 1 == config.steps:
            entry = {"step": step, "minutes": round(minutes, 2), "loss": value.item(), **parts}
            log.append(entry)
            print(json.dumps({k: round(v, 4) for k, v in entry.items()}), flush=True)
    minutes = spent + (time.monotonic() - start) / 60
    _save(checkpoint, accelerator, model, optimizer, average, config.steps, minutes, log)
    export(average.values, config.steps, minutes)
    return log


def lip_aperture(basis: FaceBasis) -> Tensor:
    """[90] how the gap between the inner lips grows with every channel (interocular distances)."""
    out = np.zeros(MOTION_DIM, np.float32)
    out[EXPRESSION] = basis.expression[:, 13, 1] - basis.expression[:, 14, 1]
    out[DETAIL] = basis.detail[:, 13, 1] - basis.detail[:, 14, 1]
    return torch.from_numpy(out)


def _save(path, accelerator, model, optimizer, average, step, minutes, log) -> None:
    temporary = path.with_suffix(".part")
    torch.save(
        {
            "module": accelerator.unwrap_model(model).state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": average.values,
            "step": step,
            "minutes": minutes,
            "log": log,
        },
        temporary,
    )
    os.replace(temporary, path)
    (path.parent / "log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in log))
