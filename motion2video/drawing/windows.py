"""Painting the mouths and eyes of some frames, which every stage shares."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from motion2video.drawing.places import WINDOWS
from motion2video.network.painter import Painter, Window


@runtime_checkable
class Paintable(Protocol):
    """n frames that a brush can paint in. Windows have the names of places.WINDOWS."""

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

    def put_drawn(self) -> None:
        """Lay the drawn mouth into the frames where no network paints."""
        ...


@dataclass(frozen=True, eq=False)
class Brush:
    """The network and what it asks of one portrait in one clip: of every window the photo's latent
    (`reference`, [1, c, h, w]) and the clip's `noise`; the keys and values of all of them
    (`attended`, [1, 2, heads, k, e]), the photo's `sharpness` [1]. Windows are painted `batch` at a
    time, filled up so that all have one shape. A `draft` is not painted by the network.
    """

    painter: Painter
    reference: dict[str, Tensor]
    attended: Tensor
    sharpness: Tensor
    noise: dict[str, Tensor]
    batch: int
    draft: bool

    @torch.inference_mode()
    def paint(self, frames: Paintable) -> None:
        """Mouths first, then eyes, a batch of windows at a time."""
        if self.draft:
            frames.put_drawn()
            return
        for name in WINDOWS:
            picks = np.flatnonzero(frames.chosen[name]).tolist()
            for start in range(0, len(picks), self.batch):
                now = picks[start : start + self.batch]
                image = self.painter.paint(self._window(frames, name, now))
                frames.put(name, now, image[: len(now)])

    def _window(self, frames: Paintable, name: str, picks: list[int]) -> Window:
        filled = [*picks, *picks[-1:] * (self.batch - len(picks))]
        count = len(filled)
        return Window(
            frames.conditions(name, filled),
            self.reference[name].expand(count, -1, -1, -1),
            self.attended.expand(count, -1, -1, -1, -1),
            self.sharpness.expand(count),
            self.noise[name].expand(count, -1, -1, -1),
        )
