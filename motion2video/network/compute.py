"""Where and how networks run: device, backend, number format, threads."""

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from motion2video.network.choices import MAX_THREADS, AttentionKind, Backend, Precision
from weights.errors import DependencyError, InputError
from weights.installation import how_to_add

if TYPE_CHECKING:
    import torch  # not before a network runs: a command line tells of the settings alone

_MOST_WORKERS = 8
_GPU_WORKERS = 3  # threads that feed a GPU: more of them wait for each other (334 against 224 fps)


@dataclass(frozen=True)
class ComputeConfig:
    """`device` is auto, cpu, cuda or cuda:N; `backend` auto, torch, onnxruntime or openvino;
    `precision` auto, fp32, fp16, bf16 or int8. `threads` is how many frames (on a GPU: batches of
    them) are worked on at a time (None: one a core that this process may use, at most 8; on a GPU
    at most 3). `attention` is sdpa or xformers;
    `compile` hands the networks to torch.compile, which pays on long jobs only.
    """

    device: str = "auto"
    backend: Backend = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    attention: AttentionKind = "sdpa"
    compile: bool = False

    def __post_init__(self) -> None:
        for name, value, wanted in (
            ("backend", self.backend, Backend),
            ("precision", self.precision, Precision),
            ("attention", self.attention, AttentionKind),
        ):
            if value not in get_args(wanted):
                words = ", ".join(get_args(wanted))
                raise InputError(f"got {name} {value!r}; wanted one of {words}")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise InputError(f"got {self.threads} threads; wanted 1 to {MAX_THREADS}")
        if self.attention == "xformers" and importlib.util.find_spec("xformers") is None:
            raise DependencyError(
                "attention 'xformers' was asked for, but xformers is not installed: "
                f"{how_to_add('xformers')}, or use attention 'sdpa'"
            )

    @property
    def workers(self) -> int:
        """Frames at a time, or batches of them."""
        if self.threads is not None:
            return self.threads
        gpu = pick_device(self.device).type == "cuda"
        return min(len(os.sched_getaffinity(0)), _GPU_WORKERS if gpu else _MOST_WORKERS)


def pick_device(name: str) -> "torch.device":
    """`auto` is the GPU where there is one; raises DependencyError for one that is missing."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DependencyError(f"got device {name!r}; wanted auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DependencyError(f"got device {name!r}; wanted auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DependencyError(
            "device 'cuda' was asked for, but this PyTorch sees no GPU: use --device cpu, or "
            "install a CUDA build of torch"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DependencyError(f"got device {name!r}; there are {torch.cuda.device_count()} GPUs")
    return device
