"""Motion out of a glTF 2.0 binary (`.glb`), ours or another program's.

Read is the first animation that moves the morph targets of a mesh whose `extras.targetNames` are
ARKit's shapes, and the rotation and translation of that mesh's node. Names may differ in case and
some may be missing; other targets are ignored. Detail components are zero.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from motion2video.geometry import INTEROCULAR_M
from motion2video.keyframes import motion_at_one_rate
from motion2video.motion import EXPRESSION_NAMES, MOTION_DIM, ROTATION, TRANSLATION, Motion
from weights.errors import InputError, MotionError

if TYPE_CHECKING:
    from pygltflib import GLTF2, Animation

_MAGIC, _VERSION = b"glTF", 2
_MAX_BYTES = 1 << 31
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
# Component types of the specification, and what a normalised 1 is.
_TYPES = {5126: ("<f4", 1.0), 5120: ("i1", 127.0), 5121: ("u1", 255.0)}
_TYPES |= {5122: ("<i2", 32767.0), 5123: ("<u2", 65535.0)}


@dataclass(frozen=True, eq=False)
class _Curve:
    """Keyframes of one channel: `values` [N, c] at `times` [N]; `steps` when they are held."""

    times: Float[np.ndarray, "N"]
    values: Float[np.ndarray, "N c"]
    steps: bool

    def at(self, times: Float[np.ndarray, "M"]) -> Float[np.ndarray, "M c"]:
        """Linear in time or held, and held at the ends."""
        if self.steps:
            index = np.searchsorted(self.times, times + 1e-6, side="right") - 1
            return self.values[np.clip(index, 0, len(self.times) - 1)]
        columns = [np.interp(times, self.times, column) for column in self.values.T]
        return np.stack(columns, 1)


def read_glb(path: str | os.PathLike[str]) -> Motion:
    """Read the motion in a `.glb`.

    Raises InputError when there is no such file, MotionError when it is not glTF 2.0 or has no
    animation of ARKit's shapes.
    """
    path = Path(path)
    gltf = _load(path)
    try:
        return _read(gltf, path)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MotionError(
            f"{path} is a damaged glTF file: its parts do not fit together"
        ) from error


def _read(gltf: "GLTF2", path: Path) -> Motion:
    animation, node = _find(gltf, path)
    mesh = gltf.nodes[node].mesh
    assert mesh is not None
    names = _target_names(gltf, mesh)
    weights = _curve(gltf, animation, node, "weights", path, len(names))
    assert weights is not None
    known = {name.casefold(): i for i, name in enumerate(EXPRESSION_NAMES)}
    values = np.zeros((len(weights.times), MOTION_DIM))
    for column, name in enumerate(names):
        if name.casefold() in known:
            values[:, known[name.casefold()]] = weights.values[:, column]
    turn = _curve(gltf, animation, node, "rotation", path, 1)
    if turn is not None:
        values[:, ROTATION] = _rotations(turn, weights.times, path)
    shift = _curve(gltf, animation, node, "translation", path, 1)
    if shift is not None:
        rest = np.array(gltf.nodes[node].translation or [0.0, 0.0, 0.0])
        values[:, TRANSLATION] = (shift.at(weights.times) - rest) / INTEROCULAR_M
    return motion_at_one_rate(weights.times, values, str(path))


def _load(path: Path) -> "GLTF2":
    """The file's description with its binary chunk; every length is checked before it is used."""
    from pygltflib import GLTF2

    if not path.is_file():
        raise InputError(f"there is no motion file {path}")
    if path.stat().st_size > _MAX_BYTES:
        raise MotionError(f"{path} has more than 2 GiB; wanted a .glb file")
    data = path.read_bytes()
    if len(data) < 20 or data[:4] != _MAGIC:
        raise MotionError(f"{path} is not a .glb file: it does not begin with {_MAGIC.decode()}")
    version, length = struct.unpack("<II", data[4:12])
    if version != _VERSION:
        raise MotionError(f"{path} is glTF version {version}; wanted {_VERSION}")
    if length > len(data):
        raise MotionError(f"{path} is cut off: it has {len(data)} of {length} bytes")
    at = 12
    while at < length:
        size = int.from_bytes(data[at : at + 4], "little")
        at += 8 + size
        if at > length:
            raise MotionError(f"{path} is damaged: a chunk reaches beyond the end of the file")
    try:
        gltf = GLTF2.load_from_bytes(data)
    # pygltflib raises whatever the wrong JSON value happens to run into.
    except Exception as error:
        raise MotionError(f"{path} is damaged: its description is not glTF 2.0") from error
    if gltf is None:
        raise MotionError(f"{path} is damaged: it holds no description of a scene")
    return gltf


