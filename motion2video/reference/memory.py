"""How much memory drawing needs, before it begins: numbers for who has a small card.

Weights are counted; what frames need is what the largest tensors of a run need at once, and a
quarter more for what PyTorch keeps. docs/checkpoints.md says how that compares with measurements.
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

from motion2video.reference.families import Family
from motion2video.reference.keys import all_keys, largest_layer
from motion2video.reference.settings import ReferenceConfig
from weights.errors import InputError

_SLACK = 1.25
_FP32 = 4
_FEED = 15  # widths of a level in a feed-forward layer: 8 before its gate, 4 after, 3 around it
_GB = 1e9
_WINDOWS = (16, 12, 8)
_SIZES = (512, 384, 256)


@dataclass(frozen=True)
class Need:
    """Bytes on a GPU: `weights` that are there at once, `frames` of the windows that are denoised,
    `decoding` of one picture.
    """

    weights: float
    frames: float
    decoding: float

    @property
    def total(self) -> float:
        """At the worst moment."""
        return self.weights + max(self.frames, self.decoding)

    def __str__(self) -> str:
        return (
            f"{self.total / _GB:.1f} GB ({self.weights / _GB:.1f} of weights, "
            f"{max(self.frames, self.decoding) / _GB:.1f} of frames)"
        )


def need(family: Family, config: ReferenceConfig, itemsize: int, devices: int = 1) -> Need:
    """Of a square picture of `config.size`, on the first of so many devices; `itemsize` is the
    bytes of a number.
    """
    sampling = config.sampling(family)
    halves = 2 if sampling.guidance > 1 else 1
    rows = halves * sampling.windows.length * math.ceil(config.together / devices)
    frames = rows * _row(family, config.size) * itemsize * _SLACK
    return Need(_weights(family, config, itemsize), frames, _decoding(family, config) * _SLACK)


def need_of_copy(family: Family, config: ReferenceConfig, itemsize: int, devices: int) -> Need:
    """On each of the other devices, which have the denoising U-Net alone."""
    weights = sum(map(math.prod, all_keys(family.shapes)["denoising_unet"].values())) * itemsize
    return Need(float(weights), need(family, config, itemsize, devices).frames, 0.0)


def require_room(
    family: Family, config: ReferenceConfig, itemsize: int, free: int, *others: int
) -> None:
    """Raise InputError where more is needed than is free on a device or on one of the `others` that
    draw with it, with the numbers and with what would fit.
    """
    devices = 1 + len(others)
    copied = need_of_copy(family, config, itemsize, devices)
    if others and copied.total > min(others):
        raise InputError(
            f"{family.title} at {config.size} px needs about {copied} of every further GPU, and "
            f"{min(others) / _GB:.1f} GB are free on one; --device cuda:0 draws on the first alone"
        )
    wanted = need(family, config, itemsize, devices)
    if wanted.total <= free:
        return
    fitting = [
        f"{flags} ({need(family, other, itemsize).total / _GB:.1f} GB)"
        for flags, other in _smaller(family, config)
        if need(family, other, itemsize).total <= free
    ]
    advice = f"this would fit: {fitting[0]}" if fitting else "nothing that can be set would fit"
    raise InputError(
        f"{family.title} at {config.size} px needs about {wanted} of GPU memory, and "
        f"{free / _GB:.1f} GB are free; {advice}"
    )


def _smaller(family: Family, config: ReferenceConfig) -> list[tuple[str, ReferenceConfig]]:
    """What to try, the least loss first."""
    tried, own = [], config.sampling(family).windows
    sizes = (config.size, *(size for size in _SIZES if size < config.size))
    lengths = (own.length, *(length for length in _WINDOWS if length < own.length))
    for offloads in (("none", "model"), ("sequential",)):
        for size, offload, window in itertools.product(sizes, offloads, lengths):
            changed: dict[str, tuple[str, Any]] = {
                "together": ("--together", 1),
                "offload": ("--offload", offload),
                "window": ("--window", window),
                "overlap": ("--overlap", min(own.overlap, window // 2)),
                "size": ("--resolution", size),
            }
            before = {**vars(config), "window": own.length, "overlap": own.overlap}
            flags = [f"{flag} {x}" for name, (flag, x) in changed.items() if before[name] != x]
            other = replace(config, **{name: x for name, (_, x) in changed.items()})
            tried.append((" ".join(flags), other))
    return tried


def _weights(family: Family, config: ReferenceConfig, itemsize: int) -> float:
    keys = all_keys(family.shapes)
    sizes = {
        part: sum(map(math.prod, found.values())) * (_FP32 if part == "vae" else itemsize)
        for part, found in keys.items()
        if part != "motion_module"  # counted with the denoising U-Net
    }
    if config.offload == "none":
        return float(sum(sizes.values()))
    if config.offload == "model":
        return float(max(sizes.values()))
    return float(largest_layer(keys["denoising_unet"]) * itemsize)


def _row(family: Family, size: int) -> float:
    """Numbers that one frame of one half of guidance needs at once in the denoising U-Net: what its
    way down leaves for its way up, and the widest feed-forward layer.
    """
    unet, side = family.shapes.unet, size / 8
    skips, widest = unet.channels[0] * side**2, 0.0
    for level, width in enumerate(unet.channels):
        tokens = (side / 2**level) ** 2
        skips += unet.layers * width * tokens
        if level < len(unet.channels) - 1:
            skips += width * tokens / 4
        widest = max(widest, _FEED * width * tokens)
    return skips + widest


def _decoding(family: Family, config: ReferenceConfig) -> float:
    """Bytes of the autoencoder's last level, whose input is as wide as the level before."""
    first, second, *_ = family.shapes.autoencoder.channels
    if config.preview:
        return config.size**2 * family.shapes.autoencoder.tiny * 3.0 * _FP32
    return config.size**2 * (2.0 * second + first) * _FP32
