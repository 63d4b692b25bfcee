"""Speech features from a Whisper, HuBERT or wav2vec 2.0 model that the user has, as a stream.

The model (transformers' format, in a folder; nothing is downloaded) hears the last 2 s at the end
of every chunk of 5 frames, and nothing after: causal by the chunk, and the same bits however the
sound was cut. The motion network was trained on the embedded encoder's features, so a linear map
takes what the first half of the model's layers say to those; it is fitted once on synthetic speech
and kept in the cache folder. Of recorded voices it loses much of what those features say: for
best results train the motion network through it (scripts/train/motion.py --speech-encoder).
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from audio2motion.hearing.audio import SAMPLES_PER_FRAME
from audio2motion.hearing.speech import (
    MEL_HOP,
    MEL_WINDOW,
    SPEECH_DELAY,
    TOKENS_PER_FRAME,
    MelFrontEnd,
    SpeechEncoder,
    VoiceEncoder,
    mel_filters,
)
from audio2motion.network.condition import CHUNK
from audio2motion.network.speech_map import SpeechMap, fit_map, practice_speech
from audio2motion.saveable import saveable
from motion2video.motion import FPS
from weights.errors import DependencyError, InputError, WeightsError
from weights.installation import how_to_add
from weights.registry import cache_dir, make_cache_folder

KINDS = ("whisper", "hubert", "wav2vec2")
WINDOW = 50
"""Frames that the model hears at once."""
CONTEXT = 3
"""Frames whose tokens a feature is made of: that which it describes and its neighbours."""
_LAST = WINDOW - SPEECH_DELAY + 1
"""Where in a window the last frame is that is read: later ones only tell what follows."""
_WINDOW_SAMPLES, _CHUNK_SAMPLES = WINDOW * SAMPLES_PER_FRAME, CHUNK * SAMPLES_PER_FRAME
_TOKENS = WINDOW * TOKENS_PER_FRAME
_TOKEN_SAMPLES = SAMPLES_PER_FRAME // TOKENS_PER_FRAME
_LOUDNESS, _QUIET = 0.1, 1e-3
"""Root mean square that windows are brought to, but those below the other, -60 dB."""
_TOGETHER = 8
_RECIPE = "1"
"""To be raised with any change of how maps are fitted."""

Notify = Callable[[str], None]


@saveable
@dataclass(frozen=True)
class BorrowedConfig:
    """Which model and which map features come from: their hashes."""

    kind: str
    model: str
    map: str


class SpeechModel(nn.Module):
    """The first half of a model's layers: windows of sound to one vector per frame.

    Lips are read best from the middle of such models (see scripts/data/speech.py).
    """

    filters: Tensor
    hann: Tensor

    def __init__(self, network: Any) -> None:
        """`network` is a model of transformers of one of KINDS, which is taken apart."""
        super().__init__()
        self.kind = network.config.model_type
        whisper = self.kind == "whisper"
        self.network = network.encoder if whisper else network
        layers = self.network if whisper else network.encoder
        layers.layers = layers.layers[: (len(layers.layers) + 1) // 2]
        self.mels = network.config.num_mel_bins if whisper else None
        if self.mels is not None:
            # Its positions are counted from the beginning of what it hears: these few are left.
            network.config.max_source_positions = _TOKENS
            places = self.network.embed_positions.weight[:_TOKENS].detach()
            self.network.embed_positions = nn.Embedding.from_pretrained(places)
            self.register_buffer("filters", mel_filters(self.mels), persistent=False)
            self.register_buffer("hann", torch.hann_window(MEL_WINDOW), persistent=False)
        self.eval().requires_grad_(False)

    @staticmethod
    def load(kind: str, folder: Path) -> "SpeechModel":
        """The model in a folder. Raises WeightsError when there is none of this kind in it, and
        DependencyError without transformers.
        """
        try:
            import transformers.utils.logging
        except ImportError as error:
            raise DependencyError(
                f"the speech encoder {kind} needs transformers: {how_to_add('speech')}"
            ) from error
        if not (folder / "config.json").is_file():
            raise WeightsError(
                f"there is no model of transformers in {folder}: wanted a folder with config.json "
                "and model.safetensors, as save_pretrained writes it"
            )
        with _reading(folder, transformers.utils.logging):
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            if config.model_type != kind:
                raise WeightsError(f"{folder} holds a {config.model_type} model; wanted {kind}")
            network, report = transformers.AutoModel.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        _check(folder, network, report["missing_keys"])
        return SpeechModel(network)

    def forward(self, windows: Float[Tensor, "n s"]) -> Float[Tensor, "n t w"]:
        """Vectors of the CHUNK + CONTEXT - 1 frames of a window of WINDOW that features read."""
        level = windows.square().mean(1, keepdim=True).sqrt()
        windows = windows * (_LOUDNESS / level.clamp(min=_QUIET))
        if self.mels is not None:
            heard = self._log_mel(windows)
        else:
            # A token's convolutions see somewhat more than its own 20 ms, all of it before.
            reach = MEL_WINDOW - _TOKEN_SAMPLES
            heard = F.pad(windows / _LOUDNESS, (reach, 0))
        tokens = self.network(heard).last_hidden_state
        frames = rearrange(tokens, "n (t k) w -> n t k w", k=TOKENS_PER_FRAME).mean(2)
        return frames[:, _LAST - (CHUNK + CONTEXT - 1) : _LAST]

    def _log_mel(self, windows: Float[Tensor, "n s"]) -> Float[Tensor, "n m t"]:
        """As Whisper was trained on: log10 of the power, no more than 8 below the highest."""
        spectrum = torch.stft(windows, MEL_WINDOW, MEL_HOP, window=self.hann, return_complex=True)
        power = self.filters @ spectrum[..., :-1].abs().square()
        mel = power.clamp(min=1e-10).log10()
        return (torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8) + 4) / 4


class BorrowedEncoder(VoiceEncoder):
    """A SpeechModel's vectors, made into the embedded encoder's features by a map."""

    weight: Tensor
    bias: Tensor

    def __init__(self, model: SpeechModel, fitted: SpeechMap, front: MelFrontEnd) -> None:
        super().__init__()
        self.model, self.front = model, front
        self.correlation = fitted.correlation
        self.register_buffer("weight", torch.from_numpy(fitted.weight))
        self.register_buffer("bias", torch.from_numpy(fitted.bias))
        of_map = hashlib.sha256(fitted.weight.tobytes() + fitted.bias.tobytes()).hexdigest()
        self._identity = BorrowedConfig(model.kind, fingerprint(model), of_map)

    @property
    def identity(self) -> BorrowedConfig:
        """What a saved state belongs to."""
        return self._identity

    def initial_past(self, batch: int = 1) -> tuple[Tensor, ...]:
        """The window, silent."""
        return (self.bias.new_zeros(batch, _WINDOW_SAMPLES),)

    def describe(
        self,
        sound: Float[Tensor, "b n"],
        mel: Float[Tensor, "b t k"],
        past: tuple[Tensor, ...],
    ) -> tuple[Float[Tensor, "b t f"], tuple[Tensor, ...]]:
        """Features chunk by chunk; the past is the window."""
        vectors, window = chunk_vectors(self.model, sound, past[0])
        return vectors @ self.weight + self.bias, (window,)


def chunk_vectors(
    model: SpeechModel, sound: Float[Tensor, "b n"], window: Float[Tensor, "b s"]
) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b s"]]:
    """What a map reads, for every frame of the sound after a window, and the window after it.

    A last chunk that is not full is heard when it ends.
    """
    batch, count = sound.shape
    known = torch.cat([window, sound], 1)
    ends = [*range(_CHUNK_SAMPLES, count, _CHUNK_SAMPLES), count]
    windows = torch.cat([known[:, end : end + _WINDOW_SAMPLES] for end in ends])
    frames = torch.cat([model(part) for part in windows.split(max(batch, _TOGETHER))])
    read = frames.unfold(1, CONTEXT, 1).flatten(2)
    read = rearrange(read, "(k b) t d -> b k t d", b=batch)
    fresh = (count - (len(ends) - 1) * _CHUNK_SAMPLES) // SAMPLES_PER_FRAME
    parts = [read[:, :-1].flatten(1, 2), read[:, -1, CHUNK - fresh :]]
    return torch.cat(parts, 1), known[:, -_WINDOW_SAMPLES:]


def borrow(
    spec: str, device: torch.device | str = "cpu", notify: Notify | None = None
) -> BorrowedEncoder:
    """The encoder named as KIND:FOLDER; its map is fitted when the cache does not have it.

    `notify` is called with a sentence when that begins and when it is done. Raises InputError for
    another spec, WeightsError for a folder without such a model, DependencyError without
    transformers, OutputError when the cache folder cannot be written.
    """
    kind, _, folder = spec.partition(":")
    if kind not in KINDS or not folder:
        wanted = " or ".join(f"{k}:FOLDER" for k in KINDS)
        raise InputError(f"got the speech encoder {spec!r}; wanted {wanted}")
    model = SpeechModel.load(kind, Path(folder).expanduser()).to(device)
    embedded = SpeechEncoder.load(device)
    encoder = BorrowedEncoder(model, map_for(model, embedded, spec, notify), embedded.front)
    encoder.name = spec
    return encoder.to(device).eval().requires_grad_(False)


def map_for(
    model: SpeechModel, embedded: SpeechEncoder, spec: str, notify: Notify | None = None
) -> SpeechMap:
    """The map from a model's vectors to an encoder's features, from the cache when it is there."""
    hashes = fingerprint(model), fingerprint(embedded)
    key = hashlib.sha256(" ".join([_RECIPE, *hashes]).encode()).hexdigest()
    path = cache_dir() / "speech_maps" / f"{key[:32]}.safetensors"
    if path.is_file():
        return SpeechMap.load(path)
    notify = notify or (lambda sentence: None)
    notify(f"{spec} is fitted to the embedded speech encoder, once: this may take minutes")
    fitted = fit(model, embedded)
    make_cache_folder(path.parent)
    fitted.save(path, kind=model.kind, model=hashes[0], embedded=hashes[1], recipe=_RECIPE)
    notify(
        f"{spec} is fitted: on speech that was not used for it, its features have r = "
        f"{fitted.correlation:.2f} with the embedded ones ({path})"
    )
    return fitted


@torch.inference_mode()
def fit(model: SpeechModel, embedded: SpeechEncoder) -> SpeechMap:
    """The map from a model's vectors to an encoder's features of the practice speech."""
    inputs, wanted = [], []
    for group in practice_speech():
        heard, features = [], []
        for sound in group:
            samples = torch.from_numpy(sound)[None].to(embedded.leave.weight.device)
            window = samples.new_zeros(1, _WINDOW_SAMPLES)
            heard.append(chunk_vectors(model, samples, window)[0][0].cpu())
            features.append(embedded.analyse(sound).features.cpu())
        inputs.append(torch.cat(heard))
        wanted.append(torch.cat(features))
    return fit_map(inputs, wanted)


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's weights, with their names and shapes."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


@contextlib.contextmanager
def _reading(folder: Path, log: Any) -> Iterator[None]:
    """transformers prints no bars and reports meanwhile; what it raises becomes a WeightsError."""
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise WeightsError(f"the model in {folder} cannot be read: {error}") from error
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _check(folder: Path, network: Any, missing: Iterable[str]) -> None:
    """Raise WeightsError for a model without its weights or with tokens of another rate."""
    config = network.config
    if config.model_type == "whisper":
        lacking = [name for name in missing if name.startswith("encoder.")]
        fits = config.max_source_positions >= _TOKENS
    else:
        lacking = [name for name in missing if name != "masked_spec_embed"]
        reach, stride = 1, 1
        for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
            reach, stride = reach + (kernel - 1) * stride, stride * step
        fits = (reach, stride) == (MEL_WINDOW, _TOKEN_SAMPLES)
    if lacking:
        raise WeightsError(f"the model in {folder} lacks weights such as {min(lacking)}")
    if not fits:
        raise WeightsError(
            f"the model in {folder} does not hear {WINDOW / FPS:g} s of sound at 16 kHz as "
            f"{_TOKENS} tokens of 20 ms: that kind cannot be used"
        )
