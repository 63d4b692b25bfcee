"""Sync-C and Sync-D: SyncNet's confidence and distance (Chung and Zisserman 2016), as papers on
talking heads give them (also called LSE-C and LSE-D).

The network is not ours: give its file `syncnet_v2.model`, as its authors publish it, by its path.
Layers, inputs and arithmetic are those of the authors' evaluation: five frames of a face of 224 x
224 pixels beside 13 cepstral coefficients of the same 0.2 s of sound at 16 kHz, distances of both
over shifts of up to 15 frames. Faces are cut out by this project's tracker and not by the authors'
detector, so that figures are near those of papers, and comparable within a table.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.fft import dct
from torch import Tensor, nn
from torch.nn import functional as F

from weights.errors import InputError, WeightsError

SIDE, FRAMES, REACH = 224, 5, 15
"""Pixels of a face, frames that are seen at once, and frames of the largest shift."""
RATE, PER_FRAME = 16_000, 4
_WINDOW, _HOP, _FFT, _BANDS, _KEPT, _LIFT = 400, 160, 512, 26, 13, 22
_EMPHASIS, _LEAST = 0.97, float(np.finfo(float).eps)
_AROUND = 0.4  # of a face's box that is seen beside it, and twice that below
_AT_ONCE = 20
_EMBEDDED = 1024
_COUNTER = "num_batches_tracked"  # which older files have not, and nobody here reads


class SyncScore(NamedTuple):
    """`confidence` (Sync-C) and `distance` (Sync-D); `offset` is by how many frames of 40 ms the
    sound comes before the picture at the best shift.
    """

    confidence: float
    distance: float
    offset: int


class SyncNetwork(nn.Module):
    """The two streams; parameters have the names of the authors' file."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_block(nn.Conv2d(1, 64, 3, padding=1)),
            nn.MaxPool2d(1, 1),
            *_block(nn.Conv2d(64, 192, 3, padding=1)),
            nn.MaxPool2d(3, (1, 2)),
            *_block(nn.Conv2d(192, 384, 3, padding=1)),
            *_block(nn.Conv2d(384, 256, 3, padding=1)),
            *_block(nn.Conv2d(256, 256, 3, padding=1)),
            nn.MaxPool2d(3, 2),
            *_block(nn.Conv2d(256, 512, (5, 4))),
        )
        self.netcnnlip = nn.Sequential(
            *_block(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(nn.Conv3d(256, 512, (1, 6, 6))),
        )
        self.netfcaud, self.netfclip = _head(), _head()

    def hear(self, sound: Float[Tensor, "b 1 13 20"]) -> Float[Tensor, "b 1024"]:
        """Of cepstral coefficients."""
        return self.netfcaud(self.netcnnaud(sound).flatten(1))

    def see(self, faces: Float[Tensor, "b 3 5 224 224"]) -> Float[Tensor, "b 1024"]:
        """Of faces, BGR from 0 to 255."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))


def _block(layer: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, nn.Module, nn.Module]:
    norm = nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm3d
    return layer, norm(layer.out_channels), nn.ReLU()


def _head() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, _EMBEDDED)
    )


@dataclass(frozen=True, eq=False)
class SyncNet:
    """Judges faces and a voice."""

    network: SyncNetwork

    @staticmethod
    def load(path: Path) -> "SyncNet":
        """Of the authors' file. Raises InputError where there is none, WeightsError for another."""
        if not path.is_file():
            raise InputError(
                f"Sync-C and Sync-D need SyncNet's weights, and there is no file {path}; give its "
                "authors' syncnet_v2.model"
            )
        network = SyncNetwork()
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            lacks, more = network.load_state_dict(state, strict=False)
            lacks = [name for name in lacks if not name.endswith(_COUNTER)]
            if lacks or more:
                raise KeyError(f"it has other layers, {(lacks or more)[0]}")
        except Exception as error:  # torch raises whatever its readers do
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise WeightsError(f"{path} is not SyncNet's syncnet_v2.model: {told}") from error
        return SyncNet(network.eval().requires_grad_(False))

    @torch.inference_mode()
    def features(
        self, faces: Sequence[UInt8[np.ndarray, "224 224 3"]], samples: Float[np.ndarray, "n"]
    ) -> tuple[Float[Tensor, "t k"], Float[Tensor, "t k"]] | None:
        """What `score` takes, of RGB faces at 25 a second, and of a voice from -1 to 1 at 16 kHz
        that begins with them. None where they are too short to tell.
        """
        count = min(len(faces), len(samples) * 25 // RATE) - FRAMES
        if count < 1:
            return None
        sound = torch.from_numpy(cepstra(samples).T.astype(np.float32).copy())
        film = np.stack([face[..., ::-1] for face in faces])
        seen, heard = [], []
        for first in range(0, count, _AT_ONCE):
            here = range(first, min(count, first + _AT_ONCE))
            pieces = torch.from_numpy(np.stack([film[k : k + FRAMES] for k in here]))
            seen.append(self.network.see(pieces.permute(0, 4, 1, 2, 3).float()))
            span = FRAMES * PER_FRAME
            parts = [sound[:, k * PER_FRAME :][:, :span] for k in here]
            heard.append(self.network.hear(torch.stack(parts)[:, None]))
        return torch.cat(seen), torch.cat(heard)


def score(seen: Float[Tensor, "t k"], heard: Float[Tensor, "t k"]) -> SyncScore:
    """The mean distance at every shift: how small the least is, and how far below the median.
    Where a shift leads past the sound there is nothing, zeros, as the authors have it.
    """
    padded = F.pad(heard, (0, 0, REACH, REACH))
    shifts = range(2 * REACH + 1)
    apart = [F.pairwise_distance(seen, padded[k : k + len(seen)]).mean() for k in shifts]
    means = torch.stack(apart)
    least, at = means.min(0)
    return SyncScore(float(means.median() - least), float(least), REACH - int(at))


def cepstra(samples: Float[np.ndarray, "n"]) -> Float[np.ndarray, "T 13"]:
    """Mel-frequency cepstral coefficients, 100 a second, of which the first is the logarithm of the
    energy: those of the package python_speech_features, which the authors used, of 16-bit samples.
    """
    whole = np.round(samples.astype(np.float64).clip(-1, 1) * 32767)
    whole = np.append(whole[:1], whole[1:] - _EMPHASIS * whole[:-1])
    count = 1 + max(0, -(-(len(whole) - _WINDOW) // _HOP))
    padded = np.pad(whole, (0, max(0, (count - 1) * _HOP + _WINDOW - len(whole))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][:count]
    power = np.abs(np.fft.rfft(frames, _FFT)) ** 2 / _FFT
    energy = np.maximum(power.sum(1), _LEAST)
    bands = power @ _filters().T
    out = dct(np.log(np.where(bands == 0, _LEAST, bands)), type=2, axis=1, norm="ortho")[:, :_KEPT]
    out *= 1 + _LIFT / 2 * np.sin(np.pi * np.arange(_KEPT) / _LIFT)
    out[:, 0] = np.log(energy)
    return out


def _filters() -> Float[np.ndarray, "26 257"]:
    """Triangles that are evenly spread over the mel scale."""
    highest = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, _BANDS + 2) / 2595) - 1)
    edges = np.floor((_FFT + 1) * hertz / RATE).astype(int)
    out = np.zeros((_BANDS, _FFT // 2 + 1))
    for k, (low, middle) in enumerate(pairwise(edges[:-1])):
        high = edges[k + 2]
        out[k, low:middle] = (np.arange(low, middle) - low) / (middle - low)
        out[k, middle:high] = (high - np.arange(middle, high)) / (high - middle)
    return out


Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a face in pixels."""


def cut_faces(
    frames: Iterator[UInt8[np.ndarray, "H W 3"]], boxes: Sequence[Box]
) -> Iterator[UInt8[np.ndarray, "224 224 3"]]:
    """The face of each frame with what is around it, more of that below than above; grey where the
    picture ends.
    """
    import cv2

    for frame, (left, top, right, bottom) in zip(frames, boxes, strict=False):
        half = max(right - left, bottom - top) / 2
        x, y, side = (left + right) / 2, (top + bottom) / 2, 2 * half * (1 + _AROUND)
        scale = SIDE / side
        corner = np.array([x - side / 2, y - half])
        matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
        face = cv2.warpAffine(
            frame, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA, borderValue=(110, 110, 110)
        )
        yield np.asarray(face, np.uint8)
