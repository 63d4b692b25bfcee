"""ReferenceRenderer: Motion in, frames out, drawn by a public checkpoint.

The stream contract is that of motion2video.renderer: `init_state -> step -> flush`, one frame out
for each frame in. Frames are drawn in groups of overlapping windows, whose places in the stream
are fixed, and the noise of a frame is its own: so any cut of the motion gives the same frames. A
frame comes out when its group is complete, `delay_frames` later at the most; memory is that of one
group.
"""

import copy
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from motion2video.geometry.basis import FaceBasis
from motion2video.geometry.retarget import PortraitFace
from motion2video.motion import Motion
from motion2video.network.choices import Quality
from motion2video.network.compute import ComputeConfig, pick_device
from motion2video.network.flow import frame_noise
from motion2video.portrait.portrait import Portrait
from motion2video.reference.families import Family
from motion2video.reference.networks import Networks
from motion2video.reference.pose_image import draw_pose
from motion2video.reference.predictor import Economy, Portrayed, Pose, Predictor
from motion2video.reference.sampler import Carried, denoise
from motion2video.reference.settings import ReferenceConfig, Sampling, working_size
from weights.errors import InputError, StateError

Notify = Callable[[str], None]
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_SMALL_FACE = 0.25  # of the picture's width
_BLACK = 8  # no pixel of a black frame is brighter
_PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What a portrait needs once."""

    portrait: Portrait
    face: PortraitFace
    portrayed: Portrayed
    seed: int


class _Ticket:
    """How far a stream has come: lets a state be used once only."""

    def __init__(self) -> None:
        self.position: int | None = 0


@dataclass(frozen=True, eq=False)
class ReferenceState:
    """Where a stream stands; made by `init_state`, used up by `step` and `flush`. `points` are
    faces that wait for their group to be complete, `start` the first frame of it; `pose` is what
    the guider made of the frames that the group before has drawn too, `carried` what it predicted
    there.
    """

    prepared: _Prepared
    position: int
    ticket: _Ticket
    start: int
    points: Float[np.ndarray, "n 478 2"]
    pose: Pose | None
    carried: Carried | None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames in pixels."""
        height, width = self.prepared.portrait.image.shape[:2]
        return width, height


