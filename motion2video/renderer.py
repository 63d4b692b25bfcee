"""Renderer: Motion in, frames of the portrait out.

Per portrait, once: the photo's face in the head frame, the warp, the reference latent and the
noise. Per frame: keypoints -> warp of the photo -> guided latent diffusion where the warp cannot
know the answer (the open mouth, closing lids) -> blend into the whole photo at its own size.

The stream contract: `init_state -> step -> flush`, one frame out for each frame in, no delay. The
noise is fixed for a clip and every frame is computed by itself, so any cut of the motion gives
the same frames, bit for bit on one device.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from motion2video.autoencoder import Autoencoder, AutoencoderConfig
from motion2video.denoiser import FACTOR, Denoiser, DenoiserConfig
from motion2video.flow import euler, frame_noise, time_grid
from motion2video.geometry import FaceBasis, interocular
from motion2video.motion import Motion
from motion2video.portrait import Portrait
from motion2video.retarget import PortraitFace
from motion2video.warp import (
    CROP_SIZE,
    INNER_LIPS,
    LEFT_EYE,
    OUTER_LIPS,
    RIGHT_EYE,
    FaceWarp,
    Warped,
    fill_polygon,
)
from weights.errors import DependencyError, InputError, StateError
from weights.tensors import load_safetensors

LATENT_SIZE = CROP_SIZE // FACTOR
_MOUTH_WINDOW = (20, 20)  # latent positions (width, height): 2.5 interocular distances
_EYES_WINDOW = (24, 12)
_LIP_LIKE = 40.0  # distance in RGB at which a colour is no longer the lips'
_LID_SHARE = 0.5  # the warp keeps lashes, the network knows the lid: half of each


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
    """What a portrait needs once: face, warp, its latent [1, c, 32, 32] and the clip's noise."""

    portrait: Portrait
    face: PortraitFace
    warp: FaceWarp
    reference: Tensor
    noise: Tensor


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

    def __init__(
        self,
        config: RenderConfig,
        basis: FaceBasis,
        autoencoder: Autoencoder,
        denoiser: Denoiser,
        device: torch.device,
    ) -> None:
        self.config = config
        self.basis = basis
        self.device = device
        self._autoencoder, self._denoiser = autoencoder, denoiser
        for module in (autoencoder, denoiser):
            _freeze(module, device)

    @staticmethod
    def load(config: RenderConfig | None = None, device: str = "auto") -> "Renderer":
        """The renderer with its embedded weights on `device` (auto, cpu, cuda, cuda:1, ...).

        Raises WeightsError for missing or damaged weights, DependencyError for a device that
        is not there.
        """
        place = pick_device(device)
        tensors, values = load_safetensors("autoencoder")
        autoencoder = Autoencoder(AutoencoderConfig(**values))
        autoencoder.load_state_dict(_as_float(tensors))
        tensors, values = load_safetensors("denoiser")
        denoiser = Denoiser(DenoiserConfig.from_dict(values))
        denoiser.load_state_dict(_as_float(tensors))
        return Renderer(config or RenderConfig(), FaceBasis.load(), autoencoder, denoiser, place)

    # -- the stream ------------------------------------------------------------------------

    def init_state(self, portrait: Portrait, seed: int = 0) -> RenderState:
        """Prepare a portrait and start a stream of frames of it."""
        face = portrait.face
        fitted = PortraitFace.fit(face.landmarks, face.expression, self.basis)
        warp = FaceWarp(portrait.image, face.landmarks, self.basis.triangles)
        with torch.inference_mode():
            reference = self._autoencoder.encode(self._picture(warp.crop_image))
        channels = self._autoencoder.config.latent_channels
        noise = frame_noise(seed, 0, 1, (channels, LATENT_SIZE, LATENT_SIZE))
        noise = (noise * self.config.temperature).to(self.device)
        return RenderState(PreparedPortrait(portrait, fitted, warp, reference, noise), 0, _Ledger())

    def step(
        self, state: RenderState, motion: Motion
    ) -> tuple[RenderState, UInt8[np.ndarray, "T h w 3"]]:
        """The frames of a piece of motion. Raises StateError for a state already used."""
        frames = list(self._frames(state, motion))
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
        """Frames one at a time, as the motion comes; memory does not grow with the length."""
        state = self.init_state(portrait, seed)
        for motion in motions:
            yield from self._frames(state, motion)
            state = self._advance(state, len(motion))
        self.flush(state)

    # -- one frame -------------------------------------------------------------------------

    def _frames(self, state: RenderState, motion: Motion) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        self._check(state)
        prepared = state.prepared
        marks, open_eyes = prepared.face.keypoints(motion)
        for landmarks, below in zip(marks, open_eyes, strict=True):
            yield self.paint(prepared, landmarks, below)

    def paint(
        self,
        prepared: PreparedPortrait,
        landmarks: Float[np.ndarray, "478 3"],
        open_eyes: Float[np.ndarray, "478 3"],
    ) -> UInt8[np.ndarray, "h w 3"]:
        """One frame from its keypoints in the photo's pixels (see PortraitFace.keypoints)."""
        warped = prepared.warp.warp(landmarks, open_eyes)
        painted, alpha = self._paint(prepared, warped, landmarks, open_eyes)
        return prepared.warp.paste(warped, painted, alpha)

    def _paint(
        self,
        prepared: PreparedPortrait,
        warped: Warped,
        landmarks: Float[np.ndarray, "478 3"],
        open_eyes: Float[np.ndarray, "478 3"],
    ) -> tuple[UInt8[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s"]]:
        """The network's picture of mouth and lids, and how much of it to lay over the warp."""
        points = prepared.warp.crop.to_crop(landmarks[:, :2])
        before = prepared.warp.crop.to_crop(open_eyes[:, :2])
        unit = float(interocular(landmarks)) * CROP_SIZE / prepared.warp.crop.side
        mouth, eyes = mouth_alpha(points, unit), eyes_alpha(points, before)
        painted = warped.image.copy()
        if self.config.steps == 0:
            return _dark_mouth(painted, warped), np.where(warped.known == 0, 255, 0).astype(
                np.uint8
            )
        for alpha, (width, height), centre in (
            (mouth, _MOUTH_WINDOW, points[OUTER_LIPS].mean(0) + np.array([0, 0.1 * unit])),
            (eyes, _EYES_WINDOW, points[RIGHT_EYE + LEFT_EYE].mean(0)),
        ):
            if alpha.any():
                x = _window_start(float(centre[0]), width)
                y = _window_start(float(centre[1]), height)
                self._paint_window(prepared, warped, painted, (x, y, width, height))
        if mouth.any():
            painted = shade_cavity(painted, warped, self.config.cavity)
        return painted, np.maximum(mouth, eyes)

    @torch.inference_mode()
    def _paint_window(
        self,
        prepared: PreparedPortrait,
        warped: Warped,
        painted: UInt8[np.ndarray, "s s 3"],
        window: tuple[int, int, int, int],
    ) -> None:
        x, y, width, height = window
        pixels = np.s_[y * FACTOR : (y + height) * FACTOR, x * FACTOR : (x + width) * FACTOR]
        latents = np.s_[:, :, y : y + height, x : x + width]
        condition = self._condition(warped, pixels)
        features = self._denoiser.embed_condition(condition, prepared.reference[latents])
        latent = euler(
            lambda x_t, t: self._denoiser(x_t, t.to(self.device).expand(1), features),
            prepared.noise[latents],
            time_grid(self.config.steps),
        )
        image = self._autoencoder.decode(latent).clamp(0, 1)[0]
        colours = rearrange(image, "c h w -> h w c").mul(255).round().byte().cpu().numpy()
        painted[pixels] = colours

    def _condition(self, warped: Warped, pixels: tuple[slice, slice]) -> Float[Tensor, "1 8 H W"]:
        planes = (warped.image[pixels], warped.known[pixels][..., None], warped.features[pixels])
        return self._picture(np.concatenate(planes, -1))

    def _picture(self, image: UInt8[np.ndarray, "h w c"]) -> Float[Tensor, "1 c h w"]:
        planes = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        planes = rearrange(planes, "h w c -> 1 c h w").float() / 255
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


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; raises DependencyError for one that is missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DependencyError(f"got device {name!r}; wanted auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DependencyError(f"got device {name!r}; wanted auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DependencyError(
            "device 'cuda' was asked for, but this PyTorch sees no GPU: use --device cpu, or "
            "install a CUDA build of torch"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DependencyError(f"got device {name!r}; there are {torch.cuda.device_count()} GPUs")
    return device


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
    for eye, top, bottom in ((RIGHT_EYE, 159, 145), (LEFT_EYE, 386, 374)):
        full = float(np.linalg.norm(open_eyes[top] - open_eyes[bottom]))
        now = float(np.linalg.norm(points[top] - points[bottom]))
        shut = np.clip((1 - now / max(full, 1e-3) - 0.15) / 0.35, 0, 1)
        if shut > 0:
            area = np.maximum(fill_polygon(points[eye]), fill_polygon(open_eyes[eye]))
            soft = cv2.GaussianBlur(cv2.dilate(area, np.ones((5, 5), np.uint8)), (0, 0), 2.0)
            out = np.maximum(out, (soft * shut * _LID_SHARE).astype(np.uint8))
    return out


def _dark_mouth(painted: UInt8[np.ndarray, "s s 3"], warped: Warped) -> UInt8[np.ndarray, "s s 3"]:
    painted[warped.known == 0] = (38, 16, 16)
    return painted


def _window_start(centre: float, length: int) -> int:
    return int(np.clip(round(centre / FACTOR - length / 2), 0, LATENT_SIZE - length))


def _as_float(tensors: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value).float() for name, value in tensors.items()}


def _freeze(module: torch.nn.Module, device: torch.device) -> None:
    module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.eval().requires_grad_(False)
