"""The transformer of the motion network: its sizes, who sees whom, what is kept of finished frames,
and a layer.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from audio2motion.network.condition import CHUNK
from audio2motion.saveable import saveable
from weights.errors import WeightsError


@saveable
@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; stored in the header of its weights."""

    width: int = 192
    layers: int = 6
    heads: int = 6
    hidden: int = 640
    history: int = 50
    speech_features: int = 128

    @staticmethod
    def from_header(config: dict) -> "ModelConfig":
        """From a weights header. Raises WeightsError for keys that do not fit."""
        try:
            return ModelConfig(**config)
        except TypeError as error:
            raise WeightsError(f"the motion generator's header does not fit: {error}") from error


@saveable
@dataclass(frozen=True, eq=False)
class Cache:
    """Keys (before their rotation) and values of the last finished frames, [layers, b, heads,
    history, d]; of those, the last `filled` count.
    """

    keys: Float[Tensor, "l b h n d"]
    values: Float[Tensor, "l b h n d"]
    filled: int

    def followed_by(self, made: "KeysValues", count: int) -> "Cache":
        """With a finished chunk of `count` frames at its end, its oldest ones gone."""
        keys, values = (torch.stack(part) for part in made)
        return Cache(
            torch.cat([self.keys[..., count:, :], keys], 3),
            torch.cat([self.values[..., count:, :], values], 3),
            min(self.keys.shape[3], self.filled + count),
        )


KeysValues = tuple[list[Tensor], list[Tensor]]
"""Of every layer, [b, heads, t, d]."""


@dataclass(frozen=True, eq=False)
class Past:
    """What every evaluation of a chunk needs of what was before it: the rotated keys and the
    values, who may see whom, and the turns of the chunk's own positions.
    """

    keys: Float[Tensor, "l b h n d"]
    values: Float[Tensor, "l b h n d"]
    mask: Bool[Tensor, "t m"]
    turns: tuple[Float[Tensor, "t d"], Float[Tensor, "t d"]]


def angles(
    start: int, count: int, size: int, device: torch.device
) -> tuple[Float[Tensor, "t d"], Float[Tensor, "t d"]]:
    """Cosines and sines of rotary positions start, start + 1, ... for heads of `size`."""
    half = size // 2
    rate = torch.exp(torch.arange(half, device=device) * (-math.log(1000.0) / half))
    angle = torch.arange(start, start + count, device=device)[:, None] * rate
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def turn(
    x: Float[Tensor, "*b t d"], turns: tuple[Float[Tensor, "t d"], Float[Tensor, "t d"]]
) -> Float[Tensor, "*b t d"]:
    """Rotary position embedding (Su et al. 2021) by `angles`."""
    cos, sin = turns
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def rotate(x: Float[Tensor, "*b t d"], start: int) -> Float[Tensor, "*b t d"]:
    """Rotary position embedding for positions start, start + 1, ..."""
    return turn(x, angles(start, x.shape[-2], x.shape[-1], x.device))


class Block(nn.Module):
    """Attention and a pointwise network, both modulated by the flow time."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm_1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm_2 = nn.LayerNorm(width, elementwise_affine=False)
        self.queries = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.mix = nn.Linear(width, width)
        self.up = nn.Linear(width, config.hidden)
        self.down = nn.Linear(config.hidden, width)
        self.shift = nn.Parameter(torch.zeros(6, width))

    def _split(self, x: Float[Tensor, "b t w"]) -> Float[Tensor, "b h t d"]:
        return rearrange(x, "b t (h d) -> b h t d", h=self.heads)

    def forward(
        self,
        x: Float[Tensor, "b t w"],
        time: Float[Tensor, "#b #t 6 w"],
        mask: Bool[Tensor, "t m"],
        turns: tuple[Float[Tensor, "t d"], Float[Tensor, "t d"]],
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Float[Tensor, "b t w"], tuple[Tensor, Tensor]]:
        """The tokens after this block, of whole sequences (training), which see `past` keys and
        values too; and their own, turned.
        """
        scale_1, move_1, gate_1, scale_2, move_2, gate_2 = (time + self.shift).unbind(-2)
        y = self.norm_1(x) * (1 + scale_1) + move_1
        query = turn(self._split(self.queries(y)), turns)
        key, value = (self._split(z) for z in self.keys_values(y).chunk(2, -1))
        own = keys, values = turn(key, turns), value
        if past is not None:
            keys, values = (torch.cat([then, now], 2) for then, now in zip(past, own, strict=True))
        seen = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        x = x + gate_1 * self.mix(rearrange(seen, "b h t d -> b t (h d)"))
        y = self.norm_2(x) * (1 + scale_2) + move_2
        return x + gate_2 * self.down(F.gelu(self.up(y))), own

    def step(
        self, x: Float[Tensor, "b t w"], time: Float[Tensor, "6 w"], past: Past, at: int
    ) -> tuple[Float[Tensor, "b t w"], Tensor, Tensor]:
        """The same for one chunk after its past, as layer `at`: the tokens, and their
        keys (before their rotation) and values. The arithmetic of `forward` in fewer, larger
        operations, as a chunk is too small to keep a processor busy.
        """
        batch, split = len(x), (len(x), x.shape[1], self.heads, -1)
        scale_1, move_1, gate_1, scale_2, move_2, gate_2 = time.unbind(0)
        y = torch.addcmul(move_1, self.norm_1(x), scale_1)
        query = self.queries(y).view(split).transpose(1, 2)
        key, value = (z.view(split).transpose(1, 2) for z in self.keys_values(y).chunk(2, -1))
        query, turned = turn(torch.stack([query, key]), past.turns).unbind(0)
        keys = torch.cat([past.keys[at].expand(batch, -1, -1, -1), turned], 2)
        values = torch.cat([past.values[at].expand(batch, -1, -1, -1), value], 2)
        seen = F.scaled_dot_product_attention(query, keys, values, attn_mask=past.mask)
        x = torch.addcmul(x, gate_1, self.mix(seen.transpose(1, 2).flatten(2)))
        y = torch.addcmul(move_2, self.norm_2(x), scale_2)
        return torch.addcmul(x, gate_2, self.down(F.gelu(self.up(y)))), key, value


def training_mask(count: int, history: int, device: torch.device) -> Bool[Tensor, "n n"]:
    """Who may see whom, of `count` finished frames and then the same frames in the making, each
    itself and `history` frames before it: those in the making see their own chunk in the making
    and what is before it finished.
    """
    at = torch.arange(count, device=device)
    back = at[:, None] - at[None]
    seen = (back >= 0) & (back <= history)
    same = at[:, None] // CHUNK == at[None] // CHUNK
    top = torch.cat([seen, torch.zeros_like(seen)], 1)
    return torch.cat([top, torch.cat([seen & ~same, seen & same], 1)])
