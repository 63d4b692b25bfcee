"""Carry a motion generator over to a speech encoder that was trained on.

    python -m scripts.train.carry_hearing --weights FILE --old ENCODER --speech VOICES --out FILE

FILE knows the features of ENCODER; those of the embedded encoder are others. A linear map from the
new to the old ones, of all the voices in the folder VOICES, goes into the layers that hear, so the
network moves as before. Prints how much of the old features the map gives, on every tenth voice,
which it was not fitted on. The reader of lips has to be fitted anew (scripts/train/lip_reader.py).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Waveform
from audio2motion.hearing.speech import SpeechConfig, SpeechEncoder, load_strictly
from audio2motion.network.condition import FEATURE_OFFSETS
from scripts.data.motion_items import features_of
from weights.tensors import read_safetensors, save_safetensors

_RIDGE = 1e-3
_TESTED = 10


def features(encoder: SpeechEncoder, sounds: list[np.ndarray]) -> list[Float[Tensor, "T f"]]:
    """What an encoder makes of every sound."""
    frames = [len(sound) // SAMPLES_PER_FRAME for sound in sounds]
    return [found.features.float() for found in features_of(encoder, sounds, frames)]


def fit(
    new: list[Float[Tensor, "T f"]], old: list[Float[Tensor, "T f"]]
) -> tuple[Float[Tensor, "f f"], Float[Tensor, "f"], float]:
    """weight, bias and the share of variance that new @ weight + bias gives of the old features,
    on voices left out.
    """
    fitted = [i for i in range(len(new)) if i % _TESTED]
    x, y = (torch.cat([side[i] for i in fitted]).double() for side in (new, old))
    middle, mean = x.mean(0), y.mean(0)
    gram = (x - middle).T @ (x - middle)
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    weight = torch.linalg.solve(gram, (x - middle).T @ (y - mean))
    bias = mean - middle @ weight
    x, y = (torch.cat(side[::_TESTED]).double() for side in (new, old))
    missed = (y - x @ weight - bias).square().sum() / (y - y.mean(0)).square().sum()
    return weight.float(), bias.float(), 1 - float(missed)


def carry(
    tensors: dict[str, np.ndarray], weight: Float[Tensor, "f f"], bias: Float[Tensor, "f"]
) -> None:
    """Put the map into the layers that hear the agent and the interlocutor."""
    size = len(weight)
    for layer, times in ((0, len(FEATURE_OFFSETS)), (1, 1)):
        name = f"condition.project.{layer}"
        hears = torch.from_numpy(tensors[f"{name}.weight"].astype(np.float32))
        rest = torch.from_numpy(tensors[f"{name}.bias"].astype(np.float32))
        for k in range(times):
            part = hears[:, k * size : (k + 1) * size]
            rest = rest + part @ bias
            hears[:, k * size : (k + 1) * size] = part @ weight.T
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = hears.numpy(), rest.numpy()


def main() -> None:
    """Parse the command line, fit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--old", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    sounds = [Waveform.load(file).samples for file in sorted(a.speech.glob("*.wav"))]
    with torch.inference_mode():
        tensors, header = read_safetensors(a.old)
        before = SpeechEncoder(SpeechConfig.from_header(header["speech"]))
        load_strictly(before, tensors, "speech encoder")
        new, old = (features(e, sounds) for e in (SpeechEncoder.load(), before.eval()))
        weight, bias, share = fit(new, old)
        print(f"the new features give {share:.3f} of the old ones' variance")
        tensors, header = read_safetensors(a.weights)
        carry(tensors, weight, bias)
    halves = {name: value.astype(np.float16) for name, value in tensors.items()}
    save_safetensors(a.out, halves, header)


if __name__ == "__main__":
    main()
