"""Motion to and from BVH: how the head and the eyes turn and move, for skeleton programs.

Written is a skeleton of a joint Head with six channels (position in centimetres, rotation in
degrees, R = R_y R_x R_z) and its children LeftEye and RightEye. Read is the Head of any skeleton:
its rotation in the world is the product of those above it. The face itself is not in such a file.
"""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motion2video.angles import EYES, eye_angles, head_angles, set_eye_angles
from motion2video.geometry import EYE_CORNERS, INTEROCULAR_M, FaceBasis
from motion2video.keyframes import MAX_FRAMES, motion_at_one_rate, nearest_rate
from motion2video.motion import MOTION_DIM, ROTATION, TRANSLATION, Motion
from motion2video.saving import save_whole
from weights.errors import InputError, MotionError

_CM = 100 * INTEROCULAR_M
_POSITIONS = ("Xposition", "Yposition", "Zposition")
_ROTATIONS = ("Yrotation", "Xrotation", "Zrotation")
_CHANNELS = {name.casefold(): name for name in (*_POSITIONS, *_ROTATIONS)}
_MAX_BYTES = 1 << 30


@dataclass(eq=False)
class _Joint:
    """A joint while its file is read: `columns` are its places in a row of MOTION."""

    name: str
    parent: "_Joint | None"
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    columns: dict[str, int] = field(default_factory=dict)

    @property
    def plain_name(self) -> str:
        """The name without a prefix (`rig:Head`), case and underscores."""
        return self.name.rpartition(":")[2].replace("_", "").casefold()


def write_bvh(motion: Motion, path: str | os.PathLike[str]) -> Path:
    """Write the head and the eyes of a motion as BVH. Raises OutputError."""
    eyes = [np.pad(eye_angles(motion, eye), ((0, 0), (0, 1))) for eye in EYES]
    turns = [np.degrees(part) for part in (head_angles(motion.rotation), *eyes)]
    table = np.column_stack([motion.translation * _CM, *turns])
    lines = [
        *("HIERARCHY", "ROOT Head", "{", "\tOFFSET 0 0 0"),
        f"\tCHANNELS 6 {' '.join((*_POSITIONS, *_ROTATIONS))}",
    ]
    canonical = FaceBasis.load().canonical
    for eye, corners in zip(EYES, reversed(EYE_CORNERS), strict=True):
        x, y, z = canonical[list(corners)].mean(0) * _CM
        lines += [
            *(f"\tJOINT {eye}Eye", "\t{", f"\t\tOFFSET {x:.3f} {y:.3f} {z:.3f}"),
            f"\t\tCHANNELS 3 {' '.join(_ROTATIONS)}",
            *("\t\tEnd Site", "\t\t{", "\t\t\tOFFSET 0 0 1", "\t\t}", "\t}"),
        ]
    lines += ["}", "MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.9f}"]
    lines += [" ".join(f"{value + 0.0:.6f}" for value in row) for row in table]
    return save_whole(path, ("\n".join(lines) + "\n").encode(), "the motion")


def read_bvh(path: str | os.PathLike[str]) -> Motion:
    """Read the joint Head, and LeftEye and RightEye where there are such, of a BVH file.

    Everything else of the face is zero. Translation is read (as centimetres, from the joint's
    offset) where Head has position channels. Raises InputError when there is no such file,
    MotionError when it is not BVH or has no such joint.
    """
    path = Path(path)
    words, line_of = _words(path)
    joints, at = _hierarchy(words, path)
    table, fps = _motion(words[at:], line_of[at:], sum(len(j.columns) for j in joints), path)
    named = {joint.plain_name: joint for joint in reversed(joints)}
    head = named.get("head")
    if head is None:
        names = ", ".join(joint.name for joint in joints[:5])
        raise MotionError(f"{path} has no joint named Head (it has {names}); rename the head's")
    values = np.zeros((len(table), MOTION_DIM))
    values[:, ROTATION] = _turn(head, table, whole=True)
    if all(name in head.columns for name in _POSITIONS):
        place = table[:, [head.columns[name] for name in _POSITIONS]]
        values[:, TRANSLATION] = (place - np.array(head.offset)) / _CM
    for eye in EYES:
        if joint := named.get(f"{eye.casefold()}eye"):
            set_eye_angles(values, eye, head_angles(_turn(joint, table, whole=False))[:, :2])
    return motion_at_one_rate(np.arange(len(table)) / fps, values, str(path))


