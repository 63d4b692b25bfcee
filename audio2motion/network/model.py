"""The motion network: velocity(u_t, t, condition) over motion tokens, one token a frame.

A causal transformer that makes motion chunk by chunk: the frames of a chunk attend to the finished
frames before it, by cached keys and values, to themselves and to those before them in the chunk. So
a sample follows the law of probability's chain: the next chunk, given what has been done, heard and
seen. What flows are the chunk's innovations (audio2motion/network/source.py): what the network says
is new beyond going on as before. It says what the clean innovations are and the velocity follows
from that: v = (u_1 - u_t) / (1 - t). Training blurs the finished frames, so that small errors of a
long stream do not add up.

What a ridge regression reads of the agent's voice about lips is an input beside the voice itself,
and what the linear rule goes on around.
"""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from audio2motion.gestures.style import STYLE_DIM
from audio2motion.network.attention import (
    Block,
    Cache,
    KeysValues,
    ModelConfig,
    Past,
    angles,
    rotate,
    training_mask,
)
from audio2motion.network.bursts import BURSTING, KINDS, PLACES, Kinds, Moment, Said
from audio2motion.network.condition import CHUNK, Condition, ConditionEmbedding, agent_dim
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.habits import Habits
from audio2motion.network.marginals import (
    LIP_SHAPES,
    SCORED,
    SCORES,
    swings,
    to_scores,
    to_values,
)
from audio2motion.network.source import (
    coloured,
    companded,
    continuation,
    whitened,
    yoke,
)
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION

CLOSURE_LOW, CLOSURE_HIGH = 0.25, 0.45
"""Scores of the reader, fitted to 0 and 1, at which lips begin to close and are closed."""
_LIPS = list(LIP_SHAPES)
_SHAPES = [SPEECH_CHANNELS.index(i) for i in LIP_SHAPES]
_SHAPE_KNOTS = [SCORED.index(i) for i in LIP_SHAPES]
KNOWN_FRAMES = 6
"""Of speech, after which a half of how far a voice is off is believed."""
MOST_LEAD = 2.0
"""Most that innovations are expected to be, in the median person's deviations."""
MOST_STIR, MOST_STIR_OF_HEAD = 2.0, 0.0
"""Most that the logarithm of innovations' size may be off that of the median; a head is heavy, and
one that stirs by what it has stirred before would not end.
"""
UNBOUNDED = 1e4
LATEST_TIME = 0.95
"""The velocity is not asked for any nearer to the data: it divides by 1 - t."""