class ReferenceRenderer:
    """A family's renderer. One serves any number of streams, of which one draws at a time."""

    frame_size = 1

    def __init__(
        self,
        family: Family,
        config: ReferenceConfig,
        compute: ComputeConfig,
        basis: FaceBasis,
        networks: Networks,
        notify: Notify = lambda _: None,
    ) -> None:
        """`networks` are frozen already (see networks.freeze). Raises InputError for settings that
        do not go together, DependencyError for a device that is not there.
        """
        self.family, self.config, self.compute, self.basis = family, config, compute, basis
        self.sampling: Sampling = config.sampling(family)
        self.device = pick_device(compute.device)
        if compute.compile and config.offload == "sequential":
            raise InputError(
                "got --compile and --offload sequential; wanted one of them: layers that come and "
                "go cannot be compiled together"
            )
        devices, used = devices_of(compute), used_devices(config, compute)
        if len(used) < len(devices):
            notify(
                f"{len(used)} of {len(devices)} GPUs will draw: windows are spread over as many as "
                "there are windows --together, and without --offload"
            )
        self._predictor = Predictor(
            networks,
            used,
            next(networks.denoising.parameters()).dtype,
            config.offload,
            Economy(rows=config.rows),
            compute.attention,
            compute.compile,
            notify,
        )
        self._lock = threading.Lock()

    @property
    def delay_frames(self) -> int:
        """Frames of motion after one that its picture may depend on."""
        return self.sampling.windows.span - 1

    def at(self, quality: Quality) -> "ReferenceRenderer":
        """A draft is a preview; all else is the same here."""
        if quality != "draft" or self.config.preview:
            return self
        other = copy.copy(self)
        other.config = dataclasses.replace(self.config, preview=True)
        other.sampling = other.config.sampling(self.family)
        return other

    def describe(self) -> dict[str, object]:
        """What a report says of how frames were drawn."""
        return {
            "renderer": self.family.name,
            "steps": self.sampling.steps,
            "device": ", ".join(map(str, self._predictor.devices)),
            "backend": "diffusers",
            "precision": str(self._predictor.dtype).removeprefix("torch."),
            "scheduler": self.sampling.scheduler,
            "guidance": self.sampling.guidance,
            "window": self.sampling.windows.length,
            "overlap": self.sampling.windows.overlap,
            "preview": self.config.preview,
        }

    def remarks(self, portrait: Portrait) -> tuple[str, ...]:
        """Sentences for the user about a portrait."""
        told = list(self.family.notes)
        if portrait.face.width < _SMALL_FACE * portrait.image.shape[1]:
            told.append(
                "the face is small in the picture, and these networks draw the whole of it at "
                f"{self.config.size} pixels: --crop head shows it better"
            )
        return tuple(told)

    # -- the stream ------------------------------------------------------------------------------

    def init_state(
        self, portrait: Portrait, seed: int = 0, driver: Motion | None = None
    ) -> ReferenceState:
        """Look at a portrait and start a stream of frames of it. `driver` as for Renderer."""
        face = PortraitFace.fit(portrait.face.landmarks, portrait.face.expression, self.basis)
        if driver is not None:
            face = face.driven_by(driver)
        with self._lock:
            prepared = _Prepared(portrait, face, self._portrayed(portrait), seed)
        nothing = np.zeros((0, 478, 2), np.float32)
        return ReferenceState(prepared, 0, _Ticket(), 0, nothing, None, None)

    def step(
        self, state: ReferenceState, motion: Motion
    ) -> tuple[ReferenceState, UInt8[np.ndarray, "T h w 3"]]:
        """The frames that are complete with a piece of motion: none, or those of whole groups.
        Raises StateError for a state already used.
        """
        self._check(state)
        ahead, drawn = self._given(state, motion), []
        while new := self._complete(ahead):
            ahead, frames = self._group(ahead, new, self.sampling.windows.fresh)
            drawn.append(frames)
        state.ticket.position = ahead.position
        return ahead, self._joined(state, drawn)

    def flush(self, state: ReferenceState) -> tuple[ReferenceState, UInt8[np.ndarray, "T h w 3"]]:
        """End the stream: the frames that have waited."""
        self._check(state)
        drawn = []
        if len(state.points):
            drawn.append(self._group(state, len(state.points), None)[1])
        elif state.carried is not None:
            drawn.append(self._decoded(state, state.carried.latents))
        state.ticket.position = None
        return dataclasses.replace(state, position=-1), self._joined(state, drawn)

    def stream(
        self,
        portrait: Portrait,
        motions: Iterable[Motion],
        seed: int = 0,
        driver: Motion | None = None,
    ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Frames one at a time, as the motion comes; memory does not grow with the length. The
        portrait is prepared by the call.
        """
        return self._stream(self.init_state(portrait, seed, driver), motions)

    def _stream(
        self, state: ReferenceState, motions: Iterable[Motion]
    ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for motion in motions:
            state = self._given(state, motion)
            while new := self._complete(state):
                state, frames = self._group(state, new, self.sampling.windows.fresh)
                yield from frames
        state.ticket.position = state.position
        yield from self.flush(state)[1]

    # -- a group of windows ----------------------------------------------------------------------

    def _given(self, state: ReferenceState, motion: Motion) -> ReferenceState:
        """With faces that wait to be drawn."""
        points = np.concatenate([state.points, self._points(state.prepared, motion)])
        return dataclasses.replace(state, points=points, position=state.position + len(motion))

    def _complete(self, state: ReferenceState) -> int:
        """How many of the faces that wait complete the next group; 0 where it is not complete."""
        new = self.sampling.windows.span - _known(state)
        return new if len(state.points) >= new else 0

    def _group(
        self, state: ReferenceState, new: int, fresh: int | None
    ) -> tuple[ReferenceState, UInt8[np.ndarray, "T h w 3"]]:
        """Draw the frames that were carried and `new` ones; `fresh` of them (None: all) are done.
        Again in wider numbers where one is black: what some networks give for numbers too large.
        """
        portrait = state.prepared.portrait
        while True:
            ahead, frames = self._drawn(state, new, fresh)
            if portrait.image.max() <= 4 * _BLACK or not _any_black(frames):
                return ahead, frames
            with self._lock:
                self._predictor.widen("were black frames")
                portrayed = self._portrayed(portrait)
            prepared = dataclasses.replace(state.prepared, portrayed=portrayed)
            state = dataclasses.replace(state, prepared=prepared)

    def _drawn(
        self, state: ReferenceState, new: int, fresh: int | None
    ) -> tuple[ReferenceState, UInt8[np.ndarray, "T h w 3"]]:
        prepared, sampling = state.prepared, self.sampling
        width, height = self._working(prepared.portrait)
        images = [draw_pose(points, width, height) for points in state.points[:new]]
        low, high = self.config.pose_range(self.family)
        with self._lock:
            made = self._predictor.guide(_pictures(images) * (high - low) + low)
            pose = (
                made
                if state.pose is None
                else [torch.cat(both) for both in zip(state.pose, made, strict=True)]
            )
            count = len(pose[0])
            shape = (self.family.shapes.unet.latent, height // 8, width // 8)

            def noise(step: int) -> Tensor:
                return frame_noise(prepared.seed + step * 7_919, state.start, count, shape)

            def predict(
                latents: Tensor, t: int, windows: list[slice], guided: bool
            ) -> list[Tensor]:
                scale = sampling.guidance if guided else 1.0
                return self._predictor.predict(latents, t, windows, pose, prepared.portrayed, scale)

            latents, carried = denoise(noise, predict, sampling, state.carried)
        frames = self._decoded(state, latents[:fresh])
        overlap = len(carried.latents)
        ahead = dataclasses.replace(
            state,
            start=state.start + len(frames),
            points=state.points[new:],
            pose=[level[count - overlap :] for level in pose],
            carried=carried if overlap else None,
        )
        return ahead, frames

    def _decoded(
        self, state: ReferenceState, latents: Float[Tensor, "_f _c _h _w"]
    ) -> UInt8[np.ndarray, "T h w 3"]:
        with self._lock:
            frames = self._predictor.decode(latents, self.config.preview).numpy()
        width, height = state.size
        if frames.shape[1:3] == (height, width):
            return frames
        smaller = frames.shape[2] >= width
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        return np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in frames])

    def _portrayed(self, portrait: Portrait) -> Portrayed:
        width, height = self._working(portrait)
        picture = Image.fromarray(portrait.image)
        whole = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
        side = self.family.shapes.image_encoder.image
        small = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
        return self._predictor.portray(_signed(whole), _for_clip(small))

    def _points(self, prepared: _Prepared, motion: Motion) -> Float[np.ndarray, "T 478 2"]:
        """Landmarks as shares of the picture."""
        marks, _ = prepared.face.keypoints(motion)
        height, width = prepared.portrait.image.shape[:2]
        return (marks[..., :2] / np.array([width, height], np.float32)).astype(np.float32)

    def _working(self, portrait: Portrait) -> tuple[int, int]:
        height, width = portrait.image.shape[:2]
        return working_size(width, height, self.config.size)

    def _joined(
        self, state: ReferenceState, drawn: list[UInt8[np.ndarray, "t h w 3"]]
    ) -> UInt8[np.ndarray, "T h w 3"]:
        width, height = state.size
        return np.concatenate([np.zeros((0, height, width, 3), np.uint8), *drawn])

    def _check(self, state: ReferenceState) -> None:
        if state.ticket.position != state.position:
            raise StateError(
                "this render state was used already or its stream has ended: "
                "go on from the state that the last step returned"
            )


def devices_of(compute: ComputeConfig) -> list[torch.device]:
    """All GPUs for `cuda` without a number (and for `auto` where there is one), else the one
    device.
    """
    device = pick_device(compute.device)
    if device.type == "cuda" and device.index is None:
        return [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    return [device]


def used_devices(config: ReferenceConfig, compute: ComputeConfig) -> list[torch.device]:
    """Those of `devices_of` that have a window to draw; networks that wait in the computer's memory
    are brought to one alone.
    """
    return devices_of(compute)[: config.together if config.offload == "none" else 1]


def dtype_of(compute: ComputeConfig) -> torch.dtype:
    """Of the networks: bf16 on a GPU that computes in it, else fp16 there; fp32 on a CPU. Raises
    InputError for int8, which these networks have not.
    """
    if compute.precision == "auto":
        if pick_device(compute.device).type == "cpu":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if compute.precision not in _PRECISIONS:
        raise InputError(
            f"got the precision {compute.precision} for a reference renderer; wanted auto or "
            f"{', '.join(_PRECISIONS)}"
        )
    return _PRECISIONS[compute.precision]


def _any_black(frames: UInt8[np.ndarray, "T h w 3"]) -> bool:
    return any(frame.max() <= _BLACK for frame in frames)


def _known(state: ReferenceState) -> int:
    """Frames of the next group that are drawn already."""
    return 0 if state.carried is None else len(state.carried.latents)


def _pictures(images: list[UInt8[np.ndarray, "h w 3"]]) -> Float[Tensor, "f 3 h w"]:
    """From 0 to 1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def _signed(image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 h w"]:
    return _pictures([image]) * 2 - 1


def _for_clip(image: UInt8[np.ndarray, "s s 3"]) -> Float[Tensor, "1 3 s s"]:
    mean, deviation = (torch.tensor(x).reshape(1, 3, 1, 1) for x in (_CLIP_MEAN, _CLIP_DEVIATION))
    return (_pictures([image]) - mean) / deviation
