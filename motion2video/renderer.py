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
from typing import TypeVar

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from motion2video.autoencoder import Autoencoder
from motion2video.canvas import Canvas
from motion2video.compute import ComputeConfig, pick_device
from motion2video.denoiser import FACTOR, Denoiser
from motion2video.flow import frame_noise
from motion2video.geometry import FaceBasis, interocular
from motion2video.motion import Motion
from motion2video.painter import Painter, Window, make_painter
from motion2video.portrait import Portrait
from motion2video.retarget import PortraitFace
from motion2video.warp import (
    CROP_SIZE,
    INNER_LIPS,
    LEFT_EYE,
    LID_MIDDLES,
    OUTER_LIPS,
    RIGHT_EYE,
    FaceWarp,
    Warped,
    fill_polygon,
    lid_closure,
)
from weights.errors import InputError, StateError

T = TypeVar("T")
Frames = list[UInt8[np.ndarray, "h w 3"]]
LATENT_SIZE = CROP_SIZE // FACTOR
_WINDOWS = {"mouth": (20, 20), "eyes": (24, 12)}  # latent positions (width, height)
_GPU_BATCH = 5  # frames: as long as a piece of motion usually is
_DARK = (38, 16, 16)  # the inside of a mouth that no network painted
_LIP_LIKE = 40.0  # distance in RGB at which a colour is no longer the lips'
_LID_SHARE = 0.5  # the warp keeps the skin, the network knows the lid: half of each
_LASH_SHARE = 0.9  # where lids meet, a warp is torn


