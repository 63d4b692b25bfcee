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
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, starmap
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from motion2video.drawing.areas import (
    DARK,
    LATENT_SIZE,
    WINDOWS,
    eyes_alpha,
    lid_shares,
    lip_shares,
    mouth_alpha,
    shade_cavity,
    window_corners,
)
from motion2video.drawing.canvas import Canvas, Sheet
from motion2video.drawing.layered import LayeredWarp
from motion2video.drawing.warp import CROP_SIZE, FaceWarp, Warped
from motion2video.geometry.basis import FaceBasis
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import Motion
from motion2video.network.autoencoder import Autoencoder
from motion2video.network.compute import ComputeConfig, pick_device
from motion2video.network.denoiser import FACTOR, Denoiser
from motion2video.network.flow import frame_noise
from motion2video.network.painter import Painter, Window, make_painter
from motion2video.portrait.portrait import Portrait
from weights.errors import InputError, StateError

T = TypeVar("T")
Head = Literal["layers", "warp"]
Frames = list[UInt8[np.ndarray, "h w 3"]]
_SHORT = 4  # frames a thread: a longer piece would keep the threads from everybody else
_GPU_BATCH = 5  # frames: as long as a piece of motion usually is


@dataclass(frozen=True)
class RenderConfig:
    """`steps` of the diffusion (0 = warp only); `temperature` scales the noise it starts from:
    1 is what the network was trained with, less gives calmer, more even teeth. `cavity` 0..1 is
    how much of the lip colour that the network leaves inside an open mouth is shaded. `head`
    "layers" turns a head in three dimensions over a background that stays; "warp" bends the photo
    (see motion2video.drawing), all of it on the GPU where there is one. A photo without a usable
    matte is bent.
    """

    steps: int = 2
    temperature: float = 0.6
    cavity: float = 0.6
    head: Head = "layers"

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= 64:
            raise InputError(f"got {self.steps} steps; wanted 0 (warp only) to 64")
        if not 0 <= self.temperature <= 1:
            raise InputError(f"got temperature {self.temperature}; wanted 0 to 1")
        if not 0 <= self.cavity <= 1:
            raise InputError(f"got cavity {self.cavity}; wanted 0 to 1")
        if self.head not in get_args(Head):
            raise InputError(f"got the head {self.head!r}; wanted {' or '.join(get_args(Head))}")


@dataclass(frozen=True, eq=False)
class PreparedPortrait:
    """What a portrait needs once: face, warp, its latent [1, c, 32, 32], the keys and values
    [1, 2, heads, k, e] that the network asks, its sharpness [1], and the clip's noise. `canvas`
    is the photo on a GPU.
    """

    portrait: Portrait
    face: PortraitFace
    warp: FaceWarp
    canvas: Canvas | None
    reference: Tensor
    attended: Tensor
    sharpness: Tensor
    noise: Tensor


@dataclass(eq=False)
class Crops:
    """A frame on its way: the warped crop; per window the area to paint and its corner in latents;
    and the picture being painted.
    """

    warped: Warped
    areas: dict[str, UInt8[np.ndarray, "s s"]]
    corners: dict[str, tuple[int, int]]
    painted: UInt8[np.ndarray, "s s 3"]


class _Ledger:
    """How far a stream has come: lets a state be used once only."""

    def __init__(self) -> None:
        self.position: int | None = 0


