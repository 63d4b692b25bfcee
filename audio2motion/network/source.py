"""The noise that motion is made from: smooth curves that go on from chunk to chunk.

Every channel starts from a stationary Gaussian process with about the spectrum of its real motion:
a sum of critically damped second-order processes, driven by white noise that belongs to its frame.
A flow from white noise would have to invent every curve anew at each chunk; from smooth noise it
bends curves into motion, so samples have no seams and do not tremble, whatever they are cut into.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.saveable import saveable
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION, channel_index
from motion2video.network.flow import frame_noise

PACES = (0.0, 0.8, 2.0, 5.0, 12.0, 30.0)
"""Time constants of the processes, in frames; 0 is white noise."""
YOKED = tuple(
    (channel_index(f"eye{one}Left"), channel_index(f"eye{other}Right"))
    for one, other in (
        *(("Blink", "Blink"), ("Squint", "Squint"), ("LookUp", "LookUp")),
        *(("LookDown", "LookDown"), ("LookOut", "LookIn"), ("LookIn", "LookOut")),
    )
)
"""Channels of both eyes that move as one (Hering's law)."""
HEAD = slice(ROTATION.start, TRANSLATION.stop)
BURSTS, BURST_PACE = 0, PACES.index(12.0)
"""The channel (that of no movement) and the process by which heads move now more and now less."""
HELD = torch.tensor([0.15 if pace < 12 else 0.5 for pace in PACES])
"""Of every process, how much a listener's head has: it drifts, and rests between its answers. As
the teacher's listeners do (scripts/data/dyads.py).
"""
POLES = np.array([math.exp(-1 / pace) if pace else 0.0 for pace in PACES])
_DRIVE = np.sqrt((1 - POLES**2) ** 3 / (1 + POLES**2))
"""What the white noise is scaled by for unit variance."""
_NEXT = 2 * POLES / (1 + POLES**2)
"""Correlation of neighbouring frames."""


@saveable
@dataclass(frozen=True, eq=False)
class SourceState:
    """The last two frames of every process, [b, 2, processes, 90], the newest last."""

    recent: Float[Tensor, "b 2 k 90"]


def begin(noise: Float[Tensor, "b 2 k 90"]) -> SourceState:
    """Two frames of white noise to a state that is as likely as any later one."""
    near = torch.from_numpy(_NEXT).to(noise)[:, None]
    second = near * noise[:, 0] + (1 - near**2).sqrt() * noise[:, 1]
    return SourceState(torch.stack([noise[:, 0], second], 1))


def go_on(
    state: SourceState, noise: Float[Tensor, "b t k 90"]
) -> tuple[SourceState, Float[Tensor, "b t k 90"]]:
    """The next frames of the processes, each of unit variance, driven by white noise."""
    pole = torch.from_numpy(POLES).to(noise)[:, None]
    drive = torch.from_numpy(_DRIVE).to(noise)[:, None]
    before, last = state.recent.unbind(1)
    frames = []
    for white in noise.unbind(1):
        before, last = last, 2 * pole * last - pole**2 * before + drive * white
        frames.append(last)
    return SourceState(torch.stack([before, last], 1)), torch.stack(frames, 1)


def paced(
    processes: Float[Tensor, "b t k 90"], bursts: float | Tensor, listens: Float[Tensor, "b t"]
) -> Float[Tensor, "b t k 90"]:
    """The processes with what a head does not do evenly: it moves in bursts, whose logarithm
    deviates by `bursts`, and hardly while it `listens` (0..1).
    """
    envelope = processes[:, :, BURST_PACE, BURSTS, None, None]
    burst = (bursts * envelope - bursts**2).exp()
    still = 1 - listens[:, :, None, None] * (1 - HELD.to(processes)[:, None])
    out = processes.clone()
    out[..., HEAD] *= burst * still
    return out


def white(seed: int, frame: int, count: int) -> Float[Tensor, "1 t k 90"]:
    """The noise that drives the processes from `frame` on; of frames -2 and -1 they begin."""
    return frame_noise(seed, frame, count, (len(PACES), MOTION_DIM))[None]


def correlations(count: int) -> Float[np.ndarray, "n k"]:
    """Of every process with itself, 0 .. count - 1 frames later."""
    lags = np.arange(count)[:, None]
    found = POLES**lags * (1 + lags * (1 - POLES**2) / (1 + POLES**2))
    return np.where(lags == 0, 1.0, found)


def yoke() -> Float[Tensor, "90 90"]:
    """Rows to rows whose YOKED columns are equal, their mean."""
    matrix = torch.eye(MOTION_DIM)
    for pair in YOKED:
        matrix[torch.tensor(pair)[:, None], torch.tensor(pair)] = 0.5
    return matrix