def _find(gltf: "GLTF2", path: Path) -> "tuple[Animation, int]":
    """The first animation of morph targets with at least one of ARKit's names, and its node."""
    known = {name.casefold() for name in EXPRESSION_NAMES}
    for animation in gltf.animations:
        for channel in animation.channels:
            node = channel.target.node
            if channel.target.path != "weights" or node is None:
                continue
            mesh = gltf.nodes[node].mesh
            if mesh is not None and known & {n.casefold() for n in _target_names(gltf, mesh)}:
                return animation, node
    raise MotionError(
        f"{path} has no animation of morph targets with ARKit's names (extras.targetNames)"
    )


def _target_names(gltf: "GLTF2", mesh: int) -> list[str]:
    extras = gltf.meshes[mesh].extras
    names = extras.get("targetNames", []) if isinstance(extras, dict) else []
    return [str(name) for name in names]


def _curve(
    gltf: "GLTF2", animation: "Animation", node: int, name: str, path: Path, rows: int
) -> _Curve | None:
    """Keyframes of one property of a node, `rows` elements a keyframe; None when not animated."""
    for channel in animation.channels:
        if channel.target.node == node and channel.target.path == name:
            sampler = animation.samplers[channel.sampler]
            times = _accessor(gltf, sampler.input, path)[:, 0]
            values = _accessor(gltf, sampler.output, path)
            if sampler.interpolation == "CUBICSPLINE":
                # In-tangent, value and out-tangent of every keyframe.
                values = values.reshape(len(times), 3, -1)[:, 1]
            if len(values.reshape(-1)) % max(len(times), 1) or not len(times):
                raise MotionError(f"{path} has {name} that do not fit their {len(times)} times")
            values = values.reshape(len(times), -1)
            if name == "weights" and values.shape[1] != rows:
                raise MotionError(
                    f"{path} has {values.shape[1]} weights a keyframe for {rows} morph targets"
                )
            if not np.isfinite(values).all() or not np.isfinite(times).all():
                raise MotionError(f"{path} has {name} that are not finite numbers")
            if (np.diff(times) <= 0).any():
                raise MotionError(f"{path} has {name} whose times do not rise")
            return _Curve(times, values, sampler.interpolation == "STEP")
    return None


def _accessor(gltf: "GLTF2", number: int, path: Path) -> Float[np.ndarray, "n c"]:
    """The numbers of an accessor, as floats [count, components]."""
    accessor = gltf.accessors[number]
    width = _WIDTHS.get(accessor.type)
    if accessor.sparse is not None or accessor.bufferView is None or width is None:
        raise MotionError(f"{path} stores its animation in a way that is not read (sparse)")
    view = gltf.bufferViews[accessor.bufferView]
    blob = gltf.binary_blob()
    if view.buffer != 0 or not blob:
        raise MotionError(f"{path} keeps its animation in another file; wanted it in the .glb")
    kind, one = _TYPES[accessor.componentType]
    item = np.dtype(kind).itemsize * width
    stride = view.byteStride or item
    start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
    end = start + stride * (accessor.count - 1) + item
    if accessor.count < 1 or end > min(len(blob), (view.byteOffset or 0) + view.byteLength):
        raise MotionError(f"{path} is damaged: its animation reaches beyond the end of the file")
    table = np.lib.stride_tricks.as_strided(
        np.frombuffer(blob, kind, offset=start, count=(end - start) // np.dtype(kind).itemsize),
        (accessor.count, width),
        (stride, np.dtype(kind).itemsize),
        writeable=False,
    )
    return np.maximum(table.astype(np.float64) / one, -1.0) if one != 1 else table.astype(float)


def _rotations(
    curve: _Curve, times: Float[np.ndarray, "N"], path: Path
) -> Float[np.ndarray, "N 3"]:
    """Axis-angle at the given times from keyframes of quaternions."""
    from scipy.spatial.transform import Rotation

    if curve.values.shape[1] != 4:
        raise MotionError(f"{path} has rotations of {curve.values.shape[1]} numbers; wanted 4")
    found = curve.at(times)
    if (np.linalg.norm(found, axis=1) < 1e-3).any():
        raise MotionError(f"{path} has a rotation of length zero; wanted unit quaternions")
    return Rotation.from_quat(found).as_rotvec()