class MotionNetwork(nn.Module):
    """Motion tokens are z-scored or normal scores, of single channels or, as `axes` has it, of what
    several have in common and what sets them apart: `normalise` and `denormalise` know which.
    """

    mean: Tensor
    std: Tensor
    reader: Tensor
    guessed: Tensor
    knots: Tensor
    axes: Tensor
    recall: Tensor
    heard: Tensor
    rest: Tensor
    drive: Tensor
    mix: Tensor
    stride: Tensor
    usual: Tensor
    lips_made: Tensor
    lips_real: Tensor
    drift: Tensor
    most: Tensor
    yoke: Tensor
    manners: Tensor
    remembered: Tensor
    pose: Tensor
    bursting: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("mean", torch.zeros(MOTION_DIM))
        self.register_buffer("std", torch.ones(MOTION_DIM))
        self.register_buffer("knots", SCORES.repeat(len(SCORED), 1))
        self.register_buffer("axes", torch.eye(MOTION_DIM))
        self.register_buffer("recall", torch.zeros(MOTION_DIM, CHUNK, CHUNK))
        self.register_buffer("heard", torch.zeros(MOTION_DIM, CHUNK))
        self.register_buffer("rest", torch.zeros(MOTION_DIM, CHUNK))
        self.register_buffer("drive", torch.eye(CHUNK).repeat(MOTION_DIM, 1, 1))
        self.register_buffer("mix", torch.eye(MOTION_DIM))
        self.register_buffer("stride", torch.ones(MOTION_DIM))
        self.register_buffer("usual", torch.zeros(len(SPEECH_CHANNELS)))
        self.register_buffer("lips_made", SCORES.repeat(len(LIP_SHAPES), 1))
        self.register_buffer("lips_real", SCORES.repeat(len(LIP_SHAPES), 1))
        self.register_buffer("drift", torch.zeros(2, MOTION_DIM))
        self.register_buffer("most", torch.full((MOTION_DIM,), UNBOUNDED))
        self.register_buffer("manners", torch.zeros(STYLE_DIM, STYLE_DIM))
        self.register_buffer("yoke", yoke(), persistent=False)
        heard = agent_dim(config.speech_features) + 1
        self.register_buffer("reader", torch.zeros(heard, len(SPEECH_CHANNELS) + 1))
        self.enter = nn.Linear(MOTION_DIM, width)
        self.condition = ConditionEmbedding(config.speech_features, width)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, MOTION_DIM)
        self.direct = nn.Linear(width, MOTION_DIM)
        self.kinds = Kinds()
        self.bursts = nn.Linear(width, KINDS * len(BURSTING), bias=False)
        self.odds_at = nn.Linear(width, KINDS * len(BURSTING), bias=False)
        self.habits = Habits(width)
        self.innovation = nn.Linear(MOTION_DIM, width, bias=False)
        self.lately = nn.Linear(MOTION_DIM, width, bias=False)
        self.place = nn.Parameter(torch.zeros(CHUNK, width))
        self.lead_after = nn.Linear(width, CHUNK * MOTION_DIM)
        self.lead_at = nn.Linear(width, MOTION_DIM, bias=False)
        self.stir_after = nn.Linear(width, CHUNK * MOTION_DIM)
        self.stir_at = nn.Linear(width, MOTION_DIM, bias=False)
        self.heard_lips = nn.Linear(len(SPEECH_CHANNELS) + 1, width)
        guessed = torch.eye(MOTION_DIM)[list(SPEECH_CHANNELS)]
        self.register_buffer("guessed", guessed, persistent=False)
        self.register_buffer("remembered", 1 - guessed.sum(0), persistent=False)
        pose = torch.zeros(MOTION_DIM)
        pose[ROTATION] = pose[TRANSLATION] = 1
        self.register_buffer("pose", pose, persistent=False)
        bursting = torch.zeros(MOTION_DIM, dtype=torch.bool)
        bursting[list(PLACES)] = True
        self.register_buffer("bursting", bursting, persistent=False)
        for silent in (self.leave, self.innovation, self.lately, self.bursts, self.odds_at):
            nn.init.zeros_(silent.weight)
        for silent in (self.lead_after, self.lead_at, self.stir_after, self.stir_at):
            nn.init.zeros_(silent.weight)
        for led in (self.lead_after, self.stir_after, self.leave, self.direct):
            nn.init.zeros_(led.bias)
        nn.init.normal_(self.direct.weight, std=0.01)

    def normalise(self, values: Float[Tensor, "*b t 90"]) -> Float[Tensor, "*b t 90"]:
        """Motion values to what the network makes."""
        tokens = self.standardise(values)
        tokens[..., SCORED] = to_scores(values[..., SCORED], self.knots)
        return tokens @ self.axes.T

    def denormalise(self, tokens: Float[Tensor, "*b t 90"]) -> Float[Tensor, "*b t 90"]:
        """Back to motion values."""
        tokens = tokens @ torch.linalg.inv(self.axes).T
        values = tokens * self.std + self.mean
        values[..., SCORED] = to_values(tokens[..., SCORED], self.knots)
        return values

    def shown(self, tokens: Float[Tensor, "*b t 90"]) -> Float[Tensor, "*b t 90"]:
        """Motion values as they leave. A voice tells less of the lips' shapes than people do with
        them: each goes as far as the median person's as often, so that `lips_made`, quantiles of
        tokens, become the values `lips_real`.
        """
        values = self.denormalise(tokens)
        scores = to_scores(tokens[..., _LIPS], self.lips_made)
        values[..., _LIPS] = to_values(scores, self.lips_real)
        return values

    def standardise(self, values: Float[Tensor, "*b t 90"]) -> Float[Tensor, "*b t 90"]:
        """Motion values to those by which the other's motion is told."""
        return (values - self.mean) / self.std

    def embed(
        self,
        condition: Condition,
        read_from: Condition | None = None,
        off: Float[Tensor, "s"] | None = None,
    ) -> Float[Tensor, "b t e"]:
        """What the condition adds to the tokens, the same at every flow time, and beside it the
        first guess of the lips, less what the voice is `off`. The reader hears the voice of
        `read_from`, if that is another.
        """
        guess, closed = self.read_lips(read_from or condition)
        guess = guess if off is None else guess - off
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

    def guesses(self, embedded: Float[Tensor, "*b t e"]) -> Float[Tensor, "*b t s"]:
        """What the reader guesses of the lips, as `embed` has it."""
        return embedded[..., self.config.width :]

    def off(self, said: Float[Tensor, "s"], frames: float) -> Float[Tensor, "s"]:
        """How far a voice's guesses are off the usual ones, by the sum of `frames` of them in which
        it spoke: a voice unlike those of people moves lips that are shut all the while. Of
        few frames little is believed.
        """
        return (said - frames * self.usual) / (frames + KNOWN_FRAMES)

    def heard_alone(self, embedded: Float[Tensor, "*b 5 e"]) -> Float[Tensor, "*b 5 90"]:
        """The tokens of a chunk by what the reader guesses of lips, linearly; the rest rests."""
        return self.guesses(embedded) @ self.guessed * self.heard.T + self.rest.T

    def origin(
        self,
        before: Float[Tensor, "*b 5 90"],
        before_heard: Float[Tensor, "*b 5 90"],
        heard: Float[Tensor, "*b 5 90"],
    ) -> Float[Tensor, "*b 5 90"]:
        """What the tokens of a chunk go on to: to what is `heard`, from as far off as the chunk
        `before` was of what was heard then. So lips follow the voice and not themselves.
        """
        return heard + continuation(before - before_heard, self.recall)

    def _so_far(self, embedded: Float[Tensor, "*b 5 e"]) -> Float[Tensor, "*b 5 w"]:
        """The mean of what a chunk's frames hear and see, up to each."""
        count = torch.arange(1, CHUNK + 1, device=embedded.device)[:, None]
        return embedded[..., : self.config.width].cumsum(-2) / count

    @staticmethod
    def _each(x: Float[Tensor, "*b n"]) -> Float[Tensor, "*b 5 90"]:
        return x.unflatten(-1, (CHUNK, MOTION_DIM))

    def moment(
        self,
        after: Float[Tensor, "*b w"],
        embedded: Float[Tensor, "*b 5 e"],
        lately: Float[Tensor, "*b 10 n"],
        style: Float[Tensor, "*#b 90"],
    ) -> Moment:
        """A chunk's, that comes `after` what was done (the last finished frame's features), by what
        each channel did `lately`, what is heard and seen, and the style. Where innovations lead:
        whoever holds the head aside goes on to, against the linear rule; lips are led by what is
        heard. How large they are: people rest and burst, and what went farther than people's
        strides less.
        """
        so_far = self._so_far(embedded)
        habit = self.habits(lately, after, so_far[..., -1, :])
        lead = self._each(self.lead_after(after)) + self.lead_at(so_far) + habit.lead
        lead = MOST_LEAD * torch.tanh(lead / MOST_LEAD) @ self.yoke * self.remembered
        stir = self._each(self.stir_after(after)) + self.stir_at(so_far) + habit.stir
        stir = MOST_STIR * torch.tanh(stir / MOST_STIR)
        most = MOST_STIR + (MOST_STIR_OF_HEAD - MOST_STIR) * self.pose
        stirred = torch.minimum(stir, most).exp() @ self.yoke
        way = style[..., None, :]
        means = self.kinds.means(stirred.detach())
        return Moment(lead * way, stirred * self.stride * way, habit.logits, means)

    def moved(
        self,
        origin: Float[Tensor, "*#b 5 90"],
        u: Float[Tensor, "*#b 5 90"],
        reach: Float[Tensor, "*#b 5 90"],
    ) -> Float[Tensor, "*b 5 90"]:
        """The tokens that innovations make of where a chunk is led."""
        return origin + coloured(u * reach, self.drive)

    def companded(self, u: Float[Tensor, "*b 90"]) -> Float[Tensor, "*b 90"]:
        """Innovations in units of their reach to what flows."""
        return companded(u, self.remembered)

    def done(
        self, tokens: Float[Tensor, "*b 5 90"], origin: Float[Tensor, "*b 5 90"]
    ) -> Float[Tensor, "*b 5 90"]:
        """What was new in a finished chunk, as the layers see it: a nod goes on by that."""
        return self.companded(whitened(tokens - origin, self.drive)) * self.remembered

    def adrift(
        self, style: Float[Tensor, "*b 90"], in_conversation: bool
    ) -> Float[Tensor, "*b 5 90"]:
        """What innovations, a chunk's first, lead on and on by, alone and in a conversation: of the
        twentieth part of a deviation a head that goes on from itself comes to rest degrees aside.
        """
        first = torch.eye(CHUNK, 1, device=style.device)
        return first * (self.drift[int(in_conversation)] * style)[..., None, :]

    def astray(self, new: Float[Tensor, "90"], frames: float) -> Float[Tensor, "90"]:
        """How far a voice leads lips on and on, by the sum of what was `new` in `frames` of speech:
        what is new has no mean, but in a voice unlike those of people, which shuts them for good.
        """
        return new / (frames + KNOWN_FRAMES) * (1 - self.remembered)

    def led(
        self, origin: Float[Tensor, "*b 5 90"], lead: Float[Tensor, "*b 5 90"]
    ) -> Float[Tensor, "*b 5 90"]:
        """Where a chunk goes on to and is led."""
        return origin + coloured(lead, self.drive)

    def swing(self, style: Float[Tensor, "b s"]) -> Float[Tensor, "b 90"]:
        """How much larger a style's innovations are than the median person's."""
        return torch.from_numpy(swings(style.cpu().numpy())).to(style)

    def mixed(self, noise: Float[Tensor, "*b 90"]) -> Float[Tensor, "*b 90"]:
        """Independent noise to noise as alike as channels are that move together."""
        return noise @ self.mix.T

    def empty_cache(self) -> Cache:
        """No history yet."""
        c = self.config
        shape = (c.layers, 1, c.heads, c.history, c.width // c.heads)
        return Cache(self.mean.new_zeros(shape), self.mean.new_zeros(shape), 0)

    def _time(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b 6 w"]:
        rate = torch.exp(torch.arange(32, device=t.device) * (-math.log(200.0) / 32))
        angle = t[..., None] * 200.0 * rate
        return self.time(torch.cat([angle.cos(), angle.sin()], -1)).unflatten(-1, (6, -1))

    def _say(
        self,
        x: Float[Tensor, "b t w"],
        embedded: Float[Tensor, "b t e"],
        moment: Moment,
    ) -> Said:
        """What z_1 may be, by all that the layers have seen of a chunk up to its end."""
        features = self.norm(x)
        frames = embedded[..., : self.config.width]
        odds = self.bursts(features[..., CHUNK - 1 :: CHUNK, :])
        odds = odds + self.odds_at(frames.unflatten(-2, (-1, CHUNK)).mean(-2))
        logits = odds.unflatten(-1, (-1, KINDS)) + self.kinds.odds + moment.logits
        return Said(self.direct(frames), logits, self.leave(features))

    def expected(
        self,
        said: Said,
        moment: Moment,
        u_t: Float[Tensor, "*b t 90"],
        t: Float[Tensor, "*b t"] | float,
    ) -> Float[Tensor, "*b t 90"]:
        """What z_1 is to be expected: of lips as it would be if innovations were Gaussian around a
        linear guess from the condition, of the rest by the kinds of bursts.py, and what the
        layers correct of that; both eyes move as one.
        """
        each, own = (t[..., None], t[..., ::CHUNK]) if isinstance(t, Tensor) else (t, t)
        kept = each / (each * each + (1 - each) * (1 - each))
        led = said.guess + kept * (u_t - each * said.guess)
        chunks = u_t.unflatten(-2, (-1, CHUNK))
        burst = self.kinds.expected(chunks, own, said.logits, moment.means).flatten(-3, -2)
        return (torch.where(self.bursting, burst, led) + said.correction) @ self.yoke

    @property
    def _steps(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

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

    def said(
        self,
        u_t: Float[Tensor, "b 5 90"],
        t: float,
        led: Float[Tensor, "1 5 90"],
        moment: Moment,
        embedded: Float[Tensor, "b 5 e"],
        past: Past,
        modulation: tuple[Float[Tensor, "6 w"], ...] | None = None,
    ) -> Said:
        """What a chunk's innovations may become, by the layers at flow time `t`, after what is
        before it; the past may have batch 1 for a larger batch.
        """
        x = self._entered(self.moved(led, u_t, moment.reach), u_t, embedded)
        for layer, (block, time) in enumerate(self._modulated(t, modulation)):
            x, _, _ = block.step(x, time, past, layer)
        return self._say(x, embedded, _one(moment))

    def velocity(
        self, said: Said, moment: Moment, u_t: Float[Tensor, "b 5 90"], t: float
    ) -> Float[Tensor, "b 5 90"]:
        """du/dt of a chunk at flow time `t`, by what was said of it then or a little before."""
        return (self.expected(said, _one(moment), u_t, t) - u_t) / (1 - min(t, LATEST_TIME))

    def remember(
        self,
        tokens: Float[Tensor, "1 5 90"],
        done: Float[Tensor, "1 5 90"],
        embedded: Float[Tensor, "1 5 e"],
        past: Past,
        modulation: tuple[Float[Tensor, "6 w"], ...] | None = None,
    ) -> tuple[KeysValues, Float[Tensor, "1 w"]]:
        """What the layers make of a finished chunk, for the chunks after it: the flow at t = 1; and
        the features of its last frame.
        """
        x = self._finished(tokens, done, embedded)
        keys, values = [], []
        for layer, (block, time) in enumerate(self._modulated(1.0, modulation)):
            x, key, value = block.step(x, time, past, layer)
            keys.append(key)
            values.append(value)
        return (keys, values), self.norm(x[:, -1])

    def finished(
        self,
        tokens: Float[Tensor, "b t 90"],
        done: Float[Tensor, "b t 90"],
        embedded: Float[Tensor, "b t e"],
    ) -> tuple[list[tuple[Tensor, Tensor]], Float[Tensor, "b k w"]]:
        """What the layers make of finished frames (training): every layer's turned keys and
        values, and the features of the last frame of the chunk before each; of rest before the
        first.
        """
        count = tokens.shape[1]
        mask = training_mask(count, self.config.history, tokens.device)[:count, :count]
        turns = angles(0, count, self.config.width // self.config.heads, tokens.device)
        x, kept = self._finished(tokens, done, embedded), []
        time = self._time(torch.ones(1, 1, device=tokens.device))
        for block in self.blocks:
            x, own = block(x, time, mask, turns)
            kept.append(own)
        ends = self.norm(x[:, CHUNK - 1 :: CHUNK])
        return kept, torch.cat([ends[:, :1], ends[:, :-1]], 1)

    def said_of_all(
        self,
        past: list[tuple[Tensor, Tensor]],
        x_t: Float[Tensor, "b t 90"],
        u_t: Float[Tensor, "b t 90"],
        t: Float[Tensor, "b t"],
        embedded: Float[Tensor, "b t e"],
        moment: Moment,
    ) -> Said:
        """What is said of all chunks of sequences at once (training), each after the frames of
        `finished` before it: exactly as chunk after chunk with a cache would. `x_t` is what `u_t`
        makes of each chunk's continuation; `t` is the same for all frames of a chunk.
        """
        count = x_t.shape[1]
        mask = training_mask(count, self.config.history, x_t.device)[count:]
        turns = angles(0, count, self.config.width // self.config.heads, x_t.device)
        x, time = self._entered(x_t, u_t, embedded), self._time(t)
        for block, kept in zip(self.blocks, past, strict=True):
            x, _ = block(x, time, mask, turns, kept)
        return self._say(x, embedded, moment)

    def _entered(self, x: Tensor, u: Tensor, embedded: Tensor) -> Tensor:
        """What the layers see of frames that flow."""
        return self.enter(x) + self._placed(embedded) + self.innovation(u)

    def _finished(self, x: Tensor, done: Tensor, embedded: Tensor) -> Tensor:
        """And of finished ones; nothing of the lips, which would be followed and not the voice."""
        return self.enter(x * self.remembered) + self._placed(embedded) + self.lately(done)

    def _placed(self, embedded: Tensor) -> Tensor:
        """What is heard and seen in frames, and which of its chunk each is."""
        frames = embedded[..., : self.config.width]
        return (frames.unflatten(-2, (-1, CHUNK)) + self.place).flatten(-3, -2)

    def _modulated(
        self, t: float, modulation: tuple[Tensor, ...] | None
    ) -> Iterable[tuple[Block, Tensor]]:
        return zip(self._steps, modulation or self.modulation(t), strict=True)


def _one(moment: Moment) -> Moment:
    """A chunk's as a sequence's of one chunk."""
    return Moment(*(part[:, None] for part in moment))
