"""The motion network: velocity(x_t, t, condition) over motion tokens, one token a frame.

A causal transformer over a whole stream: at every flow time a frame attends to itself and to the
frames before it at the same flow time, by cached keys and values where they were made earlier. A
sample is thus a function of the noise up to its frame and of what is heard and seen, and of nothing
that was sampled before: there is nothing that a long stream could drift by. The network says what
the clean frame is and the velocity follows from that: v = (x_1 - x_t) / (1 - t). What the noise is:
audio2motion/network/source.py.

What a ridge regression reads of the agent's voice about lips is an input beside the voice itself,
and the first guess that the network corrects.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from audio2motion.network.condition import CHUNK, Condition, ConditionEmbedding, agent_dim
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.marginals import (
    LIP_SHAPES,
    SCORED,
    SCORES,
    swings,
    to_scores,
    to_values,
)
from audio2motion.network.source import PACES, paced, yoke
from audio2motion.saveable import saveable
from motion2video.motion import MOTION_DIM
from weights.errors import WeightsError

CLOSURE_LOW, CLOSURE_HIGH = 0.25, 0.45
"""Scores of the reader, fitted to 0 and 1, at which lips begin to close and are closed."""
_LIPS = list(LIP_SHAPES)
_SHAPES = [SPEECH_CHANNELS.index(i) for i in LIP_SHAPES]
_SHAPE_KNOTS = [SCORED.index(i) for i in LIP_SHAPES]
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
    """Keys (before their rotation) and values of the last frames at every flow time that a chunk is
    evaluated at, [times, layers, b, heads, history, d]; of those, the last `filled` count.
    """

    keys: Float[Tensor, "s l b h n d"]
    values: Float[Tensor, "s l b h n d"]
    filled: int

    def followed_by(self, made: "list[KeysValues]", count: int) -> "Cache":
        """With a chunk of `count` frames at its end, its oldest ones gone; `made` has what each
        of the chunk's evaluations made of it.
        """
        keys, values = (
            torch.stack([torch.stack(one[part])[:, :1] for one in made]) for part in (0, 1)
        )
        return Cache(
            torch.cat([self.keys[..., count:, :], keys], 4),
            torch.cat([self.values[..., count:, :], values], 4),
            min(self.keys.shape[4], self.filled + count),
        )


KeysValues = tuple[list[Tensor], list[Tensor]]
"""Of every layer, [b, heads, t, d]."""


@dataclass(frozen=True, eq=False)
class Past:
    """What the evaluations of one chunk need of what was before it: for each the rotated keys and
    the values; for all who may see whom, and the turns of the chunk's own positions.
    """

    keys: Float[Tensor, "s l b h n d"]
    values: Float[Tensor, "s l b h n d"]
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
        time: Float[Tensor, "b 1 6 w"],
        mask: Bool[Tensor, "t t"],
    ) -> Float[Tensor, "b t w"]:
        """The tokens after this block, of whole sequences (training)."""
        scale_1, move_1, gate_1, scale_2, move_2, gate_2 = (time + self.shift).unbind(-2)
        y = self.norm_1(x) * (1 + scale_1) + move_1
        query = self._split(self.queries(y))
        key, value = (self._split(z) for z in self.keys_values(y).chunk(2, -1))
        query, key = rotate(query, 0), rotate(key, 0)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + gate_1 * self.mix(rearrange(seen, "b h t d -> b t (h d)"))
        y = self.norm_2(x) * (1 + scale_2) + move_2
        return x + gate_2 * self.down(F.gelu(self.up(y)))

    def step(
        self, x: Float[Tensor, "b t w"], time: Float[Tensor, "6 w"], past: Past, at: tuple[int, int]
    ) -> tuple[Float[Tensor, "b t w"], Tensor, Tensor]:
        """The same for one chunk after its past, evaluation and layer `at`: the tokens, and their
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


