"""Motion to and from BVH: how the head and the eyes turn and move, for skeleton programs.

Written is a skeleton of a joint Head with six channels (position in centimetres, rotation in
degrees, R = R_y R_x R_z) and its children LeftEye and RightEye. Read is the Head of any skeleton:
its rotation in the world is the product of those above it. The face itself is not in such a file.
"""

import math
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motion2video.formats.keyframes import motion_at_one_rate, nearest_rate
from motion2video.geometry.angles import EYES, eye_angles, head_angles, set_eye_angles
from motion2video.geometry.basis import EYE_CORNERS, INTEROCULAR_M, FaceBasis
from motion2video.motion import MAX_FRAMES, MOTION_DIM, ROTATION, TRANSLATION, Motion
from weights.errors import MotionError
from weights.opening import open_regular
from weights.saving import save_whole

_CM = 100 * INTEROCULAR_M
_POSITIONS = ("Xposition", "Yposition", "Zposition")
_ROTATIONS = ("Yrotation", "Xrotation", "Zrotation")
_CHANNELS = {name.casefold(): name for name in (*_POSITIONS, *_ROTATIONS)}
_MAX_BYTES = 1 << 30
_MAX_LINE = 1 << 16
_MAX_HEADER_WORDS = 1 << 17
_MAX_JOINTS = 2_000
_LARGEST = 1e6

_Words = Iterator[tuple[int, str]]
"""The words of a file, each with its line, as they are read."""


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
    words = _words(path)
    joints = _hierarchy(_header(words, path), path)
    named = {joint.plain_name: joint for joint in reversed(joints)}
    head = named.get("head")
    if head is None:
        names = ", ".join(joint.name[:40] for joint in joints[:5])
        raise MotionError(f"{path} has no joint named Head (it has {names}); rename the head's")
    eyes = {eye: named[name] for eye in EYES if (name := f"{eye.casefold()}eye") in named}
    columns = sum(len(joint.columns) for joint in joints)
    used = _keep_used(head, *eyes.values())
    table, fps = _motion(words, columns, used, path)
    values = np.zeros((len(table), MOTION_DIM))
    values[:, ROTATION] = _turn(head, table, whole=True)
    if all(name in head.columns for name in _POSITIONS):
        place = table[:, [head.columns[name] for name in _POSITIONS]]
        values[:, TRANSLATION] = (place - np.array(head.offset)) / _CM
    for eye, joint in eyes.items():
        set_eye_angles(values, eye, head_angles(_turn(joint, table, whole=False))[:, :2])
    return motion_at_one_rate(np.arange(len(table)) / fps, values, str(path))


def _words(path: Path) -> _Words:
    """All words of a file, each with its line; raises when the file is none."""
    try:
        with open_regular(path, "motion file", _MAX_BYTES) as file:
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                if len(line) >= _MAX_LINE:
                    raise MotionError(f"line {number} of {path} has {_MAX_LINE} bytes or more")
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                for word in text.split():
                    yield number, word
    except (OSError, UnicodeDecodeError) as error:
        raise MotionError(f"{path} is not a BVH file: it is not text") from error


def _header(words: _Words, path: Path) -> list[str]:
    """The words up to MOTION, and that one."""
    found: list[str] = []
    for _, word in words:
        found.append(word)
        if found[0] != "HIERARCHY":
            break
        if word == "MOTION":
            return found
        if len(found) > _MAX_HEADER_WORDS:
            raise MotionError(f"{path} is not a BVH file: its hierarchy does not end")
    if not found or found[0] != "HIERARCHY":
        raise MotionError(f"{path} is not a BVH file: it does not begin with HIERARCHY")
    raise MotionError(f"{path} is not a BVH file: its hierarchy is broken off")


