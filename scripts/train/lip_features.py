"""Choose anew which of the speech encoder's numbers are its features: first those that tell lips.

    python -m scripts.train.lip_features --clips CLIPS --speech VOICES --old ENCODER --out FILE
                                          [--groups lrc ...]

The encoder ends in a linear layer, from the 768 numbers of a frame's two tokens to 128 features. A
reader of all 768 (scripts/train/lip_reader.py) follows lips better than one of the features; here
the layer is put together anew of LIP_DIRECTIONS directions that this reader needs (a reduced-rank
regression, Izenman 1975) and of as much as the others can hold of what the features were. Prints
the share of either that is kept. Next: scripts/train/carry_hearing.py, then
scripts/train/lip_reader.py.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.hearing.speech import SpeechConfig, SpeechEncoder, load_strictly
from audio2motion.network.condition import FEATURE_OFFSETS
from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.geometry.basis import FaceBasis
from scripts.train.lip_reader import GROUPS, Taught, learn_whole, taught_clips
from scripts.train.loop import lip_aperture
from weights.tensors import read_safetensors, save_safetensors

LIP_DIRECTIONS = 24
_APERTURE_COUNTS = 12.0  # times as much as any channel: what people see first
_LEAST = 1e-6


def choose(
    clips: list[Taught], old: Float[Tensor, "f k"], aperture: Float[Tensor, "s"]
) -> tuple[Float[Tensor, "f k"], Float[Tensor, "f"], dict[str, float]]:
    """Weight and bias of the layer, and the shares that it keeps of the reader and of the features
    before. `old` is the layer's weight now, `aperture` how lips part with every speech channel.
    """
    size = old.shape[1]
    reader = learn_whole(clips)
    guesses = torch.cat([clip.whole @ reader[:-1] for clip in clips])
    sides = [reader[k * size : (k + 1) * size] for k in range(len(FEATURE_OFFSETS))]
    per_channel = guesses.std(0).clamp(min=0.01)
    parting = _APERTURE_COUNTS / (guesses @ aperture).std()
    wanted = torch.cat(
        [torch.cat([w / per_channel, parting * (w @ aperture)[:, None]], 1) for w in sides], 1
    ).double()
    numbers = torch.cat([clip.whole[:, :size] for clip in clips]).double()
    middle = numbers.mean(0)
    spread = (numbers - middle).T @ (numbers - middle) / len(numbers)
    values, vectors = torch.linalg.eigh(spread)
    root = values.clamp(min=_LEAST * float(values.max())).sqrt()
    needed, strength, _ = torch.linalg.svd((vectors * root) @ vectors.T @ wanted)
    lips = ((vectors / root) @ vectors.T @ needed[:, :LIP_DIRECTIONS]).T
    before = old.double()
    left = before - (before @ spread @ lips.T) @ lips
    values, vectors = torch.linalg.eigh(left @ spread @ left.T)
    rest = vectors[:, -(len(old) - LIP_DIRECTIONS) :].T @ left
    rest = rest / ((rest @ spread) * rest).sum(1, keepdim=True).sqrt()
    weight = torch.cat([lips, rest])
    missed = values[: -(len(old) - LIP_DIRECTIONS)].clamp(min=0).sum()
    shares = {
        "reader": float((strength[:LIP_DIRECTIONS] ** 2).sum() / (strength**2).sum()),
        "features": 1 - float(missed / (before @ spread @ before.T).trace()),
    }
    return weight.float(), -(weight @ middle).float(), shares


def main() -> None:
    """Parse the command line, choose, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--old", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--groups", nargs="+", default=GROUPS, help="of the clips; these alone")
    a = parser.parse_args()
    tensors, header = read_safetensors(a.old)
    encoder = SpeechEncoder(SpeechConfig.from_header(header["speech"]))
    load_strictly(encoder, tensors, "speech encoder")
    encoder.eval().requires_grad_(False)
    aperture = lip_aperture(FaceBasis.load())[list(SPEECH_CHANNELS)]
    with torch.inference_mode():
        clips = list(taught_clips(a.clips, a.speech, encoder, a.groups))
        weight, bias, shares = choose(clips, encoder.leave.weight, aperture)
    print(", ".join(f"of the {name} {share:.3f}" for name, share in shares.items()), "is kept")
    tensors["leave.weight"] = weight.numpy().astype(np.float16)
    tensors["leave.bias"] = bias.numpy().astype(np.float16)
    save_safetensors(a.out, tensors, header)


if __name__ == "__main__":
    main()
