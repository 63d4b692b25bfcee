"""The latent network of the embedded renderer: velocity of the face crop's latent.

A small convolutional UNet over 1/8-resolution latents, guided by a conditioning network that
embeds the warped photo, its validity mask and the keypoint map (the place a ControlNet's
conditioning embedding has), and by attention to features of the portrait that are computed once.
Positions attend to the portrait and never to each other, and are normalised one by one, so a
window of the crop gives what the whole crop would give there: the renderer runs the network only
where the warp cannot know the answer.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from motion2video.network.attention import AttentionKind, attend
from weights.tensors import load_safetensors, read_safetensors

CONDITION_CHANNELS = 8  # warped RGB, known, open mouth, lips, eyes, irises
FACTOR = 8  # picture pixels a latent position


@dataclass(frozen=True)
class DenoiserConfig:
    """Widths at 1/8, 1/16 and 1/32 resolution, residual blocks at each, and the heads of the
    attention to the portrait at 1/16.
    """

    latent_channels: int = 16
    widths: tuple[int, int, int] = (64, 128, 192)
    blocks: int = 2
    condition_blocks: int = 2
    time_features: int = 128
    heads: int = 4

    def to_dict(self) -> dict[str, object]:
        """Plain values, for the header of a weights file."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict) -> "DenoiserConfig":
        """The inverse of `to_dict`; unknown keys are an error."""
        return DenoiserConfig(**values | {"widths": tuple(values["widths"])})