def _hierarchy(words: list[str], path: Path) -> list[_Joint]:
    """The joints in the order of their channels."""
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
                if len(joints) > _MAX_JOINTS:
                    raise MotionError(f"{path} has more than {_MAX_JOINTS} joints")
            elif word == "End":
                open_joints.append(None)
                at = words.index("{", at) + 1
            elif word == "OFFSET":
                x, y, z = (_finite(w) for w in words[at + 1 : at + 4])
                if joint := open_joints[-1]:
                    joint.offset = (x, y, z)
                at += 4
            elif word == "CHANNELS" and (joint := open_joints[-1]):
                names = words[at + 2 : at + 2 + int(words[at + 1])]
                if joint.columns:
                    raise MotionError(f"{path} gives the joint {joint.name:.40} channels twice")
                joint.columns = _columns(names, columns, joint, path)
                columns += len(names)
                at += 2 + len(names)
            elif word == "}":
                open_joints.pop()
                at += 1
            else:
                raise MotionError(
                    f"{path} is not a BVH file: it has {word[:40]!r} in its hierarchy"
                )
    except (IndexError, ValueError) as error:
        raise MotionError(f"{path} is not a BVH file: its hierarchy is broken off") from error
    if open_joints or not joints:
        raise MotionError(f"{path} is not a BVH file: its hierarchy is not closed")
    return joints


def _finite(word: str) -> float:
    value = float(word)
    if not abs(value) < _LARGEST:
        raise ValueError
    return value


def _keep_used(*joints: _Joint) -> list[int]:
    """The columns that these joints and those above them have; there they are numbered anew, as
    the columns of a table of these alone."""
    chain: dict[int, _Joint] = {}
    for joint in joints:
        step: _Joint | None = joint
        while step is not None and id(step) not in chain:
            chain[id(step)] = step
            step = step.parent
    used = sorted(column for joint in chain.values() for column in joint.columns.values())
    place = {column: i for i, column in enumerate(used)}
    for joint in chain.values():
        joint.columns = {name: place[column] for name, column in joint.columns.items()}
    return used


def _columns(names: list[str], start: int, joint: _Joint, path: Path) -> dict[str, int]:
    columns = {}
    for place, name in enumerate(names, start):
        if name.casefold() not in _CHANNELS or _CHANNELS[name.casefold()] in columns:
            raise MotionError(
                f"{path} has the channel {name[:40]!r} for {joint.name:.40}; wanted "
                f"{', '.join(_POSITIONS)} and {', '.join(_ROTATIONS)}, each once"
            )
        columns[_CHANNELS[name.casefold()]] = place
    return columns


def _motion(
    words: _Words, columns: int, used: list[int], path: Path
) -> tuple[Float[np.ndarray, "T c"], float]:
    """The `used` columns of the rows of MOTION [T, used], and frames a second."""
    count, seconds = _timing(words, path)
    if count * max(1, columns) > _MAX_BYTES:
        raise MotionError(f"{path} promises {count} frames of {columns} channels; it is too small")
    values, row, got = array("d"), [0.0] * columns, 0
    for line, word in words:
        try:
            value = _finite(word)
        except ValueError:
            raise MotionError(
                f"line {line} of {path} has {word[:40]!r}; wanted a finite number"
            ) from None
        got += 1
        if got > count * columns:
            break
        row[(got - 1) % columns] = value
        if got % columns == 0:
            values.extend([row[column] for column in used])
    if got != count * columns or next(words, None) is not None:
        more = "or more " if got > count * columns else ""
        raise MotionError(
            f"{path} has {got} {more}numbers; wanted {count} frames of {columns} channels"
        )
    return np.array(values).reshape(count, len(used)), nearest_rate(1 / seconds)


def _timing(words: _Words, path: Path) -> tuple[int, float]:
    """How many frames MOTION has and how long each lasts, in seconds."""
    head = [word for _, (_, word) in zip(range(5), words, strict=False)]
    try:
        if head[0] != "Frames:" or head[2:4] != ["Frame", "Time:"]:
            raise ValueError
        count, seconds = int(head[1]), float(head[4])
    except (IndexError, ValueError) as error:
        raise MotionError(f"{path} lacks `Frames:` and `Frame Time:` after MOTION") from error
    if not (math.isfinite(seconds) and 1e-3 <= seconds <= 10):
        raise MotionError(f"{path} has a frame time of {head[4]:.40} s; wanted seconds a frame")
    if not 0 <= count <= MAX_FRAMES:
        raise MotionError(f"{path} has {count} frames; wanted 1 to {MAX_FRAMES}")
    return count, seconds


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
