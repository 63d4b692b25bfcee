"""A linear map from what another speech model hears to the features that the motion network knows.

It is fitted by ridge regression on three minutes of synthetic speech: most of it to fit, a part to
choose how stiff the map is, and another to say how well it does (`correlation`, in the header of
the file that keeps it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.hearing.audio import SAMPLES_PER_FRAME
from audio2motion.voice.synthesis import synthesize
from weights.errors import WeightsError
from weights.tensors import read_safetensors, save_safetensors

_STIFFNESS = (0.1, 0.3, 1.0, 3.0)
"""Ridge penalties, as parts of the mean square of an input vector."""
_NOISE = 1e-3
"""Deviation of the noise added to the speech, as microphones have it: -60 dB of full scale."""
_LONGEST_PAUSE = 12_000

_SPOKEN = (
    (
        ("en-us", "en-gb+f3", "en-us+m3"),
        "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. "
        "It's easy to tell the depth of a well. These days a chicken leg is a rare dish. Rice is "
        "often served in round bowls. The juice of lemons makes fine punch. Four hours of steady "
        "work faced us. A large size in stockings is hard to sell. Why would anybody measure that?",
    ),
    (
        ("de", "de+f2"),
        "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Heute ist schönes "
        "Frühlingswetter, und die Vögel singen. Möchten Sie vielleicht noch eine Tasse Kaffee?",
    ),
    (
        ("fr-fr+f4", "fr-fr"),
        "Portez ce vieux whisky au juge blond qui fume. Bonjour, comment allez-vous? Un bon vin "
        "blanc, un peu de beurre et du pain, voilà un déjeuner parfait.",
    ),
    (
        ("es+m2", "es+f1"),
        "El pingüino hizo kilómetros bajo exhaustiva lluvia y frío. Buenos días, me llamo Pablo "
        "y vivo en una pequeña ciudad junto al mar. ¿Cuántos años tiene usted?",
    ),
    (
        ("it+f5", "en-gb+m7"),
        "Please bring me a big map, a paper cup, and five very warm blankets. They move together, "
        "though nobody knows why. She sells sea shells; he chooses cheap jewels.",
    ),
    (
        ("en-us+f2", "nl+m4"),
        "Maybe we can meet at the old bridge before the rain begins. I believe that both brothers "
        "have thought about their future. What a wonderful surprise! Put the yellow books over "
        "there.",
    ),
)
"""Voices and what they say; the last but one is to choose by, the last to judge by."""


@dataclass(frozen=True, eq=False)
class SpeechMap:
    """Input vectors [n, d] @ `weight` + `bias` = features. `correlation` is that of the features
    with the true ones, on average, for speech that was not used to fit.
    """

    weight: Float[np.ndarray, "d f"]
    bias: Float[np.ndarray, "f"]
    correlation: float

    @staticmethod
    def load(path: Path) -> "SpeechMap":
        """A saved map. Raises WeightsError for another file."""
        tensors, header = read_safetensors(path)
        try:
            return SpeechMap(tensors["weight"], tensors["bias"], header["correlation"])
        except KeyError as error:
            raise WeightsError(f"{path} holds no map of speech features; remove it") from error

    def save(self, path: Path, **header: str) -> None:
        """Write it, with more values for the header. Raises OutputError."""
        tensors = {"weight": self.weight, "bias": self.bias}
        save_safetensors(path, tensors, {"correlation": self.correlation, **header})


def practice_speech() -> list[list[Float[np.ndarray, "n"]]]:
    """Recordings of whole frames in groups: those of the last two groups are not to fit by."""
    rng = np.random.default_rng(0)
    groups = []
    for voices, text in _SPOKEN:
        sounds = []
        for voice in voices:
            said = synthesize(text, voice, 165).samples * rng.uniform(0.3, 1.0)
            pause = np.zeros(int(rng.integers(0, _LONGEST_PAUSE)))
            sound = np.concatenate([pause, said, np.zeros(_LONGEST_PAUSE)])
            sound = sound[: len(sound) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]
            sounds.append((sound + rng.normal(0, _NOISE, len(sound))).astype(np.float32))
        groups.append(sounds)
    return groups


def fit_map(inputs: Sequence[Tensor], wanted: Sequence[Tensor]) -> SpeechMap:
    """The map from groups of input vectors to groups of features [n, f], at least three: the last
    but one is to choose by, the last to judge by.
    """
    x, y = torch.cat(list(inputs[:-2])).double(), torch.cat(list(wanted[:-2])).double()
    middle, spread = x.mean(0), x.std(0) + 1e-6 * x.std()
    x, mean = (x - middle) / spread, y.mean(0)
    # As many unknowns as recorded frames, not as inputs: there are more of those.
    products = x @ x.T
    found = []
    for stiffness in _STIFFNESS:
        penalty = (stiffness * products.diagonal().mean()).expand(len(x)).diag()
        factor = torch.linalg.cholesky(products + penalty)
        weight = x.T @ torch.cholesky_solve(y - mean, factor) / spread[:, None]
        found.append((_correlation(inputs[-2].double() @ weight, wanted[-2]), weight))
    _, weight = max(found, key=lambda pair: pair[0])
    correlation = _correlation(inputs[-1].double() @ weight, wanted[-1])
    bias = mean - middle @ weight
    return SpeechMap(weight.float().numpy(), bias.float().numpy(), round(correlation, 4))


def _correlation(found: Float[Tensor, "n f"], wanted: Float[Tensor, "n f"]) -> float:
    """Pearson's r of every feature, on average; 0 for one that does not change."""
    found, wanted = found - found.mean(0), wanted - wanted.mean(0)
    scale = (found.square().sum(0) * wanted.square().sum(0)).sqrt()
    return float(((found * wanted).sum(0) / scale.clamp(min=1e-9)).mean())
