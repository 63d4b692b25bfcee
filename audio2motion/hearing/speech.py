"""Speech features for motion: log-mel, a causal encoder, and voice activity, as a stream.

One feature vector for every motion frame (640 samples), made only of sound up to the end of that
frame. The encoder was trained to say what was spoken `SPEECH_DELAY` frames ago, so the vector of
frame t + 5 describes frame t with 200 ms of what follows. Levels do not matter: every frame is
measured against the loudest of the recent past.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from audio2motion.hearing.audio import (
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    VoiceActivity,
    VoiceActivityState,
)
from audio2motion.saveable import saveable
from weights.errors import WeightsError
from weights.tensors import load_safetensors

SPEECH_DELAY = 5
TOKENS_PER_FRAME = 2
MEL_WINDOW, MEL_HOP = 400, 160
MEL_OVERLAP = MEL_WINDOW - MEL_HOP
MELS_PER_FRAME = SAMPLES_PER_FRAME // MEL_HOP
DYNAMIC_RANGE_DB = 60.0
LEVEL_FLOOR_DB = -55.0
MEL_SCALE, MEL_OFFSET = 1.5, -0.45
"""From 0..1 to about the numbers that Whisper makes of log-mel."""
ANALYSIS_FRAMES = 100
LEVEL_DECAY_DB = 0.04
"""The level that frames are measured against falls 1 dB a second after its last peak."""


@saveable
@dataclass(frozen=True)
class SpeechConfig:
    """Sizes of the encoder; stored in the header of its weights."""

    mels: int = 80
    width: int = 384
    heads: int = 6
    hidden: int = 1536
    past: int = 50
    ahead: tuple[int, ...] = (5, 4)
    features: int = 128

    def __post_init__(self) -> None:
        if sum(self.ahead) + 1 != TOKENS_PER_FRAME * SPEECH_DELAY:
            raise WeightsError(
                f"got a speech encoder that looks {self.ahead} tokens ahead; with that of its "
                f"convolutions it must be {TOKENS_PER_FRAME * SPEECH_DELAY}"
            )

    @staticmethod
    def from_header(config: dict) -> "SpeechConfig":
        """From a weights header. Raises WeightsError for keys that do not fit."""
        try:
            return SpeechConfig(**config | {"ahead": tuple(config["ahead"])})
        except (TypeError, KeyError) as error:
            raise WeightsError(f"the speech encoder's header does not fit: {error}") from error


@saveable
@dataclass(frozen=True, eq=False)
class VoiceState:
    """Where the feature stream of one voice stands: the last samples, the running level in dB,
    what the encoder keeps of its past and the voice activity network.
    """

    overlap: Float[Tensor, "overlap"]
    level: Float[Tensor, ""]
    past: tuple[Tensor, ...]
    activity: VoiceActivityState


@saveable
@dataclass(frozen=True, eq=False)
class SpeechFeatures:
    """Per frame of one voice: encoder `features` [T, F], `energy` [T] (0 is the loudest of the
    recent past, -1 is 60 dB below) and `activity` [T], the probability of speech.
    """

    features: Float[Tensor, "T f"]
    energy: Float[Tensor, "T"]
    activity: Float[Tensor, "T"]


def mel_filters(mels: int) -> Float[Tensor, "mels bins"]:
    """Triangular filters on the mel scale, 0 to 8 kHz, unit area (Slaney 1998)."""

    def to_hertz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel >= 15, 1000 * 6.4 ** ((mel - 15) / 27), mel * 200 / 3)

    top = 15 + np.log(SAMPLE_RATE / 2 / 1000) / (np.log(6.4) / 27)
    edges = to_hertz(np.linspace(0, top, mels + 2))
    ramps = edges[:, None] - np.linspace(0, SAMPLE_RATE / 2, MEL_WINDOW // 2 + 1)
    width = np.diff(edges)[:, None]
    filters = np.maximum(0, np.minimum(-ramps[:-2] / width[:-1], ramps[2:] / width[1:]))
    return torch.from_numpy(filters * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


class MelFrontEnd(nn.Module):
    """Samples to level-free log-mel: 4 mel frames of 25 ms stacked for each motion frame."""

    filters: Tensor
    window: Tensor

    def __init__(self, mels: int) -> None:
        super().__init__()
        self.register_buffer("filters", mel_filters(mels), persistent=False)
        self.register_buffer("window", torch.hann_window(MEL_WINDOW), persistent=False)

    def decibels(self, samples: Float[Tensor, "n"]) -> Float[Tensor, "t m"]:
        """Mel power in dB of full scale, one row per 10 ms; n = 240 samples of the past and
        160 for every row.
        """
        frames = samples.unfold(0, MEL_WINDOW, MEL_HOP) * self.window
        power = torch.fft.rfft(frames).abs().square() / MEL_WINDOW
        return 10 * torch.log10(power @ self.filters.T + 1e-10)

    def forward(
        self, samples: Float[Tensor, "n"], level: Float[Tensor, ""]
    ) -> tuple[Float[Tensor, "t k"], Float[Tensor, "t"], Float[Tensor, ""]]:
        """Stacked log-mel in about 0..1 [T, 4 * mels], energy [T], and the new level."""
        mel = self.decibels(samples)
        mel = mel.reshape(-1, MELS_PER_FRAME, mel.shape[-1])
        loudness = 10 * torch.log10(10 ** (mel / 10).mean((1, 2)) + 1e-10)
        levels = running_level(loudness, level)
        above = (mel - levels[:, None, None]) / DYNAMIC_RANGE_DB + 1
        energy = ((loudness - levels) / DYNAMIC_RANGE_DB).clamp(min=-1)
        return above.clamp(min=0).flatten(1), energy, levels[-1]


def running_level(loudness: Float[Tensor, "t"], level: Float[Tensor, ""]) -> Float[Tensor, "t"]:
    """max(loudness now, level before - decay), frame after frame, never below the floor."""
    fall = LEVEL_DECAY_DB * torch.arange(1, len(loudness) + 1, device=loudness.device)
    peaks = torch.cummax(loudness + fall, 0).values
    return (torch.maximum(peaks, level) - fall).clamp(min=LEVEL_FLOOR_DB)


class LocalBlock(nn.Module):
    """Attention to the tokens nearby and a pointwise network, as a stream.

    Every token sees `past` tokens before and `ahead` after itself, so what comes out of a call
    are the tokens that are `ahead` older than those that went in. Distances count through a bias
    of their own (Raffel et al. 2020), so a stream may be of any length.
    """

    def __init__(self, config: SpeechConfig, ahead: int) -> None:
        super().__init__()
        width = config.width
        self.heads, self.past, self.ahead = config.heads, config.past, ahead
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.mix = nn.Linear(width, width)
        self.up = nn.Linear(width, config.hidden)
        self.down = nn.Linear(config.hidden, width)
        self.distance = nn.Parameter(torch.zeros(config.heads, self.past + ahead + 1))

    def initial(self, like: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """Before the stream: no tokens wait, and keys and values are zero."""
        width = self.mix.in_features
        waiting = like.new_zeros(batch, self.ahead, width)
        return waiting, like.new_zeros(batch, self.past + self.ahead, 2 * width)

    def forward(
        self, x: Float[Tensor, "b n w"], waiting: Tensor, known: Tensor
    ) -> tuple[Float[Tensor, "b n w"], Tensor, Tensor]:
        """The next n tokens that are ready, and what waits and is known after them."""
        count = x.shape[1]
        known = torch.cat([known, self.keys_values(self.norm_1(x))], 1)
        joined = torch.cat([waiting, x], 1)
        now = joined[:, :count]
        query = self.queries(self.norm_1(now))
        key, value = known.chunk(2, -1)
        seen = F.scaled_dot_product_attention(
            *(rearrange(z, "b n (h d) -> b h n d", h=self.heads) for z in (query, key, value)),
            attn_mask=self._bias(count),
        )
        now = now + self.mix(rearrange(seen, "b h n d -> b n (h d)"))
        now = now + self.down(F.gelu(self.up(self.norm_2(now))))
        return now, joined[:, count:], known[:, count:]

    def _bias(self, count: int) -> Float[Tensor, "h n m"]:
        """What the distance adds: column i + k is the k-th token that row i may see."""
        reach = self.distance.shape[1]
        at = torch.arange(count + reach - 1, device=self.distance.device)
        index = at[None] - torch.arange(count, device=at.device)[:, None]
        bias = self.distance[:, index.clamp(0, reach - 1)]
        return bias.masked_fill((index < 0) | (index >= reach), -torch.inf)


class VoiceEncoder(nn.Module, ABC):
    """What the motion generator hears through: sound in, features of every motion frame out.

    The streams, loudness and voice activity are here; `describe` says what one kind of encoder
    makes of the sound.
    """

    front: MelFrontEnd
    name = "embedded"

    @property
    @abstractmethod
    def identity(self) -> object:
        """What a saved state belongs to: a frozen dataclass."""

    @abstractmethod
    def initial_past(self, batch: int = 1) -> tuple[Tensor, ...]:
        """What there was before the stream began: silence."""

    @abstractmethod
    def describe(
        self,
        sound: Float[Tensor, "b n"],
        mel: Float[Tensor, "b t k"],
        past: tuple[Tensor, ...],
    ) -> tuple[Float[Tensor, "b t f"], tuple[Tensor, ...]]:
        """Features of the next t frames, of their samples and log-mel, and the past after them."""

    def init_state(self) -> VoiceState:
        """A voice that has been silent so far."""
        past = self.initial_past()
        return VoiceState(
            overlap=past[0].new_zeros(MEL_OVERLAP),
            level=past[0].new_tensor(LEVEL_FLOOR_DB),
            past=past,
            activity=VoiceActivity().state,
        )

    def step(
        self, state: VoiceState, samples: Float[np.ndarray, "n"]
    ) -> tuple[VoiceState, SpeechFeatures]:
        """Features of whole frames (n divides by 640) that follow those given before.

        Always call it with the same n within a stream where equal bits matter.
        """
        return self.steps([state], [samples])[0]

    def steps(
        self, states: Sequence[VoiceState], pieces: Sequence[Float[np.ndarray, "n"]]
    ) -> list[tuple[VoiceState, SpeechFeatures]]:
        """`step` of several voices at once, which costs little more than one."""
        device = states[0].overlap.device
        heard = []
        for state, samples in zip(states, pieces, strict=True):
            new = torch.from_numpy(np.ascontiguousarray(samples)).to(device)
            joined = torch.cat([state.overlap, new])
            voice = VoiceActivity(state.activity)
            activity = torch.from_numpy(voice.push(samples)).to(device)
            mel, energy, level = self.front(joined, state.level)
            heard.append((joined, mel, energy, level, voice.state, activity))
        before = tuple(torch.cat(part) for part in zip(*(s.past for s in states), strict=True))
        sound = torch.stack([h[0][MEL_OVERLAP:] for h in heard])
        features, past = self.describe(sound, torch.stack([h[1] for h in heard]), before)
        out = []
        for i, (joined, _, energy, level, voice_state, activity) in enumerate(heard):
            own = tuple(part[i : i + 1] for part in past)
            after = VoiceState(joined[len(joined) - MEL_OVERLAP :], level, own, voice_state)
            out.append((after, SpeechFeatures(features[i], energy, activity)))
        return out

    def analyse(self, samples: Float[np.ndarray, "n"]) -> SpeechFeatures:
        """Features of a whole recording (n divides by 640), in pieces of ANALYSIS_FRAMES, since
        attention costs the square of a piece: for training.
        """
        state, parts, step = self.init_state(), [], ANALYSIS_FRAMES * SAMPLES_PER_FRAME
        for start in range(0, len(samples), step):
            state, part = self.step(state, samples[start : start + step])
            parts.append(part)
        return SpeechFeatures(
            torch.cat([p.features for p in parts]),
            torch.cat([p.energy for p in parts]),
            torch.cat([p.activity for p in parts]),
        )


class SpeechEncoder(VoiceEncoder):
    """Stacked log-mel to features, one vector per motion frame, `SPEECH_DELAY` frames late.

    The layout of Whisper's encoder (Radford et al. 2022), cut down to its first layers and made
    local: two convolutions to 50 tokens a second, then attention that looks ahead by 180 ms in
    all, which with the convolutions fills the delay.
    """

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.front = MelFrontEnd(config.mels)
        self.conv_1 = nn.Conv1d(config.mels, width, 3)
        self.conv_2 = nn.Conv1d(width, width, 3, stride=2)
        self.place = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(LocalBlock(config, ahead) for ahead in config.ahead)
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(TOKENS_PER_FRAME * width, config.features)

    @property
    def local_blocks(self) -> list[LocalBlock]:
        """The blocks, from the first to the last."""
        return [block for block in self.blocks if isinstance(block, LocalBlock)]

    @property
    def identity(self) -> SpeechConfig:
        """What a saved state belongs to."""
        return self.config

    @staticmethod
    def load(device: torch.device | str = "cpu") -> "SpeechEncoder":
        """The embedded encoder (role `speech_encoder`). Raises WeightsError."""
        tensors, header = load_safetensors("speech_encoder")
        encoder = SpeechEncoder(SpeechConfig.from_header(header["speech"]))
        load_strictly(encoder, tensors, "speech encoder")
        return encoder.to(device).eval().requires_grad_(False)

    def initial_past(self, batch: int = 1) -> tuple[Tensor, ...]:
        """What there was before the stream began: silence."""
        like = self.leave.weight
        past = [like.new_zeros(batch, MELS_PER_FRAME, self.config.mels)]
        for block in self.local_blocks:
            past.extend(block.initial(like, batch))
        return tuple(past)

    def tokens(
        self, mel: Float[Tensor, "b t k"], past: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "b n w"], tuple[Tensor, ...]]:
        """The blocks' tokens, 2 a frame and `SPEECH_DELAY` frames late, and what the next call
        needs.
        """
        # A token's convolutions see 3 rows before its own and 2 after: the tokens of a frame lag by
        # one, and the blocks by the rest of the delay.
        rows = rearrange(mel, "b t (r m) -> b (t r) m", m=self.config.mels)
        rows = torch.cat([past[0], rows], 1)
        x = F.gelu(self.conv_1((MEL_SCALE * rows + MEL_OFFSET).transpose(1, 2)))
        x = F.gelu(self.conv_2(x)).transpose(1, 2) + self.place
        kept = [rows[:, -MELS_PER_FRAME:]]
        for i, block in enumerate(self.local_blocks):
            x, waiting, known = block(x, *past[1 + 2 * i : 3 + 2 * i])
            kept += [waiting, known]
        return x, tuple(kept)

    def forward(
        self, mel: Float[Tensor, "b t k"], past: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "b t f"], tuple[Tensor, ...]]:
        """Features of the frames and the inputs that the next call needs."""
        x, kept = self.tokens(mel, past)
        x = rearrange(self.norm(x), "b (t n) w -> b t (n w)", n=TOKENS_PER_FRAME)
        return self.leave(x), kept

    def describe(
        self,
        sound: Float[Tensor, "b n"],
        mel: Float[Tensor, "b t k"],
        past: tuple[Tensor, ...],
    ) -> tuple[Float[Tensor, "b t f"], tuple[Tensor, ...]]:
        """`forward`: this encoder hears log-mel alone."""
        return self(mel, past)


def load_strictly(module: nn.Module, tensors: dict[str, np.ndarray], name: str) -> None:
    """Fill a network from stored tensors (half precision is widened).

    Raises WeightsError unless names and shapes fit exactly.
    """
    state = {k: torch.from_numpy(v).float() for k, v in tensors.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"the {name}'s weights do not fit its network: {error}") from error
