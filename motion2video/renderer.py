"""Renderer: Motion in, frames of the portrait out.

Per portrait, once: the photo's face in the head frame, the warp, the reference latent and the
noise. Per frame: keypoints -> warp of the photo -> guided latent diffusion where the warp cannot
know the answer (the open mouth, closing lids) -> blend into the whole photo at its own size.

The stream contract: `init_state -> step -> flush`, one frame out for each frame in, no delay. The
noise is fixed for a clip and every frame is computed by itself, so any cut of the motion gives
the same frames, bit for bit on one device.
"""

import copy
import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, starmap
from typing import Literal, TypeVar, get_args
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, UInt8

from motion2video.drawing.canvas import Canvas
from motion2video.drawing.crops import CropStage, pictures_of
from motion2video.drawing.inside import Inside
from motion2video.drawing.layered import LayeredWarp, Sampling
from motion2video.drawing.layered_canvas import LayeredCanvas
from motion2video.drawing.places import UNIT, WINDOWS, Place
from motion2video.drawing.stage import Begun, Frames, Stage, draw
from motion2video.drawing.warp import FaceWarp
from motion2video.drawing.windows import Brush
from motion2video.geometry.basis import FaceBasis, interocular
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import Motion
from motion2video.network.autoencoder import Autoencoder
from motion2video.network.choices import Quality
from motion2video.network.compute import ComputeConfig, pick_device
from motion2video.network.denoiser import Denoiser
from motion2video.network.flow import frame_noise
from motion2video.network.painter import Painter, make_painter
from motion2video.portrait.mouth import Mouth
from motion2video.portrait.portrait import Portrait
from weights.errors import InputError, StateError

T = TypeVar("T")
Head = Literal["layers", "warp"]
_SHORT = 4  # frames a thread: a longer piece would keep the threads from everybody else
_GPU_BATCH = 5  # frames: as long as a piece of motion usually is


@dataclass(frozen=True)
class _Work:
    """What a quality is: steps of diffusion, and LayeredWarp's `sampling` and `fineness`."""

    steps: int
    sampling: Sampling
    fineness: int


_WORK: dict[Quality, _Work] = {
    "draft": _Work(0, "linear", 1),
    "live": _Work(1, "linear", 1),
    "standard": _Work(2, "cubic", 1),
    "best": _Work(2, "cubic", 2),
}


@dataclass(frozen=True)
class RenderConfig:
    """`quality` says how much work a frame is (see choices.Quality); `steps` of the diffusion are
    its own where None (0 = warp only, as a draft is at any number). `temperature` scales the noise
    that the diffusion starts from: 1 is what the network was trained with, less gives calmer, more
    even teeth. `head` "layers" turns a head in three dimensions over a background that stays,
    "warp" bends the photo (see motion2video.drawing). A photo without a usable matte is bent.
    """

    quality: Quality = "standard"
    steps: int | None = None
    temperature: float = 0.6
    head: Head = "layers"

    def __post_init__(self) -> None:
        if self.quality not in get_args(Quality):
            raise InputError(
                f"got the quality {self.quality!r}; wanted one of {', '.join(get_args(Quality))}"
            )
        if self.steps is not None and not 0 <= self.steps <= 64:
            raise InputError(f"got {self.steps} steps; wanted 0 (warp only) to 64")
        if not 0 <= self.temperature <= 1:
            raise InputError(f"got temperature {self.temperature}; wanted 0 to 1")
        if self.head not in get_args(Head):
            raise InputError(f"got the head {self.head!r}; wanted {' or '.join(get_args(Head))}")

    @property
    def work(self) -> _Work:
        """Of every frame."""
        work = _WORK[self.quality]
        if self.steps is None or self.quality == "draft":
            return work
        return dataclasses.replace(work, steps=self.steps)


@dataclass(frozen=True, eq=False)
class PreparedPortrait:
    """What a portrait needs once: its face, the stage that draws it, and of what that is made."""

    portrait: Portrait
    face: PortraitFace
    inside: Inside
    brush: Brush
    stage: Stage


class _Ticket:
    """How far a stream has come: lets a state be used once only."""

    def __init__(self) -> None:
        self.position: int | None = 0