@dataclass(frozen=True, eq=False)
class RenderState:
    """Where a stream of frames stands; made by `init_state`, used up by `step` and `flush`."""

    prepared: PreparedPortrait
    position: int
    ledger: _Ledger

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames in pixels."""
        height, width = self.prepared.portrait.image.shape[:2]
        return width, height


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
            config.steps,
            compute.backend,
            compute.precision,
            compute.compile,
            compute.workers,
        )
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

    def draft(self) -> "Renderer":
        """The same networks and threads, but only the warp is drawn (`steps` 0)."""
        other = copy.copy(self)
        other.config = dataclasses.replace(self.config, steps=0)
        return other

    # -- the stream ------------------------------------------------------------------------

    def init_state(
        self, portrait: Portrait, seed: int = 0, driver: Motion | None = None
    ) -> RenderState:
        """Prepare a portrait and start a stream of frames of it. `driver` is the whole of a tracked
        motion that will move it, if one will: see PortraitFace.driven_by.
        """
        face = portrait.face
        fitted = PortraitFace.fit(face.landmarks, face.expression, self.basis)
        if driver is not None:
            fitted = fitted.driven_by(driver)
        warp = self._warp_of(portrait)
        with torch.inference_mode():
            reference = self.autoencoder.encode(self._pictures([warp.crop_image]))
            attended = self.denoiser.embed_portrait(reference)
        channels = self.autoencoder.config.latent_channels
        noise = frame_noise(seed, 0, 1, (channels, LATENT_SIZE, LATENT_SIZE))
        noise = (noise * self.config.temperature).to(self.device)
        sharpness = torch.tensor([min(1.0, warp.crop.side / CROP_SIZE)], device=self.device)
        on_gpu = self.device.type == "cuda" and not isinstance(warp, LayeredWarp)
        canvas = Canvas(warp, self.device) if on_gpu else None
        prepared = PreparedPortrait(
            portrait, fitted, warp, canvas, reference, attended, sharpness, noise
        )
        return RenderState(prepared, 0, _Ledger())

    def _warp_of(self, portrait: Portrait) -> FaceWarp:
        marks, triangles = portrait.face.landmarks, self.basis.triangles
        matte = portrait.matte if self.config.head == "layers" else None
        if matte is None:
            return FaceWarp(portrait.image, marks, triangles)
        return LayeredWarp(portrait.image, marks, triangles, matte)

    def step(
        self, state: RenderState, motion: Motion
    ) -> tuple[RenderState, UInt8[np.ndarray, "T h w 3"]]:
        """The frames of a piece of motion. Raises StateError for a state already used."""
        self._check(state)
        prepared, submit = state.prepared, self._pool.submit
        if self.batch == 1 < self._workers and len(motion) <= _SHORT * self._workers:
            # Frames that do not divide by the threads would leave some without work at the end; so
            # the last ones are warped first, and painted when the others are nearly done.
            marks, eyes = prepared.face.keypoints(motion)
            each = [(marks[i : i + 1], eyes[i : i + 1]) for i in range(len(marks))]
            whole = len(each) - len(each) % self._workers
            begun = [*starmap(partial(submit, self.warp, prepared), each[whole:])]
            drawn = [*starmap(partial(submit, self.paint, prepared), each[:whole])]
            drawn += [submit(self._finish, prepared, one) for one in begun]
            frames = [frame for part in drawn for frame in part.result()]
        else:
            frames = list(chain.from_iterable(self._in_order(self._jobs(prepared, motion))))
        ahead = self._advance(state, len(motion))
        width, height = state.size
        empty = np.zeros((0, height, width, 3), np.uint8)
        return ahead, np.stack(frames) if frames else empty

    def flush(self, state: RenderState) -> tuple[RenderState, UInt8[np.ndarray, "T h w 3"]]:
        """End the stream: this renderer holds no frame back, so none is left."""
        self._check(state)
        state.ledger.position = None
        width, height = state.size
        return dataclasses.replace(state, position=-1), np.zeros((0, height, width, 3), np.uint8)

    def stream(
        self,
        portrait: Portrait,
        motions: Iterable[Motion],
        seed: int = 0,
        driver: Motion | None = None,
    ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
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
            yield partial(self.paint, prepared, marks[part], open_eyes[part])

    def _finish(self, prepared: PreparedPortrait, begun: Future[list[Crops] | Sheet]) -> Frames:
        crops = begun.result()
        self.diffuse(prepared, crops)
        return self.paste(prepared, crops)

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

    # -- a few frames ----------------------------------------------------------------------

    def paint(
        self,
        prepared: PreparedPortrait,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> Frames:
        """n frames from their keypoints in the photo's pixels (see PortraitFace.keypoints).

        On a GPU they are filled up to `batch`: its kernels may round otherwise for another number.
        """
        count = len(landmarks)
        if prepared.canvas is not None and 0 < count < self.batch:
            picks = [*range(count), *[count - 1] * (self.batch - count)]
            landmarks, open_eyes = landmarks[picks], open_eyes[picks]
        crops = self.warp(prepared, landmarks, open_eyes)
        self.diffuse(prepared, crops)
        return self.paste(prepared, crops)[:count]

    def warp(
        self,
        prepared: PreparedPortrait,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> list[Crops] | Sheet:
        """First: the warped crops, and where the network shall paint."""
        if prepared.canvas is not None:
            return prepared.canvas.warp(landmarks, open_eyes)
        points = prepared.warp.crop.to_crop(landmarks[..., :2])
        before = prepared.warp.crop.to_crop(open_eyes[..., :2])
        unit = prepared.warp.crop_units(landmarks)
        lips, lids = lip_shares(points, unit), lid_shares(points, before)
        corners = window_corners(points, unit)
        crops = []
        for i, marks in enumerate(landmarks):
            warped = prepared.warp.warp(marks, open_eyes[i])
            areas = {
                "mouth": mouth_alpha(points[i], lips[i]),
                "eyes": eyes_alpha(points[i], before[i], lids[i]),
            }
            own = {name: (int(at[i, 0]), int(at[i, 1])) for name, at in corners.items()}
            crops.append(Crops(warped, areas, own, warped.image.copy()))
        return crops

    @torch.inference_mode()
    def diffuse(self, prepared: PreparedPortrait, crops: list[Crops] | Sheet) -> None:
        """Second: the network paints into what was warped, mouths and eyes a batch each."""
        if isinstance(crops, Sheet):
            self._diffuse_sheet(prepared, crops)
            return
        if self.config.steps == 0:
            for crop in crops:
                crop.painted[crop.warped.known == 0] = DARK
            return
        for name, (width, height) in WINDOWS.items():
            chosen = [crop for crop in crops if crop.areas[name].any()]
            if not chosen:
                continue
            image = self.painter.paint(self.window(prepared, chosen, name))[: len(chosen)]
            pictures = rearrange(image, "n c h w -> n h w c").mul(255).round().byte().cpu().numpy()
            for crop, picture in zip(chosen, pictures, strict=True):
                crop.painted[_pixels(crop.corners[name], width, height)] = picture
        for crop in crops:
            if crop.areas["mouth"].any():
                crop.painted = shade_cavity(crop.painted, crop.warped, self.config.cavity)

    def _diffuse_sheet(self, prepared: PreparedPortrait, sheet: Sheet) -> None:
        canvas = prepared.canvas
        assert canvas is not None
        if self.config.steps == 0:
            canvas.darken(sheet)
            return
        for name in WINDOWS:
            picks = np.flatnonzero(sheet.chosen[name]).tolist()
            for start in range(0, len(picks), self.batch):
                now = picks[start : start + self.batch]
                image = self.painter.paint(self._sheet_window(prepared, sheet, name, now))
                canvas.put(sheet, name, now, image[: len(now)])
        if sheet.chosen["mouth"].any() and self.config.cavity > 0:
            canvas.shade(sheet, self.config.cavity)

    def paste(self, prepared: PreparedPortrait, crops: list[Crops] | Sheet) -> Frames:
        """Third: the photo at its own size, warped, with what was painted in it."""
        if isinstance(crops, Sheet):
            assert prepared.canvas is not None
            return prepared.canvas.paste(crops, self.config.steps > 0)
        return [
            prepared.warp.paste(
                crop.warped,
                crop.painted,
                np.where(crop.warped.known == 0, 255, 0).astype(np.uint8)
                if self.config.steps == 0
                else np.maximum(crop.areas["mouth"], crop.areas["eyes"]),
            )
            for crop in crops
        ]

    @torch.inference_mode()
    def window(self, prepared: PreparedPortrait, crops: list[Crops] | Sheet, name: str) -> Window:
        """What the network is given for the mouth or the eyes of several crops, filled up to
        `batch`, so that all windows have one shape.
        """
        if isinstance(crops, Sheet):
            return self._sheet_window(prepared, crops, name, list(range(len(crops))))
        width, height = WINDOWS[name]
        filled = [*crops, *crops[-1:] * (self.batch - len(crops))]
        planes = []
        for crop in filled:
            pixels, warped = _pixels(crop.corners[name], width, height), crop.warped
            parts = (warped.image[pixels], warped.known[pixels][..., None], warped.features[pixels])
            planes.append(np.concatenate(parts, -1))
        corners = [crop.corners[name] for crop in filled]
        return self._window(prepared, self._pictures(planes), corners, name)

    def _sheet_window(
        self, prepared: PreparedPortrait, sheet: Sheet, name: str, picks: list[int]
    ) -> Window:
        assert prepared.canvas is not None
        filled = [*picks, *picks[-1:] * (self.batch - len(picks))]
        corners = [(int(x), int(y)) for x, y in sheet.corners[name][filled]]
        planes = prepared.canvas.conditions(sheet, name, filled)
        return self._window(prepared, planes, corners, name)

    def _window(
        self, prepared: PreparedPortrait, planes: Tensor, corners: list[tuple[int, int]], name: str
    ) -> Window:
        width, height = WINDOWS[name]
        cuts = [np.s_[:, :, y : y + height, x : x + width] for x, y in corners]
        return Window(
            planes,
            torch.cat([prepared.reference[cut] for cut in cuts]),
            prepared.attended.expand(len(corners), -1, -1, -1, -1),
            prepared.sharpness.expand(len(corners)),
            torch.cat([prepared.noise[cut] for cut in cuts]),
        )

    def _pictures(self, images: list[UInt8[np.ndarray, "h w c"]]) -> Float[Tensor, "n c h w"]:
        planes = torch.from_numpy(np.stack(images)).to(self.device)
        planes = rearrange(planes, "n h w c -> n c h w").float() / 255
        return planes.contiguous(memory_format=torch.channels_last)

    # -- state -----------------------------------------------------------------------------

    def _check(self, state: RenderState) -> None:
        if state.ledger.position != state.position:
            raise StateError(
                "this render state was used already or its stream has ended: "
                "go on from the state that the last step returned"
            )

    def _advance(self, state: RenderState, frames: int) -> RenderState:
        state.ledger.position = state.position + frames
        if frames == 0:
            return state
        return dataclasses.replace(state, position=state.position + frames)


def _pixels(corner: tuple[int, int], width: int, height: int) -> tuple[slice, slice]:
    x, y = corner
    return np.s_[y * FACTOR : (y + height) * FACTOR, x * FACTOR : (x + width) * FACTOR]


def _freeze(module: torch.nn.Module, device: torch.device) -> None:
    module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.eval().requires_grad_(False)
