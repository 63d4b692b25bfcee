"""Painting the mouths and eyes of some frames, which every stage shares."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from motion2video.drawing.areas import WINDOWS
from motion2video.network.painter import Painter, Window


@runtime_checkable
class Paintable(Protocol):
    """n frames that a brush can paint in. Windows have the names of areas.WINDOWS."""

    @property
    def corners(self) -> dict[str, Int[np.ndarray, "n 2"]]:
        """(x, y) in latents where the windows of every frame start."""
        ...

    @property
    def chosen(self) -> dict[str, Bool[np.ndarray, "n"]]:
        """Of every frame, whether there is anything to paint in a window."""
        ...

    def conditions(self, name: str, picks: list[int]) -> Float[Tensor, "k 8 h w"]:
        """What the network is shown of a window of some frames, 0..1, on its device."""
        ...

    def put(self, name: str, picks: list[int], pictures: Float[Tensor, "k 3 h w"]) -> None:
        """Lay painted windows, 0..1, into the frames."""
        ...

    def shade(self, amount: float) -> None:
        """Darken what has the lips' colour inside open mouths: see areas.shade_cavity."""
        ...

    def darken(self) -> None:
        """The inside of the mouth where no network paints."""
        ...


@dataclass(frozen=True, eq=False)
class Brush:
    """The network and what it asks of one portrait in one clip: the portrait's latent `reference`
    [1, c, 32, 32], its keys and values `attended` [1, 2, heads, k, e], its `sharpness` [1], the
    clip's `noise`. Windows are painted `batch` at a time, filled up so that all have one shape.
    `cavity` see RenderConfig; a `draft` is not painted by the network.
    """

    painter: Painter
    reference: Tensor
    attended: Tensor
    sharpness: Tensor
    noise: Tensor
    batch: int
    cavity: float
    draft: bool

    @torch.inference_mode()
    def paint(self, frames: Paintable) -> None:
        """Mouths first, then eyes, a batch of windows at a time."""
        if self.draft:
            frames.darken()
            return
        for name in WINDOWS:
            picks = np.flatnonzero(frames.chosen[name]).tolist()
            for start in range(0, len(picks), self.batch):
                now = picks[start : start + self.batch]
                image = self.painter.paint(self._window(frames, name, now))
                frames.put(name, now, image[: len(now)])
        if self.cavity > 0 and frames.chosen["mouth"].any():
            frames.shade(self.cavity)

    def _window(self, frames: Paintable, name: str, picks: list[int]) -> Window:
        filled = [*picks, *picks[-1:] * (self.batch - len(picks))]
        width, height = WINDOWS[name]
        corners = frames.corners[name][filled].tolist()
        cuts = [np.s_[:, :, y : y + height, x : x + width] for x, y in corners]
        return Window(
            frames.conditions(name, filled),
            torch.cat([self.reference[cut] for cut in cuts]),
            self.attended.expand(len(cuts), -1, -1, -1, -1),
            self.sharpness.expand(len(cuts)),
            torch.cat([self.noise[cut] for cut in cuts]),
        )
