"""Motion: what a face does, frame by frame. Everything that animates a face here speaks it.

Per frame 90 numbers: 52 expression coefficients (the ARKit blendshapes under MediaPipe's names
and in its order), head rotation (axis-angle, radians), head translation (in interocular
distances), and 32 detail components that hold what the 52 leave out.

Axes: x to the right of the picture, y up, z towards the camera. All zeros is the portrait as it
is: its neutral face in its own pose. Expression is relative to the person's neutral face.
"""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from motion2video.media.npz import Wanted, read_arrays
from weights.errors import MotionError
from weights.opening import open_regular
from weights.saving import save_whole

FPS = 25.0
MAX_SECONDS = 2 * 3600.0
MAX_FRAMES = 2 * 3600 * 120
"""The longest motion that is read from a file: two hours, at 120 frames a second."""
MAX_RATE = 1000.0
"""Frames a second that no camera in a motion file exceeds."""
LARGEST = 1e4
"""No value of a motion is meant to be larger: radians, interocular distances, deviations."""
MOST_NEARNESS = 0.5
"""Nothing that films a face is nearer than two interocular distances."""
EXPRESSION_NAMES: tuple[str, ...] = (
    "_neutral",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
)
EXPRESSION = slice(0, 52)
ROTATION = slice(52, 55)
TRANSLATION = slice(55, 58)
DETAIL = slice(58, 90)
MOTION_DIM = 90
EYE_TURN_DEGREES = 32.0
"""Turn of the eyeball at an eyeLook coefficient of 1."""
_INDEX = {name: i for i, name in enumerate(EXPRESSION_NAMES)}
_FORMAT = "visavis-motion-1"
_MAX_BYTES = 1 << 30
_MOST_RESAMPLED = 2 * 3600 * 240


def channel_index(name: str) -> int:
    """Column of an expression channel; raises MotionError for a name that does not exist."""
    if name not in _INDEX:
        raise MotionError(
            f"there is no motion channel {name!r}; the names are MediaPipe's, e.g. jawOpen"
        )
    return _INDEX[name]


@dataclass(frozen=True, eq=False)
class Rest:
    """What a tracked motion is measured from: the person's neutral face and the head's pose.

    `points` are the 478 keypoints in the head frame (interocular distances), `rotation` the rest
    pose as axis-angle from the camera's axes (radians), `offset` and `scale` where the head then
    is: pixels, y up, and pixels an interocular distance. `nearness` is 1 / the distance of the
    camera, in interocular distances; 0 where it is far, or not known. Raises MotionError for other
    shapes or for impossible numbers.
    """

    points: Float[np.ndarray, "478 3"]
    rotation: Float[np.ndarray, "3"]
    offset: Float[np.ndarray, "3"]
    scale: float
    nearness: float = 0.0

    def __post_init__(self) -> None:
        for name, shape in (("points", (478, 3)), ("rotation", (3,)), ("offset", (3,))):
            with np.errstate(over="ignore"):  # told below
                value = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if value.shape != shape or not np.isfinite(value).all():
                raise MotionError(f"got a rest face whose {name} are not {shape} finite numbers")
            object.__setattr__(self, name, value)
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise MotionError(f"got a rest face at a scale of {self.scale}; wanted more than 0")
        object.__setattr__(self, "scale", float(self.scale))
        if not 0 <= self.nearness <= MOST_NEARNESS:
            raise MotionError(
                f"got a rest face at a nearness of {self.nearness}; wanted 0 to {MOST_NEARNESS}"
            )
        object.__setattr__(self, "nearness", float(self.nearness))

    def to_arrays(self) -> tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, "8"]]:
        """The points, and rotation, offset, scale and nearness in a row."""
        row = [*self.rotation, *self.offset, self.scale, self.nearness]
        pose = np.array(row, np.float32)
        return self.points, pose

    @staticmethod
    def of_arrays(points: np.ndarray, pose: np.ndarray) -> "Rest":
        """What `to_arrays` gave; files without a nearness are read too. Raises MotionError for
        other shapes or impossible numbers.
        """
        if pose.shape not in ((7,), (8,)):
            raise MotionError(f"got a rest pose of shape {pose.shape}; wanted 8 numbers")
        if max(np.abs(points).max(initial=0), np.abs(pose).max()) > LARGEST:
            raise MotionError(f"got a rest face with numbers beyond {LARGEST:g}")
        return Rest(points, pose[:3], pose[3:6], float(pose[6]), *(float(x) for x in pose[7:]))


