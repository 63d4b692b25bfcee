"""The motion network: velocity(x_t, t, condition) over motion tokens, one token a frame.

A causal transformer. A chunk of frames is denoised together while it attends to itself and, through
cached keys and values, to the clean frames before it. The network says what the clean frame is and
the velocity follows from that: v = (x_1 - x_t) / (1 - t).

What a ridge regression reads of the agent's voice about lips is an input beside the voice itself,
and the first guess that the network corrects.
Of the frames before it a chunk sees the voice but not what the lips did: they follow the voice, and
a network that may look at its last lips learns to go on with them, its own mistakes included.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from audio2motion.network.condition import CHUNK, Condition, ConditionEmbedding, agent_dim
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.saveable import saveable
from motion2video.motion import MOTION_DIM
from weights.errors import WeightsError

CLOSURE_LOW, CLOSURE_HIGH = 0.25, 0.45
"""Scores of the reader, fitted to 0 and 1, at which lips begin to close and are closed."""
LATEST_TIME = 0.95
"""The velocity is not asked for any nearer to the data: it divides by 1 - t."""


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
    noise_correlation: float = 0.8

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
    """Keys (before their rotation) and values of the last frames, [layers, b, heads, history, d];
    of those, the last `filled` count.
    """

    keys: Float[Tensor, "l b h n d"]
    values: Float[Tensor, "l b h n d"]
    filled: int

    def followed_by(self, made: "KeysValues", count: int) -> "Cache":
        """With the first `count` frames of an evaluation at its end, its oldest ones gone."""
        keys, values = (torch.stack(part)[:, :1, :, :count] for part in made)
        return Cache(
            torch.cat([self.keys[..., count:, :], keys], 3),
            torch.cat([self.values[..., count:, :], values], 3),
            min(self.keys.shape[3], self.filled + count),
        )


KeysValues = tuple[list[Tensor], list[Tensor]]
"""Of every layer, [b, heads, t, d]."""


@dataclass(frozen=True, eq=False)
class Past:
    """What all evaluations of one chunk share: the rotated keys and the values of the frames
    before it, who may see whom, and the turns of the chunk's own positions.
    """

    keys: Float[Tensor, "l b h n d"]
    values: Float[Tensor, "l b h n d"]
    mask: Bool[Tensor, "t m"]
    turns: tuple[Float[Tensor, "t d"], Float[Tensor, "t d"]]


@saveable
@dataclass(frozen=True, eq=False)
class Last:
    """The clean tokens of a finished chunk, and what its condition added to them."""

    x_1: Float[Tensor, "1 t 90"]
    embedded: Float[Tensor, "1 t e"]


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


class _Block(nn.Module):
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
        time: Float[Tensor, "b t 6 w"],
        mask: Bool[Tensor, "*mask t n"],
        wrap: int,
    ) -> Float[Tensor, "b t w"]:
        """The tokens after this block, of whole sequences (training). The positions start again
        after `wrap` tokens: that is the second copy of a sequence.
        """
        scale_1, move_1, gate_1, scale_2, move_2, gate_2 = (time + self.shift).unbind(-2)
        y = self.norm_1(x) * (1 + scale_1) + move_1
        query = self._split(self.queries(y))
        key, value = (self._split(z) for z in self.keys_values(y).chunk(2, -1))
        query = torch.cat([rotate(q, 0) for q in query.split(wrap, 2)], 2)
        key = torch.cat([rotate(k, 0) for k in key.split(wrap, 2)], 2)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + gate_1 * self.mix(rearrange(seen, "b h t d -> b t (h d)"))
        y = self.norm_2(x) * (1 + scale_2) + move_2
        return x + gate_2 * self.down(F.gelu(self.up(y)))

    def step(
        self, x: Float[Tensor, "b t w"], time: Float[Tensor, "6 *n w"], past: Past, layer: int
    ) -> tuple[Float[Tensor, "b t w"], Tensor, Tensor]:
        """The same for one chunk after its past: the tokens, and their keys (before their
        rotation) and values. The arithmetic of `forward` in fewer, larger operations, as a chunk
        is too small to keep a processor busy.
        """
        batch, split = len(x), (len(x), x.shape[1], self.heads, -1)
        scale_1, move_1, gate_1, scale_2, move_2, gate_2 = time.unbind(0)
        y = torch.addcmul(move_1, self.norm_1(x), scale_1)
        query = self.queries(y).view(split).transpose(1, 2)
        key, value = (z.view(split).transpose(1, 2) for z in self.keys_values(y).chunk(2, -1))
        query, turned = turn(torch.stack([query, key]), past.turns).unbind(0)
        keys = torch.cat([past.keys[layer].expand(batch, -1, -1, -1), turned], 2)
        values = torch.cat([past.values[layer].expand(batch, -1, -1, -1), value], 2)
        seen = F.scaled_dot_product_attention(query, keys, values, attn_mask=past.mask)
        x = torch.addcmul(x, gate_1, self.mix(seen.transpose(1, 2).flatten(2)))
        y = torch.addcmul(move_2, self.norm_2(x), scale_2)
        return torch.addcmul(x, gate_2, self.down(F.gelu(self.up(y)))), key, value


class MotionNetwork(nn.Module):
    """Motion tokens are z-scored: `normalise` and `denormalise` hold the statistics."""

    mean: Tensor
    std: Tensor
    remembered: Tensor
    reader: Tensor
    guessed: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("mean", torch.zeros(MOTION_DIM))
        self.register_buffer("std", torch.ones(MOTION_DIM))
        remembered = torch.ones(MOTION_DIM)
        remembered[list(SPEECH_CHANNELS)] = 0
        self.register_buffer("remembered", remembered, persistent=False)
        heard = agent_dim(config.speech_features) + 1
        self.register_buffer("reader", torch.zeros(heard, len(SPEECH_CHANNELS) + 1))
        self.enter = nn.Linear(MOTION_DIM, width)
        self.condition = ConditionEmbedding(config.speech_features, width)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, MOTION_DIM)
        self.direct = nn.Linear(width, MOTION_DIM)
        self.heard_lips = nn.Linear(len(SPEECH_CHANNELS) + 1, width)
        guessed = torch.eye(MOTION_DIM)[list(SPEECH_CHANNELS)]
        self.register_buffer("guessed", guessed, persistent=False)
        nn.init.zeros_(self.leave.weight)
        nn.init.normal_(self.direct.weight, std=0.01)

    def normalise(self, values: Float[Tensor, "*b t 90"]) -> Float[Tensor, "*b t 90"]:
        """Motion values to what the network works on."""
        return (values - self.mean) / self.std

    def denormalise(self, tokens: Float[Tensor, "*b t 90"]) -> Float[Tensor, "*b t 90"]:
        """Back to motion values."""
        return tokens * self.std + self.mean

    def embed(
        self, condition: Condition, read_from: Condition | None = None
    ) -> Float[Tensor, "b t e"]:
        """What the condition adds to the tokens, the same at every flow time, and beside it the
        first guess of the lips. The reader hears the voice of `read_from`, if that is another.
        """
        guess, closed = self.read_lips(read_from or condition)
        there = condition.present[..., :1]
        lips = self.heard_lips(torch.cat([guess, closed[..., None]], -1))
        return torch.cat([self.condition(condition) + there * lips, there * guess], -1)

    def read_lips(
        self, condition: Condition
    ) -> tuple[Float[Tensor, "b t s"], Float[Tensor, "b t"]]:
        """What the agent's voice alone says, by ridge regression: the speech channels, and how far
        a p, b or m keeps the lips together, 0..1. A few voices are enough to fit it, where the
        network learns them by heart.
        """
        read = condition.agent @ self.reader[:-1] + self.reader[-1]
        closed = (read[..., -1] - CLOSURE_LOW) / (CLOSURE_HIGH - CLOSURE_LOW)
        return read[..., :-1], closed.clamp(0, 1)

    def empty_cache(self, batch: int = 1) -> Cache:
        """No history yet."""
        c = self.config
        shape = (c.layers, batch, c.heads, c.history, c.width // c.heads)
        return Cache(self.mean.new_zeros(shape), self.mean.new_zeros(shape), 0)

    def _time(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b 6 w"]:
        rate = torch.exp(torch.arange(32, device=t.device) * (-math.log(200.0) / 32))
        angle = t[..., None] * 200.0 * rate
        return self.time(torch.cat([angle.cos(), angle.sin()], -1)).unflatten(-1, (6, -1))

    def _clean(self, x: Tensor, embedded: Tensor) -> Float[Tensor, "b t 90"]:
        beside, guess = embedded.tensor_split([self.config.width], -1)
        return self.leave(self.norm(x)) + self.direct(beside) + guess @ self.guessed

    @property
    def _steps(self) -> list[_Block]:
        return [block for block in self.blocks if isinstance(block, _Block)]

    def past(self, cache: Cache, count: int = CHUNK, last: int = 0) -> Past:
        """What every evaluation of the next `count` frames needs of the frames before them; `last`
        frames that the cache does not have yet come first.
        """
        history, device = self.config.history, self.mean.device
        at = torch.arange(history, device=device)
        slots = (at >= history - cache.filled).expand(last + count, -1)
        recent = at >= torch.tensor([0] * last + [last] * count, device=device)[:, None]
        inside = torch.ones(last + count, last + count, dtype=torch.bool, device=device).tril()
        mask = torch.cat([slots & recent, inside], 1)
        own = angles(history, last + count, cache.keys.shape[-1], device)
        return Past(rotate(cache.keys, 0), cache.values, mask, own)

    def modulation(self, t: float) -> tuple[Float[Tensor, "6 w"], ...]:
        """What flow time `t` does to each block: scales (with their 1), moves and gates. The same
        for every chunk, so whoever makes many keeps it.
        """
        time = self._time(torch.full((), t, device=self.mean.device))
        one = torch.tensor([1.0, 0, 0, 1, 0, 0], device=self.mean.device)[:, None]
        return tuple(time + block.shift + one for block in self._steps)

    def velocity(
        self,
        x_t: Float[Tensor, "b t 90"],
        t: float,
        embedded: Float[Tensor, "b t e"],
        past: Past,
        modulation: tuple[Float[Tensor, "6 *n w"], ...] | None = None,
        last: Last | None = None,
    ) -> tuple[Float[Tensor, "b t 90"], KeysValues]:
        """dx/dt of a chunk at flow time `t`, and what the layers made of its frames; the past may
        have batch 1 for a larger batch.

        The `last` chunk may be evaluated before it, clean, as it is to be remembered: so small an
        evaluation costs hardly more with both. Then `modulation` is that of `first_modulation`.
        """
        x, beside, before = x_t, embedded, 0
        if last is not None:
            batch, before = len(x_t), last.x_1.shape[1]
            x = torch.cat([(last.x_1 * self.remembered).expand(batch, -1, -1), x_t], 1)
            beside = torch.cat([last.embedded.expand(batch, -1, -1), embedded], 1)
        x = self.enter(x) + beside[..., : self.config.width]
        keys, values = [], []
        each = zip(self._steps, modulation or self.modulation(t), strict=True)
        for layer, (block, time) in enumerate(each):
            x, key, value = block.step(x, time, past, layer)
            keys.append(key)
            values.append(value)
        clean = self._clean(x[:, before:], embedded)
        return (clean - x_t) / (1 - min(t, LATEST_TIME)), (keys, values)

    def commit(
        self, x_1: Float[Tensor, "1 t 90"], embedded: Float[Tensor, "1 t e"], cache: Cache
    ) -> Cache:
        """The cache after a finished chunk, evaluated by itself; the oldest frames leave it."""
        past = self.past(cache, x_1.shape[1])
        _, made = self.velocity(x_1 * self.remembered, 1.0, embedded, past)
        return cache.followed_by(made, x_1.shape[1])

    def first_modulation(
        self, before: int = CHUNK, count: int = CHUNK
    ) -> tuple[Float[Tensor, "6 n w"], ...]:
        """`modulation` for `before` clean frames followed by `count` of noise."""
        clean, noise = self.modulation(1.0), self.modulation(0.0)
        return tuple(
            torch.stack([c] * before + [n] * count, 1) for c, n in zip(clean, noise, strict=True)
        )

    def clean_estimate(
        self,
        x_t: Float[Tensor, "b t 90"],
        t: Float[Tensor, "b t"],
        past: Float[Tensor, "b t 90"],
        embedded: Float[Tensor, "b t e"],
        embedded_past: Float[Tensor, "b t e"],
        blind: Bool[Tensor, "b"],
    ) -> Float[Tensor, "b t 90"]:
        """x_1 for all chunks of a sequence at once (training): every noisy chunk sees itself and
        the clean frames before it, exactly as chunk after chunk with a cache would. `blind`
        items see no past at all.
        """
        count = x_t.shape[1]
        mask = training_mask(count, self.config.history, x_t.device).expand(len(x_t), -1, -1)
        mask = mask.clone()
        mask[:, count:, :count] &= ~blind[:, None, None]
        x = torch.cat(
            [
                self.enter(past * self.remembered) + embedded_past[..., : self.config.width],
                self.enter(x_t) + embedded[..., : self.config.width],
            ],
            1,
        )
        time = torch.cat([self._time(torch.ones_like(t)), self._time(t)], 1)
        for block in self.blocks:
            x = block(x, time, mask[:, None], count)
        return self._clean(x[:, count:], embedded)


def training_mask(count: int, history: int, device: torch.device) -> Bool[Tensor, "n n"]:
    """Who may see whom in [clean frames, noisy frames], n = 2 * count."""
    at = torch.arange(count, device=device)
    chunk = at // CHUNK * CHUNK
    recent = at[None] >= chunk[:, None] - history
    same = (chunk[:, None] == chunk[None]) & (at[None] <= at[:, None])
    before = recent & (at[None] < chunk[:, None])
    clean = torch.cat([before | same, torch.zeros_like(same)], 1)
    return torch.cat([clean, torch.cat([before, same], 1)], 0)


def correlate(noise: Float[Tensor, "*b 5 d"], correlation: float) -> Float[Tensor, "*b 5 d"]:
    """Independent normal noise of a chunk to noise whose neighbouring frames are correlated.

    Motion is smooth: smooth noise leaves less jitter to remove. Frame i depends on the noise of
    the frames up to i of its own chunk, so what was drawn for a frame stays its own.
    """
    at = np.arange(CHUNK)
    factor = np.linalg.cholesky(correlation ** np.abs(at[:, None] - at[None]))
    return torch.from_numpy(factor).to(noise) @ noise
