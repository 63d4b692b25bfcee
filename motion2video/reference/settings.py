"""How a family draws: what a user may choose, and what follows from it. Light: no PyTorch."""

from dataclasses import dataclass
from typing import Literal, get_args

from motion2video.reference.families import BatchNorm, Family
from weights.errors import InputError

Scheduler = Literal["ddim", "dpm", "lcm"]
"""DDIM as the checkpoints were trained for; DPM-Solver++ needs some 12 steps where DDIM takes 25,
at a little less detail; LCM 4 to 8 without guidance, for weights that were distilled for it
(others blur).
"""
Offload = Literal["none", "model", "sequential"]
"""Which networks wait in the computer's memory: none; all but the one at work; all but the layer at
work, which is several times slower.
"""
MULTIPLE = 64  # pixels: the U-Net halves a latent, of 8 pixels, three times
_ROWS = 8  # frames whose attention is computed at a time where it is sliced
_ODD_RANGE = (-1.0, 509.0)  # what the authors' scripts feed a guider in `window` mode
_PREVIEW_STEPS = 3  # times fewer


@dataclass(frozen=True)
class ReferenceConfig:
    """None is the family's own. `guidance` 1 is none; it is done on the share `guidance_interval`
    of the steps, 0 to 1 from the first to the last. `window` frames are drawn together, of which
    `overlap` again with the next ones; `together` windows advance at a time. `preview` decodes by
    the tiny autoencoder, after a third of the steps. `size` is the longer side that is drawn, in
    pixels. `batch_norm` "window" is what the authors' scripts do, see docs/checkpoints.md.
    """

    steps: int | None = None
    guidance: float | None = None
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    scheduler: Scheduler = "ddim"
    window: int | None = None
    overlap: int | None = None
    together: int = 1
    size: int = 512
    preview: bool = False
    batch_norm: BatchNorm = "eval"
    offload: Offload = "none"
    slicing: bool = False

    def __post_init__(self) -> None:
        for name, wanted in (
            ("scheduler", Scheduler),
            ("batch_norm", BatchNorm),
            ("offload", Offload),
        ):
            if getattr(self, name) not in get_args(wanted):
                raise InputError(
                    f"got {name} {getattr(self, name)!r}; wanted {', '.join(get_args(wanted))}"
                )
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise InputError(f"got {self.steps} steps; wanted 1 to 1000")
        if self.guidance is not None and not 1 <= self.guidance <= 30:
            raise InputError(f"got the guidance {self.guidance}; wanted 1 (none) to 30")
        first, last = self.guidance_interval
        if not 0 <= first <= last <= 1:
            raise InputError(
                f"got the guidance interval {first:g},{last:g}; wanted two numbers from 0 to 1, "
                "the smaller one first"
            )
        if self.together < 1:
            raise InputError(f"got {self.together} windows together; wanted at least 1")
        if self.size < MULTIPLE or self.size % MULTIPLE:
            raise InputError(f"got the size {self.size}; wanted a multiple of {MULTIPLE} pixels")

    @property
    def rows(self) -> int | None:
        """Rows of a batch whose attention is computed at a time; None: all."""
        return _ROWS if self.slicing else None

    def sampling(self, family: Family) -> "Sampling":
        """All that is chosen for a family. Raises InputError for windows that it cannot draw."""
        steps, guidance = family.steps, family.guidance
        if self.scheduler == "lcm":
            steps, guidance = 8, 1.0
        elif self.scheduler == "dpm":
            steps = (steps + 1) // 2
        if self.preview:
            steps = max(1, steps // _PREVIEW_STEPS)
        return Sampling(
            self.scheduler,
            steps if self.steps is None else self.steps,
            guidance if self.guidance is None else self.guidance,
            self.guidance_interval,
            Windows(
                family.window if self.window is None else self.window,
                family.overlap if self.overlap is None else self.overlap,
                self.together,
                family.shapes.unet.frames,
            ),
        )

    def pose_range(self, family: Family) -> tuple[float, float]:
        """The numbers that black and white of a pose image become."""
        normalised = family.shapes.guider.kind == "multi_scale"
        return _ODD_RANGE if normalised and self.batch_norm == "window" else family.pose_range


@dataclass(frozen=True)
class Windows:
    """`length` frames a window, `overlap` of them also in the next, `together` windows a group. No
    window wraps around to the first frames. `longest` is what the motion modules can count.
    """

    length: int
    overlap: int
    together: int
    longest: int

    def __post_init__(self) -> None:
        if not 1 <= self.length <= self.longest:
            raise InputError(f"got windows of {self.length} frames; wanted 1 to {self.longest}")
        if not 0 <= 2 * self.overlap <= self.length:
            raise InputError(
                f"got an overlap of {self.overlap} frames; wanted 0 to half a window of "
                f"{self.length}"
            )

    @property
    def stride(self) -> int:
        """Frames from one window to the next."""
        return self.length - self.overlap

    @property
    def fresh(self) -> int:
        """Frames that a group draws for good."""
        return self.together * self.stride

    @property
    def span(self) -> int:
        """Frames of a group, those included that the next one draws again."""
        return self.fresh + self.overlap

    def of(self, frames: int) -> list[slice]:
        """The windows of a group of so many frames; the last may be shorter at the end of a
        video.
        """
        starts = range(0, max(1, frames - self.overlap), self.stride)
        return [slice(start, min(start + self.length, frames)) for start in starts]

    def weights(self, frames: int) -> list[float]:
        """How much each frame of a window counts: less towards its ends, where the next one counts
        as much more.
        """
        rise = [min(1.0, (i + 1) / (self.overlap + 1)) for i in range(frames)]
        fall = rise[::-1] if frames == self.length else [1.0] * frames
        return [min(a, b) for a, b in zip(rise, fall, strict=True)]


@dataclass(frozen=True)
class Sampling:
    """How frames come out of noise; see ReferenceConfig."""

    scheduler: Scheduler
    steps: int
    guidance: float
    interval: tuple[float, float]
    windows: Windows

    def guided(self, step: int) -> bool:
        """Whether a step, from 0, is guided."""
        first, last = self.interval
        return self.guidance > 1 and first <= step / self.steps < last

    @property
    def passes(self) -> int:
        """Runs of the denoising U-Net for a window, with and without the condition."""
        return self.steps + sum(map(self.guided, range(self.steps)))


def working_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """(width, height) at which a picture is drawn: `longest` on its longer side, the other in
    proportion, both multiples of MULTIPLE.
    """
    scale = longest / max(width, height)
    wide, high = (max(MULTIPLE, round(s * scale / MULTIPLE) * MULTIPLE) for s in (width, height))
    return wide, high