@dataclass(frozen=True, eq=False)
class Motion:
    """`values` [T, 90] float32 at `fps` frames a second; `valid` [T] is False where a tracker
    lost the face and the frame was filled in. `rest` is what a tracked face was measured from;
    None for a motion that belongs to nobody: one that was generated, imported or edited. Raises
    MotionError for other shapes or for numbers that are not finite.
    """

    values: Float[np.ndarray, "T 90"]
    fps: float = FPS
    valid: Bool[np.ndarray, "T"] | None = None
    rest: Rest | None = None

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # told below
            values = np.ascontiguousarray(self.values, dtype=np.float32)
        if values.ndim != 2 or values.shape[1] != MOTION_DIM:
            raise MotionError(f"got motion of shape {values.shape}; wanted [T, {MOTION_DIM}]")
        if not np.isfinite(values).all():
            raise MotionError("got motion with values that are not finite numbers")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise MotionError(f"got motion at {self.fps} fps; wanted a positive rate")
        valid = np.ones(len(values), bool) if self.valid is None else np.asarray(self.valid, bool)
        if valid.shape != (len(values),):
            raise MotionError(f"got {valid.shape} validity flags for {len(values)} frames")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "valid", valid)
        object.__setattr__(self, "fps", float(self.fps))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, frames: slice) -> "Motion":
        """The frames of a slice, as a Motion."""
        return Motion(self.values[frames], self.fps, self.mask[frames], self.rest)

    @property
    def mask(self) -> Bool[np.ndarray, "T"]:
        """[T] where the motion was observed (or generated) rather than filled in."""
        assert self.valid is not None
        return self.valid

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self) / self.fps

    @property
    def expression(self) -> Float[np.ndarray, "T 52"]:
        """Expression coefficients, 0 at the neutral face, 1 at the extreme."""
        return self.values[:, EXPRESSION]

    @property
    def rotation(self) -> Float[np.ndarray, "T 3"]:
        """Head rotation from the portrait's pose, axis-angle in radians: positive x lowers the
        face (the down stroke of a nod), y turns it to the picture's right, z tilts it."""
        return self.values[:, ROTATION]

    @property
    def translation(self) -> Float[np.ndarray, "T 3"]:
        """Head translation in interocular distances of the neutral face."""
        return self.values[:, TRANSLATION]

    @property
    def detail(self) -> Float[np.ndarray, "T 32"]:
        """Detail components, unit variance over the training tracks; zero where unknown."""
        return self.values[:, DETAIL]

    def channel(self, name: str) -> Float[np.ndarray, "T"]:
        """One expression channel by its name, e.g. `jawOpen`."""
        return self.values[:, channel_index(name)]

    @staticmethod
    def neutral(frames: int, fps: float = FPS) -> "Motion":
        """A motion that does nothing for `frames` frames."""
        return Motion(np.zeros((frames, MOTION_DIM), np.float32), fps)

    @staticmethod
    def concat(parts: "list[Motion]") -> "Motion":
        """One after the other, measured from their common rest or from nobody's; raises MotionError
        for none or for different rates.
        """
        if not parts:
            raise MotionError("got no motion to join; wanted at least one part")
        if len({p.fps for p in parts}) > 1:
            raise MotionError(
                f"got parts at {sorted({p.fps for p in parts})} fps; resample them first"
            )
        return Motion(
            np.concatenate([p.values for p in parts]),
            parts[0].fps,
            np.concatenate([p.mask for p in parts]),
            parts[0].rest if len({id(p.rest) for p in parts}) == 1 else None,
        )

    def resample(self, fps: float) -> "Motion":
        """The same motion at another rate: round(seconds * fps) frames, linear in time.

        Rotations of a head stay well below pi, where linear interpolation of axis-angle is
        within 1e-3 rad of the geodesic for neighbouring frames.
        """
        if not (np.isfinite(fps) and fps > 0):
            raise MotionError(f"got {fps} fps; wanted a positive rate")
        if fps == self.fps or len(self) == 0:
            return Motion(self.values, fps, self.mask, self.rest)
        if self.seconds * fps > _MOST_RESAMPLED:
            raise MotionError(
                f"got {self.seconds:.0f} s of motion to resample to {fps:g} fps; at most "
                f"{_MOST_RESAMPLED} frames are made"
            )
        count = max(1, round(self.seconds * fps))
        at = np.clip(np.arange(count) * self.fps / fps, 0, len(self) - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, len(self) - 1)
        w = (at - low)[:, None].astype(np.float32)
        values = self.values[low] * (1 - w) + self.values[high] * w
        return Motion(values, fps, self.mask[low] & (self.mask[high] | (at == low)), self.rest)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a `.npz` motion file (under a temporary name, then renamed).

        Raises OutputError when the place cannot be written.
        """
        return save_whole(path, self.to_bytes(), "the motion")

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {
            "format": np.array(_FORMAT),
            "values": self.values,
            "fps": np.array(self.fps),
            "valid": self.mask,
            "names": np.array(EXPRESSION_NAMES),
            **_rest_arrays(self.rest),
        }
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "Motion":
        """Read a `.npz` motion file.

        Raises InputError when there is no such file, MotionError when it is not a motion file, or
        holds more than two hours.
        """
        path = Path(path)
        with open_regular(path, "motion file", _MAX_BYTES) as file:
            return Motion.read(file, path)

    @staticmethod
    def read(file: io.BufferedIOBase, path: Path) -> "Motion":
        """As `load`, from an open file that messages call `path`."""
        names = len(EXPRESSION_NAMES)
        wanted = {
            "format": Wanted("U", 1, 4 * 64),
            "names": Wanted("U", names, 4 * 64),
            "fps": Wanted("fiu", 1),
            "valid": Wanted("b", MAX_FRAMES),
            "values": Wanted("f", MAX_FRAMES * MOTION_DIM),
        }
        try:
            data = read_arrays(file, wanted, _REST_ARRAYS)
        except ValueError as error:
            raise MotionError(
                f"{path} is not a motion file as Motion.save writes it: {error}"
            ) from error
        if data["format"].size != 1 or str(data["format"].item()) != _FORMAT:
            raise MotionError(f"{path} has format {data['format']!s:.40}; wanted {_FORMAT}")
        if tuple(data["names"].ravel().tolist()) != EXPRESSION_NAMES:
            raise MotionError(f"{path} names other channels than this version's 52")
        if data["fps"].size != 1:
            raise MotionError(f"{path} has {data['fps'].size} frame rates; wanted one")
        rest = _rest_of(data, path)
        motion = Motion(data["values"], float(data["fps"].item()), data["valid"], rest)
        _check_read(motion, path)
        return motion


_REST_ARRAYS = {
    "rest_points": Wanted("f", 478 * 3),
    "rest_pose": Wanted("f", 8),  # rotation, offset, scale, nearness
}


def _rest_arrays(rest: Rest | None) -> dict[str, np.ndarray]:
    """A rest as members of a motion file; a file without them belongs to nobody."""
    return {} if rest is None else dict(zip(_REST_ARRAYS, rest.to_arrays(), strict=True))


def _rest_of(data: dict[str, np.ndarray], path: Path) -> Rest | None:
    """The rest that a motion file holds; both of its members or neither."""
    found = [data[name] for name in _REST_ARRAYS if name in data]
    if not found:
        return None
    if len(found) != len(_REST_ARRAYS):
        raise MotionError(f"{path} holds half of a rest face")
    return Rest.of_arrays(*found)


def _check_read(motion: Motion, path: Path) -> None:
    """What a motion out of a file must keep to, so that whatever uses it stays bounded."""
    if motion.fps > MAX_RATE or motion.seconds > MAX_SECONDS:
        raise MotionError(
            f"{path} has {len(motion)} frames at {motion.fps:g} fps; wanted at most "
            f"{MAX_RATE:g} fps and {MAX_SECONDS:g} s"
        )
    if len(motion) and max(motion.values.max(), -motion.values.min()) > LARGEST:
        raise MotionError(f"{path} has a value beyond {LARGEST:g}; no face moves as far")
