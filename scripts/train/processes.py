"""Several processes that train one network: each takes other batches, and their gradients meet.

With N of them a step is one of a batch N times as large. They are started by `accelerate launch`,
`torchrun` or scripts/train/cluster; alone, nothing here does anything. What is not said with
gradients is said by the first: its parameters, its clock, its files.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from weights.errors import InputError


def count() -> int:
    """How many train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first() -> bool:
    """Whether this is the one that writes and tells."""
    return count() == 1 or dist.get_rank() == 0


def share(step: int) -> int:
    """Which batch of a step is this process's, of all there are."""
    return step * count() + (dist.get_rank() if count() > 1 else 0)


def begin_alike(module: nn.Module, step: int) -> None:
    """Give all the first one's parameters and buffers. Raises InputError where they have read
    checkpoints of other steps than `step`: their folders are not the same.
    """
    if count() == 1:
        return
    steps = [torch.zeros(1) for _ in range(count())]
    device = next(module.parameters()).device
    places = [one.to(device) for one in steps]
    dist.all_gather(places, torch.tensor([float(step)], device=device))
    if len({float(one) for one in places}) > 1:
        raise InputError("the processes found other checkpoints: --out is one folder for all")
    for tensor in module.state_dict().values():
        dist.broadcast(tensor, 0)


def meet(module: nn.Module) -> None:
    """Every gradient becomes the mean of the processes'; one that nobody has stays away."""
    if count() == 1:
        return
    parameters = [p for p in module.parameters() if p.requires_grad]
    known = [torch.full_like(p.flatten()[:1], p.grad is not None) for p in parameters]
    parts = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    flat = torch.cat([*parts, *known])
    dist.all_reduce(flat)
    *sums, anybody = flat.split([*map(len, parts), len(known)])
    for parameter, total, use in zip(parameters, sums, anybody.tolist(), strict=True):
        parameter.grad = (total / count()).view_as(parameter) if use else None


def mean_of(value: Tensor) -> float:
    """A number of every process's."""
    if count() == 1:
        return value.item()
    total = value.detach().float().clone()
    dist.all_reduce(total)
    return total.item() / count()


def as_first(value: float, device: torch.device) -> float:
    """The first process's number, in place of one's own."""
    if count() == 1:
        return value
    told = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(told, 0)
    return told.item()


def end() -> None:
    """Wait until all have come to their end, and leave together."""
    if count() > 1:
        dist.barrier()
        dist.destroy_process_group()