def _words(path: Path) -> tuple[list[str], list[int]]:
    """All words of a file, and the line that each is in."""
    if not path.is_file():
        raise InputError(f"there is no motion file {path}")
    if path.stat().st_size > _MAX_BYTES:
        raise MotionError(f"{path} has more than 1 GiB; wanted a BVH file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MotionError(f"{path} is not a BVH file: it is not text") from error
    split = [line.split() for line in lines]
    words = [word for line in split for word in line]
    if not words or words[0] != "HIERARCHY":
        raise MotionError(f"{path} is not a BVH file: it does not begin with HIERARCHY")
    return words, [number for number, line in enumerate(split, 1) for _ in line]


def _hierarchy(words: list[str], path: Path) -> tuple[list[_Joint], int]:
    """The joints in the order of their channels, and where MOTION begins."""
    joints: list[_Joint] = []
    open_joints: list[_Joint | None] = []
    at, columns = 1, 0
    try:
        while words[at] != "MOTION":
            word = words[at]
            if word in ("ROOT", "JOINT"):
                # A name may have spaces: it goes up to the brace.
                brace = words.index("{", at)
                parent = open_joints[-1] if open_joints else None
                joints.append(_Joint(" ".join(words[at + 1 : brace]), parent))
                open_joints.append(joints[-1])
                at = brace + 1
            elif word == "End":
                open_joints.append(None)
                at = words.index("{", at) + 1
            elif word == "OFFSET":
                x, y, z = (float(w) for w in words[at + 1 : at + 4])
                if joint := open_joints[-1]:
                    joint.offset = (x, y, z)
                at += 4
            elif word == "CHANNELS" and (joint := open_joints[-1]):
                names = words[at + 2 : at + 2 + int(words[at + 1])]
                joint.columns = _columns(names, columns, joint, path)
                columns += len(names)
                at += 2 + len(names)
            elif word == "}":
                open_joints.pop()
                at += 1
            else:
                raise MotionError(f"{path} is not a BVH file: it has {word!r} in its hierarchy")
    except (IndexError, ValueError) as error:
        raise MotionError(f"{path} is not a BVH file: its hierarchy is broken off") from error
    if open_joints or not joints:
        raise MotionError(f"{path} is not a BVH file: its hierarchy is not closed")
    return joints, at


def _columns(names: list[str], start: int, joint: _Joint, path: Path) -> dict[str, int]:
    columns = {}
    for place, name in enumerate(names, start):
        if name.casefold() not in _CHANNELS or _CHANNELS[name.casefold()] in columns:
            raise MotionError(
                f"{path} has the channel {name!r} for {joint.name}; wanted {', '.join(_POSITIONS)} "
                f"and {', '.join(_ROTATIONS)}, each once"
            )
        columns[_CHANNELS[name.casefold()]] = place
    return columns


def _motion(
    words: list[str], lines: list[int], columns: int, path: Path
) -> tuple[Float[np.ndarray, "T c"], float]:
    """The rows of MOTION [T, columns], and frames a second."""
    try:
        if words[1] != "Frames:" or words[3:5] != ["Frame", "Time:"]:
            raise ValueError
        count, seconds = int(words[2]), float(words[5])
    except (IndexError, ValueError) as error:
        raise MotionError(f"{path} lacks `Frames:` and `Frame Time:` after MOTION") from error
    if not (math.isfinite(seconds) and 1e-4 <= seconds <= 10):
        raise MotionError(f"{path} has a frame time of {words[5]} s; wanted seconds a frame")
    if not 0 <= count <= MAX_FRAMES:
        raise MotionError(f"{path} has {count} frames; wanted 1 to {MAX_FRAMES}")
    if len(words) - 6 != count * columns:
        raise MotionError(
            f"{path} has {len(words) - 6} numbers; wanted {count} frames of {columns} channels"
        )
    table = np.empty(count * columns)
    for i, word in enumerate(words[6:]):
        try:
            table[i] = float(word)
        except ValueError:
            table[i] = math.nan
        if not math.isfinite(table[i]):
            raise MotionError(f"line {lines[6 + i]} of {path} has {word!r}; wanted a finite number")
    return table.reshape(count, columns), nearest_rate(1 / seconds)


def _turn(joint: _Joint, table: Float[np.ndarray, "T c"], whole: bool) -> Float[np.ndarray, "T 3"]:
    """Axis-angle of a joint against its parent, or with those above it (`whole`)."""
    from scipy.spatial.transform import Rotation

    total = Rotation.identity(len(table))
    step: _Joint | None = joint
    while step is not None and len(table):
        turns = [(name[0], place) for name, place in step.columns.items() if "rotation" in name]
        if turns:
            axes = "".join(axis for axis, _ in turns)
            angles = table[:, [place for _, place in turns]]
            total = Rotation.from_euler(axes, angles, degrees=True) * total
        step = step.parent if whole else None
    return total.as_rotvec()
