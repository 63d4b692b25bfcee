"""How much memory drawing needs, before it begins: numbers for who has a small card.

Weights are counted; what frames need is what the largest tensors of a run need at once, and a
quarter more for what PyTorch keeps. docs/checkpoints.md says how that compares with measurements.
"""

import math
from dataclasses import dataclass, replace

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


def need(family: Family, config: ReferenceConfig, itemsize: int) -> Need:
    """Of a square picture of `config.size`; `itemsize` is the bytes of a number."""
    sampling = config.sampling(family)
    halves = 2 if sampling.guidance > 1 else 1
    rows = halves * sampling.windows.length * config.together
    frames = rows * _row(family, config.size) * itemsize * _SLACK
    return Need(_weights(family, config, itemsize), frames, _decoding(family, config) * _SLACK)


def require_room(family: Family, config: ReferenceConfig, itemsize: int, free: int) -> None:
    """Raise InputError where more is needed than is free, with the numbers and with what would
    fit.
    """
    wanted = need(family, config, itemsize)
    if wanted.total <= free:
        return
    fitting = [
        f"{flags} ({need(family, other, itemsize).total / _GB:.1f} GB)"
        for flags, other in _smaller(config)
        if need(family, other, itemsize).total <= free
    ]
    advice = f"this would fit: {fitting[0]}" if fitting else "nothing that can be set would fit"
    raise InputError(
        f"{family.title} at {config.size} px needs about {wanted} of GPU memory, and "
        f"{free / _GB:.1f} GB are free; {advice}"
    )


def _smaller(config: ReferenceConfig) -> list[tuple[str, ReferenceConfig]]:
    """What to try, the least loss first."""
    tried = []
    for offload in ("model", "sequential"):
        for size in (s for s in _SIZES if s <= config.size):
            for window in (None, *_WINDOWS):
                other = replace(
                    config, together=1, offload=offload, size=size, window=window or config.window
                )
                flags = f"--offload {offload}"
                flags += f" --window {window}" if window else ""
                flags += f" --resolution {size}" if size != config.size else ""
                tried.append((flags, other))
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