class PositionNorm(nn.Module):
    """Root-mean-square norm over the channels of each position (Zhang and Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(
        self, x: Float[Tensor, "b c h w"], scale: Float[Tensor, "b c 1 1"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        """`scale` multiplies the gain."""
        gain = self.gain if scale is None else self.gain * scale
        return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-6) * gain


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
        self, x: Float[Tensor, "b c h w"], scale_and_shift: Float[Tensor, "b m 1 1"]
    ) -> Float[Tensor, "b d h w"]:
        h = self.conv_1(F.silu(self.norm_1(x)))
        scale, shift = scale_and_shift.split(self.conv_2.out_channels, 1)
        h = self.norm_2(h, 1 + scale) + shift
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


class ReferenceNetwork(nn.Module):
    """A portrait's latent -> keys and values at 1/16 size, with their places in the crop."""

    def __init__(self, latent_channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.stem = nn.Conv2d(latent_channels, width, 3, stride=2, padding=1)
        self.place = nn.Conv2d(2, width, 1)
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.norm = PositionNorm(width)
        self.project = nn.Conv2d(width, 2 * width, 1)

    def forward(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b two heads k e"]:
        x = self.stem(latent)
        h, w = x.shape[2:]
        rows = torch.linspace(-1, 1, h, device=x.device, dtype=x.dtype)[:, None].expand(h, w)
        columns = torch.linspace(-1, 1, w, device=x.device, dtype=x.dtype).expand(h, w)
        x = x + self.place(torch.stack([rows, columns])[None])
        x = self.norm(x + self.mix(F.silu(x)))
        return rearrange(
            self.project(x), "b (two heads d) h w -> b two heads (h w) d", two=2, heads=self.heads
        )


class ReferenceAttention(nn.Module):
    """Every position asks the portrait; nothing passes between positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = PositionNorm(width)
        self.query = nn.Conv2d(width, width, 1)
        self.out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # pyrefly: ignore[bad-argument-type]

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        portrait: Float[Tensor, "b two heads k e"],
        kind: AttentionKind,
    ) -> Float[Tensor, "b c h w"]:
        query = rearrange(
            self.query(self.norm(x)), "b (heads d) h w -> b heads (h w) d", heads=self.heads
        )
        found = attend(query, portrait[:, 0], portrait[:, 1], kind)
        found = rearrange(found, "b heads (h w) d -> b (heads d) h w", h=x.shape[2])
        return x + self.out(found)


class Denoiser(nn.Module):
    """velocity(x_t, t | condition features, reference latent, portrait, sharpness)."""

    @staticmethod
    def load(file: Path | None = None, attention: AttentionKind = "sdpa") -> "Denoiser":
        """In fp32, for use: the embedded weights (role `denoiser`), or those of a file."""
        tensors, values = read_safetensors(file) if file else load_safetensors("denoiser")
        model = Denoiser(DenoiserConfig.from_dict(values), attention).eval()
        model.load_state_dict({k: torch.from_numpy(v).float() for k, v in tensors.items()})
        return model

    def __init__(self, config: DenoiserConfig, attention: AttentionKind = "sdpa") -> None:
        super().__init__()
        self.config = config
        self.attention: AttentionKind = attention
        fine, middle, coarse = config.widths
        c, n, f = config.latent_channels, config.blocks, config.time_features
        self.condition = ConditionNetwork(fine, config.condition_blocks)
        self.reference = nn.Conv2d(c, fine, 3, padding=1)
        self.stem = nn.Conv2d(c, fine, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(f, f), nn.SiLU(), nn.Linear(f, f))
        self.sharpness = nn.Linear(1, f)
        self.portrait = ReferenceNetwork(c, middle, config.heads)
        self.ask = ReferenceAttention(middle, config.heads)
        self.down_1 = nn.ModuleList(TimedBlock(fine, fine, f) for _ in range(n))
        self.to_middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.down_2 = nn.ModuleList(TimedBlock(middle, middle, f) for _ in range(n))
        nn.init.zeros_(self.sharpness.weight)
        nn.init.zeros_(self.sharpness.bias)
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
        """Features of the frame's condition and the portrait's latent there; once a frame."""
        return self.condition(condition) + self.reference(reference)

    def embed_portrait(
        self, reference: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b two heads k e"]:
        """Keys and values of the portrait's whole latent; once a portrait."""
        return self.portrait(reference)

    def modulate(
        self, t: Float[Tensor, "b"], sharpness: Float[Tensor, "b"]
    ) -> Float[Tensor, "b m 1 1"]:
        """Scales and shifts of all blocks at flow time t. `sharpness` is the resolution of the
        photo over that of the crop, at most 1: what detail the painted part shall have.
        """
        code = time_embedding(t.float(), self.config.time_features)
        time = self.time(code.to(sharpness.dtype))
        time = time + self.sharpness(sharpness[:, None])
        return torch.cat([block.time(time) for block in self._blocks()], 1)[..., None, None]

    def forward(
        self,
        x_t: Float[Tensor, "b c h w"],
        t: Float[Tensor, "b"],
        features: Float[Tensor, "b d h w"],
        portrait: Float[Tensor, "b two heads k e"],
        sharpness: Float[Tensor, "b"],
    ) -> Float[Tensor, "b c h w"]:
        """Velocity at (x_t, t); h and w are multiples of 4."""
        return self.velocity(x_t, features, portrait, self.modulate(t, sharpness))

    def velocity(
        self,
        x_t: Float[Tensor, "b c h w"],
        features: Float[Tensor, "b d h w"],
        portrait: Float[Tensor, "b two heads k e"],
        modulation: Float[Tensor, "b m 1 1"],
    ) -> Float[Tensor, "b c h w"]:
        """Velocity at x_t and the time that `modulation` (see `modulate`) was made for."""
        sizes = [2 * block.conv_2.out_channels for block in self._blocks()]
        each = iter(modulation.split(sizes, 1))
        x = self.stem(x_t) + features
        for block in self.down_1:
            x = block(x, next(each))
        fine = x
        x = self.to_middle(x)
        for block in self.down_2:
            x = block(x, next(each))
        x = self.ask(x, portrait, self.attention)
        middle = x
        x = self.to_coarse(x)
        for block in self.core:
            x = block(x, next(each))
        x = torch.cat([F.pixel_shuffle(self.from_coarse(x), 2), middle], 1)
        for block in self.up_2:
            x = block(x, next(each))
        x = torch.cat([F.pixel_shuffle(self.from_middle(x), 2), fine], 1)
        for block in self.up_1:
            x = block(x, next(each))
        return self.head(x)

    def _blocks(self) -> list[TimedBlock]:
        """All blocks in the order in which they are passed."""
        parts = (self.down_1, self.down_2, self.core, self.up_2, self.up_1)
        return [block for part in parts for block in part if isinstance(block, TimedBlock)]


def time_embedding(t: Float[Tensor, "b"], features: int) -> Float[Tensor, "b f"]:
    """Sinusoids of the flow time in [0, 1]."""
    half = features // 2
    rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(1000.0) / half))
    angle = t[:, None] * rates[None] * 100.0
    return torch.cat([angle.sin(), angle.cos()], 1)
