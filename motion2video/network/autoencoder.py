"""The embedded autoencoder: a 256 px face crop <-> a 16 x 32 x 32 latent.

Most of the work happens at 1/8 and 1/4 resolution with a pixel-shuffle at the end, so that
decoding costs a small fraction of a Stable-Diffusion decoder. The latent's scale and shift live
inside: `encode` gives latents of about zero mean and unit variance, `decode` takes them.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from weights.tensors import load_safetensors, read_safetensors


@dataclass(frozen=True)
class AutoencoderConfig:
    """Widths and depths; `factor` (8) is fixed by the layout."""

    latent_channels: int = 16
    encoder_width: int = 64
    width: int = 96
    encoder_blocks: int = 3
    decoder_blocks: int = 3
    fine_width: int = 48

    def to_dict(self) -> dict[str, int]:
        """Plain values, for the header of a weights file."""
        return asdict(self)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a SiLU, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv_2.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.conv_2(F.silu(self.conv_1(F.silu(x))))


class Autoencoder(nn.Module):
    """RGB in [0, 1] <-> latent at 1/8 size."""

    latent_shift: Tensor
    latent_scale: Tensor

    @staticmethod
    def load(file: Path | None = None) -> "Autoencoder":
        """In fp32, for use: the embedded weights (role `autoencoder`), or those of a file."""
        tensors, values = read_safetensors(file) if file else load_safetensors("autoencoder")
        model = Autoencoder(AutoencoderConfig(**values)).eval()
        model.load_state_dict({k: torch.from_numpy(v).float() for k, v in tensors.items()})
        return model

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, c.encoder_width, 3, padding=1),
            ResidualBlock(c.encoder_width),
            nn.Conv2d(c.encoder_width, c.width, 3, stride=2, padding=1),
            *[ResidualBlock(c.width) for _ in range(c.encoder_blocks)],
            nn.Conv2d(c.width, c.latent_channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(c.latent_channels, c.width, 3, padding=1),
            *[ResidualBlock(c.width) for _ in range(c.decoder_blocks)],
            nn.Conv2d(c.width, c.fine_width * 4, 1),
            nn.PixelShuffle(2),
            ResidualBlock(c.fine_width),
            nn.Conv2d(c.fine_width, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )
        self.register_buffer("latent_shift", torch.zeros(1, c.latent_channels, 1, 1))
        self.register_buffer("latent_scale", torch.ones(1, c.latent_channels, 1, 1))

    def encode(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """RGB in [0, 1] (sides multiples of 8) to normalised latents."""
        return (self.encoder(image * 2.0 - 1.0) - self.latent_shift) / self.latent_scale

    def decode(self, latent: Float[Tensor, "b c h8 w8"]) -> Float[Tensor, "b 3 h w"]:
        """Normalised latents to RGB, about [0, 1] (not clamped)."""
        return self.decoder(latent * self.latent_scale + self.latent_shift) * 0.5 + 0.5