@dataclass(frozen=True)
class RenderConfig:
    """`steps` of the diffusion (0 = warp only); `temperature` scales the noise it starts from:
    1 is what the network was trained with, less gives calmer, more even teeth. `cavity` 0..1 is
    how much of the lip colour that the network leaves inside an open mouth is shaded.
    """

    steps: int = 2
    temperature: float = 0.6
    cavity: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= 64:
            raise InputError(f"got {self.steps} steps; wanted 0 (warp only) to 64")
        if not 0 <= self.temperature <= 1:
            raise InputError(f"got temperature {self.temperature}; wanted 0 to 1")
        if not 0 <= self.cavity <= 1:
            raise InputError(f"got cavity {self.cavity}; wanted 0 to 1")


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

    def init_state(self, portrait: Portrait, seed: int = 0) -> RenderState:
        """Prepare a portrait and start a stream of frames of it."""
        face = portrait.face
        fitted = PortraitFace.fit(face.landmarks, face.expression, self.basis)
        warp = FaceWarp(portrait.image, face.landmarks, self.basis.triangles)
        with torch.inference_mode():
            reference = self.autoencoder.encode(self._pictures([warp.crop_image]))
            attended = self.denoiser.embed_portrait(reference)
        channels = self.autoencoder.config.latent_channels
        noise = frame_noise(seed, 0, 1, (channels, LATENT_SIZE, LATENT_SIZE))
        noise = (noise * self.config.temperature).to(self.device)
        sharpness = torch.tensor([min(1.0, warp.crop.side / CROP_SIZE)], device=self.device)
        canvas = Canvas(warp, self.device) if self.device.type == "cuda" else None
        prepared = PreparedPortrait(
            portrait, fitted, warp, canvas, reference, attended, sharpness, noise
        )
        return RenderState(prepared, 0, _Ledger())

    def step(
        self, state: RenderState, motion: Motion
    ) -> tuple[RenderState, UInt8[np.ndarray, "T h w 3"]]:
        """The frames of a piece of motion. Raises StateError for a state already used."""
        self._check(state)
        work = self._jobs(state.prepared, motion)
        frames = [frame for frames in self._in_order(work) for frame in frames]
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
        self, portrait: Portrait, motions: Iterable[Motion], seed: int = 0
    ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Frames one at a time, as the motion comes; memory does not grow with the length.

        Motion is read a few frames ahead, so that all threads have work.
        """
        prepared = self.init_state(portrait, seed).prepared
        work = (job for motion in motions for job in self._jobs(prepared, motion))
        for frames in self._in_order(work):
            yield from frames

    def _jobs(self, prepared: PreparedPortrait, motion: Motion) -> Iterator[Callable[[], Frames]]:
        """The work for a piece of motion, a batch of frames at a time."""
        marks, open_eyes = prepared.face.keypoints(motion)
        for start in range(0, len(marks), self.batch):
            part = slice(start, start + self.batch)
            yield partial(self.paint, prepared, marks[part], open_eyes[part])

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
        """n frames from their keypoints in the photo's pixels (see PortraitFace.keypoints)."""
        crops = self.warp(prepared, landmarks, open_eyes)
        self.diffuse(prepared, crops)
        return self.paste(prepared, crops)

    def warp(
        self,
        prepared: PreparedPortrait,
        landmarks: Float[np.ndarray, "n 478 3"],
        open_eyes: Float[np.ndarray, "n 478 3"],
    ) -> list[Crops]:
        """First: the warped crops, and where the network shall paint."""
        crops = []
        for marks, before in zip(landmarks, open_eyes, strict=True):
            warped = prepared.warp.warp(marks, before)
            points = prepared.warp.crop.to_crop(marks[:, :2])
            unit = float(interocular(marks)) * CROP_SIZE / prepared.warp.crop.side
            areas = {
                "mouth": mouth_alpha(points, unit),
                "eyes": eyes_alpha(points, prepared.warp.crop.to_crop(before[:, :2])),
            }
            centres = {
                "mouth": points[OUTER_LIPS].mean(0) + np.array([0, 0.1 * unit]),
                "eyes": points[RIGHT_EYE + LEFT_EYE].mean(0),
            }
            corners = {name: _corner(centres[name], *_WINDOWS[name]) for name in _WINDOWS}
            crops.append(Crops(warped, areas, corners, warped.image.copy()))
        return crops

    def diffuse(self, prepared: PreparedPortrait, crops: list[Crops]) -> None:
        """Second: the network paints into `crop.painted`, mouths and eyes a batch each."""
        if self.config.steps == 0:
            for crop in crops:
                crop.painted[crop.warped.known == 0] = _DARK
            return
        for name, (width, height) in _WINDOWS.items():
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

    def paste(self, prepared: PreparedPortrait, crops: list[Crops]) -> Frames:
        """Third: the photo at its own size, warped, with what was painted in it."""
        alphas = [
            np.where(crop.warped.known == 0, 255, 0).astype(np.uint8)
            if self.config.steps == 0
            else np.maximum(crop.areas["mouth"], crop.areas["eyes"])
            for crop in crops
        ]
        if prepared.canvas is not None:
            return prepared.canvas.paste(
                [crop.warped for crop in crops], [crop.painted for crop in crops], alphas
            )
        return [
            prepared.warp.paste(crop.warped, crop.painted, alpha)
            for crop, alpha in zip(crops, alphas, strict=True)
        ]

    @torch.inference_mode()
    def window(self, prepared: PreparedPortrait, crops: list[Crops], name: str) -> Window:
        """What the network is given for the mouth or the eyes of several crops, filled up to
        `batch`, so that all windows have one shape.
        """
        width, height = _WINDOWS[name]
        filled = [*crops, *crops[-1:] * (self.batch - len(crops))]
        planes, references, noises = [], [], []
        for crop in filled:
            x, y = crop.corners[name]
            pixels = _pixels((x, y), width, height)
            warped, latents = crop.warped, np.s_[:, :, y : y + height, x : x + width]
            parts = (warped.image[pixels], warped.known[pixels][..., None], warped.features[pixels])
            planes.append(np.concatenate(parts, -1))
            references.append(prepared.reference[latents])
            noises.append(prepared.noise[latents])
        return Window(
            self._pictures(planes),
            torch.cat(references),
            prepared.attended.expand(len(filled), -1, -1, -1, -1),
            prepared.sharpness.expand(len(filled)),
            torch.cat(noises),
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


def mouth_alpha(points: Float[np.ndarray, "478 2"], unit: float) -> UInt8[np.ndarray, "s s"]:
    """Where the network paints around the mouth: all of an open mouth, the lips as it opens.

    `points` in crop pixels, `unit` pixels an interocular distance. Empty for closed lips, whose
    photo is better than any network's.
    """
    gap = float(np.linalg.norm(points[13] - points[14])) / unit
    inner = fill_polygon(points[INNER_LIPS])
    if gap < 0.004:
        return np.zeros_like(inner)
    inner = cv2.GaussianBlur(cv2.dilate(inner, np.ones((3, 3), np.uint8)), (0, 0), 1.2)
    lips = fill_polygon(points[OUTER_LIPS])
    lips = cv2.GaussianBlur(lips, (0, 0), 2.5)
    share = np.clip((gap - 0.03) / 0.12, 0, 1) * 0.6
    return np.maximum(inner, (lips * share).astype(np.uint8))


def shade_cavity(
    painted: UInt8[np.ndarray, "s s 3"], warped: Warped, amount: float
) -> UInt8[np.ndarray, "s s 3"]:
    """Darken what has the lips' own colour inside an open mouth: no lip is there, so it is the
    shaded cavity that a network which is not sure has painted over. Teeth keep their light.
    """
    hole = (warped.known == 0).astype(np.uint8)
    lips = (warped.features[..., 1] > 127) & (cv2.dilate(hole, np.ones((5, 5), np.uint8)) == 0)
    if amount == 0 or not hole.any() or not lips.any():
        return painted
    colours = painted.astype(np.float32)
    away = np.linalg.norm(colours - np.median(colours[lips], 0), axis=-1)
    depth = np.clip(cv2.distanceTransform(hole, cv2.DIST_L2, 3) / 1.5, 0, 1)
    shade = cv2.GaussianBlur(amount * np.exp(-((away / _LIP_LIKE) ** 2)) * depth, (0, 0), 0.8)
    return (colours * (1 - shade[..., None])).round().astype(np.uint8)


def eyes_alpha(
    points: Float[np.ndarray, "478 2"], open_eyes: Float[np.ndarray, "478 2"]
) -> UInt8[np.ndarray, "s s"]:
    """Where the network paints around the eyes: as far as the lids have closed."""
    out = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    for eye, (top, bottom) in zip((RIGHT_EYE, LEFT_EYE), LID_MIDDLES, strict=True):
        shut = np.clip((lid_closure(points, open_eyes, top, bottom) - 0.15) / 0.35, 0, 1)
        if shut > 0:
            area = np.maximum(fill_polygon(points[eye]), fill_polygon(open_eyes[eye]))
            soft = cv2.GaussianBlur(cv2.dilate(area, np.ones((5, 5), np.uint8)), (0, 0), 2.0)
            out = np.maximum(out, (soft * shut * _LID_SHARE).astype(np.uint8))
            line = cv2.dilate(fill_polygon(points[eye]), np.ones((3, 3), np.uint8))
            line = cv2.GaussianBlur(line, (0, 0), 1.2)
            out = np.maximum(out, (line * shut * _LASH_SHARE).astype(np.uint8))
    return out


def _corner(centre: Float[np.ndarray, "2"], width: int, height: int) -> tuple[int, int]:
    """Where a window of latents around `centre` (crop pixels) starts."""
    x, y = (
        int(np.clip(round(float(c) / FACTOR - length / 2), 0, LATENT_SIZE - length))
        for c, length in zip(centre, (width, height), strict=True)
    )
    return x, y


def _pixels(corner: tuple[int, int], width: int, height: int) -> tuple[slice, slice]:
    x, y = corner
    return np.s_[y * FACTOR : (y + height) * FACTOR, x * FACTOR : (x + width) * FACTOR]


def _freeze(module: torch.nn.Module, device: torch.device) -> None:
    module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.eval().requires_grad_(False)
