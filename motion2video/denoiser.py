"""The latent network of the embedded renderer: velocity of the face crop's latent.

A small convolutional UNet over 1/8-resolution latents, guided by a conditioning network that
embeds the warped photo, its validity mask and the keypoint map (the place a ControlNet's
conditioning embedding has). It has no attention and normalises every position by itself, so a
window of the crop gives what the whole crop would give there: the renderer runs it only where
the warp cannot know the answer.
"""

import math
from dataclasses import asdict, dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

CONDITION_CHANNELS = 8  # warped RGB, known, open mouth, lips, eyes, irises
FACTOR = 8  # picture pixels a latent position


@dataclass(frozen=True)
class DenoiserConfig:
    """Widths at 1/8, 1/16 and 1/32 resolution, and residual blocks at each."""

    latent_channels: int = 16
    widths: tuple[int, int, int] = (64, 128, 192)
    blocks: int = 2
    condition_blocks: int = 2
    time_features: int = 128

    def to_dict(self) -> dict[str, object]:
        """Plain values, for the header of a weights file."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict) -> "DenoiserConfig":
        """The inverse of `to_dict`; unknown keys are an error."""
        return DenoiserConfig(**{**values, "widths": tuple(values["widths"])})


class PositionNorm(nn.Module):
    """Root-mean-square norm over the channels of each position (Zhang and Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6) * self.gain


class TimedBlock(nn.Module):
    """Residual block whose features are scaled and shifted by the time embedding."""

    def __init__(self, width_in: int, width: int, time_features: int) -> None:
        super().__init__()
        self.norm_1 = PositionNorm(width_in)
        self.conv_1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.time = nn.Linear(time_features, 2 * width)
        self.norm_2 = PositionNorm(width)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()
        nn.init.zeros_(self.conv_2.weight)
        nn.init.zeros_(self.time.weight)

    def forward(
        self, x: Float[Tensor, "b c h w"], time: Float[Tensor, "b f"]
    ) -> Float[Tensor, "b d h w"]:
        h = self.conv_1(F.silu(self.norm_1(x)))
        scale, shift = rearrange(self.time(time), "b (two c) -> two b c 1 1", two=2)
        h = self.norm_2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv_2(F.silu(h))


class ConditionNetwork(nn.Module):
    """[warped RGB, known, features] at full size -> features at 1/8 size."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.patch = nn.Sequential(
            nn.PixelUnshuffle(FACTOR), nn.Conv2d(CONDITION_CHANNELS * FACTOR**2, width, 1)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                PositionNorm(width),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for _ in range(blocks)
        )

    def forward(self, condition: Float[Tensor, "b 8 H W"]) -> Float[Tensor, "b c h w"]:
        x = self.patch(condition)
        for block in self.blocks:
            x = x + block(x)
        return x


class Denoiser(nn.Module):
    """velocity(x_t, t | condition features, reference latent)."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        fine, middle, coarse = config.widths
        c, n, f = config.latent_channels, config.blocks, config.time_features
        self.condition = ConditionNetwork(fine, config.condition_blocks)
        self.reference = nn.Conv2d(c, fine, 3, padding=1)
        self.stem = nn.Conv2d(c, fine, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(f, f), nn.SiLU(), nn.Linear(f, f))
        self.down_1 = nn.ModuleList(TimedBlock(fine, fine, f) for _ in range(n))
        self.to_middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.down_2 = nn.ModuleList(TimedBlock(middle, middle, f) for _ in range(n))
        self.to_coarse = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.core = nn.ModuleList(TimedBlock(coarse, coarse, f) for _ in range(n))
        self.from_coarse = nn.Conv2d(coarse, middle * 4, 1)
        self.up_2 = nn.ModuleList(
            TimedBlock(2 * middle if i == 0 else middle, middle, f) for i in range(n)
        )
        self.from_middle = nn.Conv2d(middle, fine * 4, 1)
        self.up_1 = nn.ModuleList(
            TimedBlock(2 * fine if i == 0 else fine, fine, f) for i in range(n)
        )
        self.head = nn.Sequential(PositionNorm(fine), nn.SiLU(), nn.Conv2d(fine, c, 3, padding=1))

    def embed_condition(
        self, condition: Float[Tensor, "b 8 H W"], reference: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b d h w"]:
        """Features of the frame's condition and the portrait's latent; once a frame."""
        return self.condition(condition) + self.reference(reference)

    def forward(
        self,
        x_t: Float[Tensor, "b c h w"],
        t: Float[Tensor, "b"],
        features: Float[Tensor, "b d h w"],
    ) -> Float[Tensor, "b c h w"]:
        """Velocity at (x_t, t); h and w are multiples of 4."""
        time = self.time(time_embedding(t, self.config.time_features))
        x = self.stem(x_t) + features
        for block in self.down_1:
            x = block(x, time)
        fine = x
        x = self.to_middle(x)
        for block in self.down_2:
            x = block(x, time)
        middle = x
        x = self.to_coarse(x)
        for block in self.core:
            x = block(x, time)
        x = torch.cat([F.pixel_shuffle(self.from_coarse(x), 2), middle], 1)
        for block in self.up_2:
            x = block(x, time)
        x = torch.cat([F.pixel_shuffle(self.from_middle(x), 2), fine], 1)
        for block in self.up_1:
            x = block(x, time)
        return self.head(x)


def time_embedding(t: Float[Tensor, "b"], features: int) -> Float[Tensor, "b f"]:
    """Sinusoids of the flow time in [0, 1]."""
    half = features // 2
    rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(1000.0) / half))
    angle = t[:, None] * rates[None] * 100.0
    return torch.cat([angle.sin(), angle.cos()], 1)
