"""Speech features for motion: log-mel, a causal encoder, and voice activity, as a stream.

One feature vector for every motion frame (640 samples), made only of sound up to the end of that
frame. The encoder was trained to say what was spoken `SPEECH_DELAY` frames ago, so the vector of
frame t + 5 describes frame t with 200 ms of what follows. Levels do not matter: every frame is
measured against the loudest of the recent past.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from audio2motion.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, VoiceActivity, VoiceActivityState
from weights.errors import WeightsError
from weights.tensors import load_safetensors

SPEECH_DELAY = 5
MEL_WINDOW, MEL_HOP = 400, 160
MEL_OVERLAP = MEL_WINDOW - MEL_HOP
MELS_PER_FRAME = SAMPLES_PER_FRAME // MEL_HOP
DYNAMIC_RANGE_DB = 60.0
LEVEL_FLOOR_DB = -55.0
LEVEL_DECAY_DB = 0.04
"""The level that frames are measured against falls 1 dB a second after its last peak."""


@dataclass(frozen=True)
class SpeechConfig:
    """Sizes of the encoder; stored in the header of its weights."""

    mels: int = 80
    width: int = 192
    hidden: int = 512
    dilations: tuple[int, ...] = (1, 2, 4, 1, 2)
    kernel: int = 5
    features: int = 128

    @staticmethod
    def from_header(config: dict) -> "SpeechConfig":
        """From a weights header. Raises WeightsError for keys that do not fit."""
        try:
            return SpeechConfig(**{**config, "dilations": tuple(config["dilations"])})
        except (TypeError, KeyError) as error:
            raise WeightsError(f"the speech encoder's header does not fit: {error}") from error


@dataclass(frozen=True, eq=False)
class VoiceState:
    """Where the feature stream of one voice stands: the last samples, the running level in dB,
    the encoder's past inputs (one [1, n, width] per block) and the voice activity network.
    """

    overlap: Float[Tensor, "overlap"]
    level: Float[Tensor, ""]
    past: tuple[Tensor, ...]
    activity: VoiceActivityState


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


class _CausalBlock(nn.Module):
    """Depthwise dilated convolution over the past, then a pointwise network (ConvNeXt's)."""

    def __init__(self, width: int, hidden: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.randn(kernel, width) * kernel**-0.5)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.dilation = dilation
        self.reach = (kernel - 1) * dilation

    def forward(
        self, x: Float[Tensor, "b t w"], past: Float[Tensor, "b r w"]
    ) -> tuple[Float[Tensor, "b t w"], Float[Tensor, "b r w"]]:
        joined = torch.cat([past, x], 1)
        count = x.shape[1]
        mixed = sum(
            joined[:, i * self.dilation : i * self.dilation + count] * tap
            for i, tap in enumerate(self.taps)
        )
        out = x + self.down(F.gelu(self.up(self.norm(mixed))))
        return out, joined[:, joined.shape[1] - self.reach :]


class SpeechEncoder(nn.Module):
    """Stacked log-mel to features, causal, one vector per motion frame."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.config = config
        self.front = MelFrontEnd(config.mels)
        self.enter = nn.Linear(MELS_PER_FRAME * config.mels, config.width)
        self.blocks = nn.ModuleList(
            _CausalBlock(config.width, config.hidden, config.kernel, d) for d in config.dilations
        )
        self.reaches = tuple((config.kernel - 1) * d for d in config.dilations)
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.features)

    @staticmethod
    def load(device: torch.device | str = "cpu") -> "SpeechEncoder":
        """The embedded encoder (role `speech_encoder`). Raises WeightsError."""
        tensors, header = load_safetensors("speech_encoder")
        encoder = SpeechEncoder(SpeechConfig.from_header(header["speech"]))
        load_strictly(encoder, tensors, "speech encoder")
        return encoder.to(device).eval().requires_grad_(False)

    def initial_past(self, batch: int = 1) -> tuple[Tensor, ...]:
        """What the blocks saw before the stream began: nothing."""
        like = self.enter.weight
        return tuple(like.new_zeros(batch, reach, self.config.width) for reach in self.reaches)

    def forward(
        self, mel: Float[Tensor, "b t k"], past: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "b t f"], tuple[Tensor, ...]]:
        """Features of the frames and the inputs that the next call needs."""
        x = self.enter(mel)
        kept = []
        for block, before in zip(self.blocks, past, strict=True):
            x, after = block(x, before)
            kept.append(after)
        return self.leave(self.norm(x)), tuple(kept)

    def init_state(self) -> VoiceState:
        """A voice that has been silent so far."""
        like = self.enter.weight
        return VoiceState(
            overlap=like.new_zeros(MEL_OVERLAP),
            level=like.new_tensor(LEVEL_FLOOR_DB),
            past=self.initial_past(),
            activity=VoiceActivity().state,
        )

    def step(
        self, state: VoiceState, samples: Float[np.ndarray, "n"]
    ) -> tuple[VoiceState, SpeechFeatures]:
        """Features of whole frames (n divides by 640) that follow those given before.

        Always call it with the same n within a stream where equal bits matter.
        """
        new = torch.from_numpy(np.ascontiguousarray(samples)).to(state.overlap.device)
        joined = torch.cat([state.overlap, new])
        mel, energy, level = self.front(joined, state.level)
        features, past = self(mel[None], state.past)
        voice = VoiceActivity(state.activity)
        activity = torch.from_numpy(voice.push(samples)).to(new.device)
        after = VoiceState(joined[len(joined) - MEL_OVERLAP :], level, past, voice.state)
        return after, SpeechFeatures(features[0], energy, activity)

    def analyse(self, samples: Float[np.ndarray, "n"]) -> SpeechFeatures:
        """Features of a whole recording at once (n divides by 640): for training."""
        return self.step(self.init_state(), samples)[1]


def load_strictly(module: nn.Module, tensors: dict[str, np.ndarray], name: str) -> None:
    """Fill a network from stored tensors (half precision is widened).

    Raises WeightsError unless names and shapes fit exactly.
    """
    state = {k: torch.from_numpy(v).float() for k, v in tensors.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"the {name}'s weights do not fit its network: {error}") from error