class MotionNetwork(nn.Module):
    """Motion tokens are z-scored or normal scores: `normalise` and `denormalise` know of which
    values.
    """

    mean: Tensor
    std: Tensor
    reader: Tensor
    guessed: Tensor
    knots: Tensor
    shares: Tensor
    mix: Tensor
    bursts: Tensor
    spread: Tensor
    yoke: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("mean", torch.zeros(MOTION_DIM))
        self.register_buffer("std", torch.ones(MOTION_DIM))
        self.register_buffer("knots", SCORES.repeat(len(SCORED), 1))
        self.register_buffer("shares", torch.full((len(PACES), MOTION_DIM), len(PACES) ** -0.5))
        self.register_buffer("mix", torch.eye(MOTION_DIM))
        self.register_buffer("bursts", torch.zeros(1))
        self.register_buffer("spread", torch.ones(MOTION_DIM))
        self.register_buffer("yoke", yoke(), persistent=False)
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
        """Motion values to what the network makes."""
        tokens = self.standardise(values)
        tokens[..., SCORED] = to_scores(values[..., SCORED], self.knots)
        return tokens

    def denormalise(self, tokens: Float[Tensor, "*b t 90"]) -> Float[Tensor, "*b t 90"]:
        """Back to motion values."""
        values = tokens * self.std + self.mean
        values[..., SCORED] = to_values(tokens[..., SCORED], self.knots)
        return values

    def standardise(self, values: Float[Tensor, "*b t 90"]) -> Float[Tensor, "*b t 90"]:
        """Motion values to those by which the other's motion is told."""
        return (values - self.mean) / self.std

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
        """What the agent's voice alone says, by ridge regression: the tokens of the speech
        channels, and how far a p, b or m keeps the lips together, 0..1. A few voices are enough to
        fit it, where the network learns them by heart.
        """
        read = condition.agent @ self.reader[:-1] + self.reader[-1]
        closed = (read[..., -1] - CLOSURE_LOW) / (CLOSURE_HIGH - CLOSURE_LOW)
        lips = read[..., :-1].clone()
        values = lips[..., _SHAPES] * self.std[_LIPS] + self.mean[_LIPS]
        lips[..., _SHAPES] = to_scores(values, self.knots[_SHAPE_KNOTS])
        return lips, closed.clamp(0, 1)

    def source(
        self,
        processes: Float[Tensor, "b t k 90"],
        style: Float[Tensor, "b s"],
        listens: Float[Tensor, "b t"],
    ) -> Float[Tensor, "b t 90"]:
        """What the flow starts from: for a livelier style it swings farther, and the head of who
        `listens` (0..1) less.
        """
        swing = torch.from_numpy(swings(style.cpu().numpy())).to(processes)
        moving = paced(processes, self.bursts, listens)
        return (moving * self.shares).sum(2) * swing[:, None]

    def mixed(self, noise: Float[Tensor, "*b 90"]) -> Float[Tensor, "*b 90"]:
        """Independent noise to noise as alike as channels are that move together."""
        return noise @ self.mix.T

    def empty_cache(self, evaluations: int) -> Cache:
        """No history yet, for so many evaluations a chunk."""
        c = self.config
        shape = (evaluations, c.layers, 1, c.heads, c.history, c.width // c.heads)
        return Cache(self.mean.new_zeros(shape), self.mean.new_zeros(shape), 0)

    def _time(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b 6 w"]:
        rate = torch.exp(torch.arange(32, device=t.device) * (-math.log(200.0) / 32))
        angle = t[..., None] * 200.0 * rate
        return self.time(torch.cat([angle.cos(), angle.sin()], -1)).unflatten(-1, (6, -1))

    def _clean(
        self,
        x: Float[Tensor, "b t w"],
        x_t: Float[Tensor, "b t 90"],
        t: Float[Tensor, "*b"] | float,
        embedded: Float[Tensor, "b t e"],
    ) -> Float[Tensor, "b t 90"]:
        """x_1 as it would be if motion were the source around a linear guess from the condition,
        and what the layers correct of that; both eyes move as one.
        """
        beside, guess = embedded.tensor_split([self.config.width], -1)
        guess = self.direct(beside) + guess @ self.guessed
        kept = t / (t * t + (1 - t) * (1 - t))
        return (guess + kept * (x_t - t * guess) + self.leave(self.norm(x))) @ self.yoke

    @property
    def _steps(self) -> list[_Block]:
        return [block for block in self.blocks if isinstance(block, _Block)]

    def past(self, cache: Cache, count: int = CHUNK) -> Past:
        """What every evaluation of the next `count` frames needs of the frames before them."""
        history, device = self.config.history, self.mean.device
        slots = torch.arange(history, device=device)
        own = torch.arange(count, device=device)[:, None]
        recent = (slots >= history - cache.filled) & (slots >= own)
        inside = torch.ones(count, count, dtype=torch.bool, device=device).tril()
        turns = angles(history, count, cache.keys.shape[-1], device)
        return Past(rotate(cache.keys, 0), cache.values, torch.cat([recent, inside], 1), turns)

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
        evaluation: int = 0,
        modulation: tuple[Float[Tensor, "6 w"], ...] | None = None,
    ) -> tuple[Float[Tensor, "b t 90"], KeysValues]:
        """dx/dt of a chunk at flow time `t`, its `evaluation`-th one, and what the layers made of
        its frames; the past may have batch 1 for a larger batch.
        """
        x = self.enter(x_t) + embedded[..., : self.config.width]
        keys, values = [], []
        each = zip(self._steps, modulation or self.modulation(t), strict=True)
        for layer, (block, time) in enumerate(each):
            x, key, value = block.step(x, time, past, (evaluation, layer))
            keys.append(key)
            values.append(value)
        clean = self._clean(x, x_t, t, embedded)
        return (clean - x_t) / (1 - min(t, LATEST_TIME)), (keys, values)

    def clean_estimate(
        self,
        x_t: Float[Tensor, "b t 90"],
        t: Float[Tensor, "b"],
        embedded: Float[Tensor, "b t e"],
    ) -> Float[Tensor, "b t 90"]:
        """x_1 for all frames of sequences at once (training): exactly as chunk after chunk with a
        cache would.
        """
        mask = training_mask(x_t.shape[1], self.config.history, x_t.device)
        x = self.enter(x_t) + embedded[..., : self.config.width]
        time = self._time(t)[:, None]
        for block in self.blocks:
            x = block(x, time, mask)
        return self._clean(x, x_t, t[:, None, None], embedded)


def training_mask(count: int, history: int, device: torch.device) -> Bool[Tensor, "n n"]:
    """Who may see whom: each frame itself and `history` frames before it."""
    at = torch.arange(count, device=device)
    back = at[:, None] - at[None]
    return (back >= 0) & (back <= history)
