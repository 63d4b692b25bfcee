"""Whose face it is, roughly: a small embedding with weights in the project (role identity).

It tells whether the face of a video is still that of its photo. To recognise people, take ArcFace
(`motion2video.faces.insight.IdentityEmbedder`), from which it differs in accuracy and in nothing
else.
"""

from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from motion2video.faces.insight import MESH_POINTS, align
from weights.errors import WeightsError
from weights.tensors import load_safetensors


@runtime_checkable
class FaceEmbedder(Protocol):
    """Gives unit vectors of faces, near for one person and far for two."""

    def embed(
        self, image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"]
    ) -> Float[np.ndarray, "d"]:
        """Of the face with these landmarks in pixels."""
        ...


@dataclass(frozen=True)
class IdentityConfig:
    """Sizes of the network; stored in the header of its weights."""

    widths: tuple[int, ...] = (16, 32, 64, 96)
    numbers: int = 192

    def to_dict(self) -> dict:
        """For a header."""
        return asdict(self)

    @staticmethod
    def from_header(config: dict) -> "IdentityConfig":
        """From a weights header. Raises WeightsError for keys that do not fit."""
        try:
            return IdentityConfig(**config | {"widths": tuple(config["widths"])})
        except (TypeError, KeyError) as error:
            raise WeightsError(f"the identity network's header does not fit: {error}") from error


class _Block(nn.Module):
    """Two convolutions beside a way around."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.enter = nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.leave(F.silu(self.enter(F.silu(self.norm(x)))))


class IdentityNetwork(nn.Module):
    """Aligned faces to unit vectors."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 3
        for width in config.widths:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), _Block(width)]
            before = width
        self.trunk = nn.Sequential(*layers)
        self.places = nn.Conv2d(before, before, 7, groups=before)
        self.leave = nn.Linear(before, config.numbers)

    def forward(self, face: Float[Tensor, "b 3 112 112"]) -> Float[Tensor, "b d"]:
        """Of faces in 0..1, aligned as `motion2video.faces.insight.align` does."""
        x = F.silu(self.places(self.trunk(2 * face - 1)))
        return F.normalize(self.leave(x.flatten(1)), dim=1)


class FaceIdentity:
    """Embeds faces: the cosine of two pictures of one person is near 1."""

    def __init__(self, network: IdentityNetwork) -> None:
        self._network = network.eval().requires_grad_(False)

    @staticmethod
    def load() -> "FaceIdentity":
        """The embedded network. Raises WeightsError."""
        tensors, header = load_safetensors("identity")
        network = IdentityNetwork(IdentityConfig.from_header(header))
        try:
            network.load_state_dict({k: torch.from_numpy(v).float() for k, v in tensors.items()})
        except RuntimeError as error:
            raise WeightsError(f"the identity network's weights do not fit: {error}") from error
        return FaceIdentity(network)

    @torch.inference_mode()
    def embed(
        self, image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"]
    ) -> Float[np.ndarray, "d"]:
        """Unit vector of the face with these landmarks in pixels."""
        face = torch.from_numpy(align(image, landmarks[MESH_POINTS, :2])).permute(2, 0, 1)
        return self._network(face[None].float() / 255)[0].numpy()