@dataclass(frozen=True, eq=False)
class RenderState:
    """Where a stream of frames stands; made by `init_state`, used up by `step` and `flush`."""

    prepared: PreparedPortrait
    position: int
    ticket: _Ticket

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames in pixels."""
        height, width = self.prepared.portrait.image.shape[:2]
        return width, height

    @property
    def no_frames(self) -> UInt8[np.ndarray, "0 h w c"]:
        """None of its frames, which are RGBA where nothing is behind the person."""
        channels = 4 if isinstance(self.prepared.portrait.behind, str) else 3
        return np.zeros((0, *self.size[::-1], channels), np.uint8)


class Renderer:
    """The embedded renderer. Does not change after `load`; one serves any number of streams."""

    frame_size = 1
    delay_frames = 0
    memory_frames = 0  # frames before one that it depends on

    def __init__(
        self,
        config: RenderConfig,
        compute: ComputeConfig,
        basis: FaceBasis,
        autoencoder: Autoencoder,
        denoiser: Denoiser,
    ) -> None:
        self.config, self.compute = config, compute
        self.basis = basis
        self.device = pick_device(compute.device)
        for module in (autoencoder, denoiser):
            _freeze(module, self.device)
        self.autoencoder, self.denoiser = autoencoder, denoiser
        self.painter: Painter = make_painter(
            autoencoder,
            denoiser,
            config.work.steps,
            compute.backend,
            compute.precision,
            compute.compile,
            compute.workers,
        )
        self._others: dict[Quality, Renderer] = {config.quality: self}
        self._heads: WeakKeyDictionary[Portrait, tuple[tuple[Sampling, int], LayeredWarp]]
        self._heads = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._workers = compute.workers
        self._pool = ThreadPoolExecutor(self._workers, "visavis-frame")
        self.batch = _GPU_BATCH if self.device.type == "cuda" else 1

    @staticmethod
    def load(
        config: RenderConfig | None = None,
        compute: ComputeConfig | None = None,
    ) -> "Renderer":
        """The renderer with its embedded weights.

        Raises WeightsError for missing or damaged weights, DependencyError for a device or a
        package that is not there, InputError for settings that do not go together.
        """
        compute = compute or ComputeConfig()
        networks = Autoencoder.load(), Denoiser.load(attention=compute.attention)
        return Renderer(config or RenderConfig(), compute, FaceBasis.load(), *networks)

    def at(self, quality: Quality) -> "Renderer":
        """The same networks and threads at another quality."""
        if quality == self.config.quality:
            return self
        with self._lock:
            if quality not in self._others:
                other = copy.copy(self)
                other.config = dataclasses.replace(self.config, quality=quality)
                steps = other.config.work.steps
                if steps != self.config.work.steps:
                    other.painter = self.painter.taking(steps)
                self._others[quality] = other
            return self._others[quality]

    def describe(self) -> dict[str, object]:
        """What a report says of how frames were drawn."""
        return {
            "steps": self.config.work.steps,
            "device": str(self.device),
            "backend": self.painter.backend,
            "precision": self.painter.precision,
        }

    def remarks(self, portrait: Portrait) -> tuple[str, ...]:
        """Sentences for the user about a portrait. Raises as Portrait.matte."""
        if self.config.head == "layers" and portrait.matte is None:
            return (
                "the person could not be told from the background, so the whole photo bends with "
                "the head; a photo of a person before a background turns better",
            )
        return ()

    # -- the stream ------------------------------------------------------------------------

    def init_state(
        self, portrait: Portrait, seed: int = 0, driver: Motion | None = None
    ) -> RenderState:
        """Prepare a portrait and start a stream of frames of it. `driver` is the whole of a tracked
        motion that will move it, if one will: see PortraitFace.driven_by. Raises InputError for a
        portrait before something else than its own background in which nobody is seen.
        """
        face = portrait.face
        settled = PortraitFace.fit(face.landmarks, face.expression, self.basis)
        fitted = settled if driver is None else settled.driven_by(driver)
        mouth = Mouth.fit(portrait.image, face.landmarks, fitted.neutral)
        brush = self._brush(portrait, seed)
        inside = Inside.of(mouth, portrait.image, face.landmarks)
        stage = self._stage(portrait, settled, inside, brush)
        head = self._heads.get(portrait)
        tracked = driver is not None and driver.rest is not None
        if head is not None and not tracked:  # a tracked head is where it was
            fitted = fitted.cut_at(head[1].crown(), face.landmarks, len(portrait.image))
        return RenderState(PreparedPortrait(portrait, fitted, inside, brush, stage), 0, _Ticket())

    def _stage(
        self, portrait: Portrait, settled: PortraitFace, inside: Inside, brush: Brush
    ) -> Stage:
        """In layers where the person is known, bent elsewhere; on a GPU where there is one."""
        marks, mesh = portrait.face.landmarks, self.basis.triangles
        matte = portrait.matte if self.config.head == "layers" else None
        gpu = self.device if self.device.type == "cuda" else None
        if matte is None:
            if portrait.behind is not None:
                raise InputError(
                    "the person could not be told from the background, so it cannot be another one;"
                    " give a photo of a person before a background, or keep its own"
                )
            bent = FaceWarp(portrait.image, marks, mesh)
            return (
                CropStage(bent, inside, brush) if gpu is None else Canvas(bent, inside, brush, gpu)
            )
        head = self._head(portrait, settled, matte)
        if gpu is None:
            return CropStage(head, inside, brush)
        return LayeredCanvas(head, inside, brush, gpu)

    def _head(
        self, portrait: Portrait, settled: PortraitFace, matte: Float[np.ndarray, "h w"]
    ) -> LayeredWarp:
        """The portrait's layers and head, kept while the portrait is held and drawn at the same
        quality.
        """
        work = self.config.work
        kind = (work.sampling, work.fineness)
        made = self._heads.get(portrait)
        if made is None or made[0] != kind:
            marks, behind = portrait.face.landmarks, portrait.behind
            head = LayeredWarp(portrait.image, marks, self.basis, matte, *kind, settled.own)
            made = kind, head if behind is None else head.over(behind)
            with self._lock:
                self._heads[portrait] = made
        return made[1]

    def _brush(self, portrait: Portrait, seed: int) -> Brush:
        marks, reference, noise = portrait.face.landmarks, {}, {}
        channels = self.autoencoder.config.latent_channels
        with torch.inference_mode():
            for name, (width, height) in WINDOWS.items():
                seen = pictures_of([Place.of(name, marks).cut(portrait.image)], self.device)
                reference[name] = self.autoencoder.encode(seen)
                one = frame_noise(seed, len(noise), 1, (channels, height, width))
                noise[name] = (one * self.config.temperature).to(self.device)
            keys = [self.denoiser.embed_portrait(one) for one in reference.values()]
        sharpness = min(1.0, float(interocular(marks)) / UNIT)
        return Brush(
            self.painter,
            reference,
            torch.cat(keys, 3),
            torch.tensor([sharpness], device=self.device),
            noise,
            self.batch,
            self.config.work.steps == 0,
        )

    def step(
        self, state: RenderState, motion: Motion
    ) -> tuple[RenderState, UInt8[np.ndarray, "T h w c"]]:
        """The frames of a piece of motion. Raises StateError for a state already used."""
        self._check(state)
        prepared, submit = state.prepared, self._pool.submit
        if self.batch == 1 < self._workers and len(motion) <= _SHORT * self._workers:
            # Frames that do not divide by the threads would leave some without work at the end; so
            # the last ones are warped first, and painted when the others are nearly done.
            marks, eyes = prepared.face.keypoints(motion)
            each = [(marks[i : i + 1], eyes[i : i + 1]) for i in range(len(marks))]
            whole = len(each) - len(each) % self._workers
            begun = [*starmap(partial(submit, prepared.stage.begin), each[whole:])]
            drawn = [*starmap(partial(submit, draw, prepared.stage), each[:whole])]
            drawn += [submit(_finish, one) for one in begun]
            frames = [frame for part in drawn for frame in part.result()]
        else:
            frames = list(chain.from_iterable(self._in_order(self._jobs(prepared, motion))))
        ahead = self._advance(state, len(motion))
        return ahead, np.stack(frames) if frames else state.no_frames

    def flush(self, state: RenderState) -> tuple[RenderState, UInt8[np.ndarray, "T h w c"]]:
        """End the stream: this renderer holds no frame back, so none is left."""
        self._check(state)
        state.ticket.position = None
        return dataclasses.replace(state, position=-1), state.no_frames

    def stream(
        self,
        portrait: Portrait,
        motions: Iterable[Motion],
        seed: int = 0,
        driver: Motion | None = None,
    ) -> Iterator[UInt8[np.ndarray, "h w c"]]:
        """Frames one at a time, as the motion comes; memory does not grow with the length. The
        portrait is prepared by the call, motion is read a few frames ahead of those that are taken,
        so that all threads have work.
        """
        prepared = self.init_state(portrait, seed, driver).prepared
        work = (job for motion in motions for job in self._jobs(prepared, motion))
        return chain.from_iterable(self._in_order(work))

    def _jobs(self, prepared: PreparedPortrait, motion: Motion) -> Iterator[Callable[[], Frames]]:
        """The work for a piece of motion, a batch of frames at a time."""
        marks, open_eyes = prepared.face.keypoints(motion)
        for start in range(0, len(marks), self.batch):
            part = slice(start, start + self.batch)
            yield partial(draw, prepared.stage, marks[part], open_eyes[part])

    def _in_order(self, work: Iterable[Callable[[], T]]) -> Iterator[T]:
        """What the jobs return, in their order, with all threads at work."""
        if self._workers == 1:
            for job in work:
                yield job()
            return
        waiting: deque[Future[T]] = deque()
        try:
            for job in work:
                waiting.append(self._pool.submit(job))
                if len(waiting) > self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()

    # -- state -----------------------------------------------------------------------------

    def _check(self, state: RenderState) -> None:
        if state.ticket.position != state.position:
            raise StateError(
                "this render state was used already or its stream has ended: "
                "go on from the state that the last step returned"
            )

    def _advance(self, state: RenderState, frames: int) -> RenderState:
        state.ticket.position = state.position + frames
        if frames == 0:
            return state
        return dataclasses.replace(state, position=state.position + frames)


def _finish(begun: Future[Begun]) -> Frames:
    scene = begun.result()
    scene.paint()
    return scene.paste()


def _freeze(module: torch.nn.Module, device: torch.device) -> None:
    module.to(device=device, memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]
    module.eval().requires_grad_(False)
