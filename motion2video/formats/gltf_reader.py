"""Motion out of a glTF 2.0 binary (`.glb`), ours or another program's.

Read is the first animation that moves the morph targets of a mesh whose `extras.targetNames` are
ARKit's shapes, and the rotation and translation of that mesh's node. Names may differ in case and
some may be missing; other targets are ignored. Detail components are zero.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motion2video.formats.keyframes import motion_at_one_rate
from motion2video.geometry.basis import INTEROCULAR_M
from motion2video.motion import (
    EXPRESSION_NAMES,
    MAX_FRAMES,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    Motion,
)
from weights.errors import MotionError
from weights.opening import open_regular

_MAGIC, _VERSION = b"glTF", 2
_MAX_BYTES = 1 << 30
_MAX_DESCRIPTION = 1 << 23
_MAX_NUMBERS = 1 << 26
_JSON_CHUNK, _BINARY_CHUNK = b"JSON", b"BIN\0"
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
# Component types of the specification, and what a normalised 1 is.
_TYPES = {5126: ("<f4", 1.0), 5120: ("i1", 127.0), 5121: ("u1", 255.0)}
_TYPES |= {5122: ("<i2", 32767.0), 5123: ("<u2", 65535.0)}

Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _File:
    """A .glb in memory: what it says is in it, and the chunk of numbers."""

    path: Path
    description: Json
    numbers: bytes

    def item(self, kind: str, index: Any) -> Json:
        """The item of that number in a list such as "nodes". Raises MotionError."""
        items = self.items(self.description, kind)
        if type(index) is not int or not 0 <= index < len(items):
            raise MotionError(
                f"{self.path} is a damaged glTF file: there is no number {index!s:.20} in {kind}"
            )
        return self.as_object(items[index])

    def items(self, owner: Json, name: str) -> list[Any]:
        """A list of an object; empty where it has none. Raises MotionError."""
        found = owner.get(name, [])
        if not isinstance(found, list):
            raise MotionError(f"{self.path} is a damaged glTF file: {name} is no list")
        return found

    def as_object(self, found: Any) -> Json:
        """What was found, as an object. Raises MotionError."""
        if not isinstance(found, dict):
            raise MotionError(f"{self.path} is a damaged glTF file: its parts do not fit together")
        return found

    def size(self, owner: Json, name: str) -> int:
        """A length or place; 0 where it is not given. Raises MotionError."""
        found = owner.get(name, 0)
        if type(found) is not int or not 0 <= found <= _MAX_BYTES:
            raise MotionError(f"{self.path} is a damaged glTF file: {name} is {found!s:.20}")
        return found


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
    glb = _load(Path(path))
    animation, node = _find(glb)
    names = _target_names(glb, glb.item("nodes", node).get("mesh"))
    weights = _curve(glb, animation, node, "weights", len(names))
    assert weights is not None
    known = {name.casefold(): i for i, name in enumerate(EXPRESSION_NAMES)}
    values = np.zeros((len(weights.times), MOTION_DIM))
    for column, name in enumerate(names):
        if name.casefold() in known:
            values[:, known[name.casefold()]] = weights.values[:, column]
    turn = _curve(glb, animation, node, "rotation", 4)
    if turn is not None:
        values[:, ROTATION] = _rotations(turn, weights.times, glb.path)
    shift = _curve(glb, animation, node, "translation", 3)
    if shift is not None:
        values[:, TRANSLATION] = (shift.at(weights.times) - _rest(glb, node)) / INTEROCULAR_M
    return motion_at_one_rate(weights.times, values, str(glb.path))


def _load(path: Path) -> _File:
    """The file's description and its numbers; every length is checked before it is used."""
    with open_regular(path, "motion file", _MAX_BYTES) as file:
        data = file.read(_MAX_BYTES)
    if len(data) < 20 or data[:4] != _MAGIC:
        raise MotionError(f"{path} is not a .glb file: it does not begin with {_MAGIC.decode()}")
    version, length = (int.from_bytes(data[at : at + 4], "little") for at in (4, 8))
    if version != _VERSION:
        raise MotionError(f"{path} is glTF version {version}; wanted {_VERSION}")
    if length > len(data):
        raise MotionError(f"{path} is cut off: it has {len(data)} of {length} bytes")
    chunks: dict[bytes, tuple[int, int]] = {}
    at = 12
    while at < length:
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 8 + size > length:
            raise MotionError(f"{path} is damaged: a chunk reaches beyond the end of the file")
        chunks.setdefault(data[at + 4 : at + 8], (at + 8, at + 8 + size))
        at += 8 + size
        if len(chunks) > 2:
            break
    start, end = chunks.get(_JSON_CHUNK, (0, 0))
    if not 0 < end - start <= _MAX_DESCRIPTION:
        raise MotionError(f"{path} is damaged: its description has {end - start} bytes")
    try:
        description = json.loads(data[start:end].decode())
    except (ValueError, RecursionError) as error:
        raise MotionError(f"{path} is damaged: its description is not glTF 2.0") from error
    start, end = chunks.get(_BINARY_CHUNK, (0, 0))
    if not isinstance(description, dict):
        raise MotionError(f"{path} is damaged: it holds no description of a scene")
    return _File(path, description, data[start:end])


def _find(glb: _File) -> tuple[Json, int]:
    """The first animation of morph targets with at least one of ARKit's names, and its node."""
    known = {name.casefold() for name in EXPRESSION_NAMES}
    looked: set[int] = set()
    for animation in glb.items(glb.description, "animations"):
        for channel in glb.items(glb.as_object(animation), "channels"):
            target = glb.as_object(glb.as_object(channel).get("target", {}))
            node = target.get("node")
            if target.get("path") != "weights" or node is None:
                continue
            mesh = glb.item("nodes", node).get("mesh")
            if node in looked:
                continue
            if mesh is not None and known & {n.casefold() for n in _target_names(glb, mesh)}:
                return animation, node
            looked.add(node)
    raise MotionError(
        f"{glb.path} has no animation of morph targets with ARKit's names (extras.targetNames)"
    )


def _target_names(glb: _File, mesh: Any) -> list[str]:
    extras = glb.item("meshes", mesh).get("extras")
    names = glb.items(extras, "targetNames") if isinstance(extras, dict) else []
    return [name if isinstance(name, str) else "" for name in names]


def _rest(glb: _File, node: int) -> Float[np.ndarray, "3"]:
    """Where a node is without its animation."""
    found = glb.items(glb.item("nodes", node), "translation") or [0.0, 0.0, 0.0]
    numbers = [float(x) for x in found if type(x) in (int, float) and abs(x) < _MAX_BYTES]
    if len(found) != 3 or len(numbers) != 3:
        raise MotionError(f"{glb.path} is a damaged glTF file: a translation is no three numbers")
    return np.array(numbers)


def _curve(glb: _File, animation: Json, node: int, name: str, rows: int) -> _Curve | None:
    """Keyframes of one property of a node, `rows` numbers a keyframe; None when not animated."""
    for channel in glb.items(animation, "channels"):
        target = glb.as_object(glb.as_object(channel).get("target", {}))
        if target.get("node") != node or target.get("path") != name:
            continue
        sampler, path = _sampler(glb, animation, channel), glb.path
        times = _accessor(glb, sampler.get("input"))
        if times.shape[1] != 1 or len(times) > MAX_FRAMES:
            raise MotionError(f"{path} has {len(times)} keyframes; at most {MAX_FRAMES} are read")
        values, times = _accessor(glb, sampler.get("output")), times[:, 0]
        # In-tangent, value and out-tangent of every keyframe.
        parts = 3 if sampler.get("interpolation") == "CUBICSPLINE" else 1
        if values.size % (len(times) * parts):
            raise MotionError(f"{path} has {name} that do not fit their {len(times)} times")
        values = values.reshape(len(times), parts, -1)[:, parts // 2]
        if values.shape[1] != rows:
            wanted = f"{rows} morph targets" if name == "weights" else f"a {name} of {rows}"
            raise MotionError(f"{path} has {values.shape[1]} {name} a keyframe for {wanted}")
        if not np.isfinite(values).all() or not np.isfinite(times).all():
            raise MotionError(f"{path} has {name} that are not finite numbers")
        if (np.diff(times) <= 0).any():
            raise MotionError(f"{path} has {name} whose times do not rise")
        return _Curve(times, values, sampler.get("interpolation") == "STEP")
    return None


def _sampler(glb: _File, animation: Json, channel: Json) -> Json:
    samplers, number = glb.items(animation, "samplers"), channel.get("sampler")
    if type(number) is not int or not 0 <= number < len(samplers):
        raise MotionError(f"{glb.path} is a damaged glTF file: a sampler is missing")
    return glb.as_object(samplers[number])


def _accessor(glb: _File, number: Any) -> Float[np.ndarray, "n c"]:
    """The numbers of an accessor, as floats [count, components]."""
    path, accessor = glb.path, glb.item("accessors", number)
    kind, width = accessor.get("componentType"), accessor.get("type")
    if (
        "sparse" in accessor
        or "bufferView" not in accessor
        or width not in tuple(_WIDTHS)
        or kind not in tuple(_TYPES)
    ):
        raise MotionError(f"{path} stores its animation in a way that is not read (sparse)")
    view = glb.item("bufferViews", accessor["bufferView"])
    if view.get("buffer", 0) != 0 or not glb.numbers:
        raise MotionError(f"{path} keeps its animation in another file; wanted it in the .glb")
    dtype, one = _TYPES[kind]
    item = np.dtype(dtype).itemsize * _WIDTHS[width]
    stride, count = glb.size(view, "byteStride") or item, glb.size(accessor, "count")
    if stride < item:
        raise MotionError(f"{path} is damaged: its numbers lie on each other")
    start = glb.size(view, "byteOffset") + glb.size(accessor, "byteOffset")
    end = start + stride * (count - 1) + item
    stop = min(len(glb.numbers), glb.size(view, "byteOffset") + glb.size(view, "byteLength"))
    if count < 1 or end > stop:
        raise MotionError(f"{path} is damaged: its animation reaches beyond the end of the file")
    if count * _WIDTHS[width] > _MAX_NUMBERS:
        raise MotionError(f"{path} has an animation of {count} numbers; it is too long")
    # Of every stride the first item; the last stride may lack what follows its item.
    table = np.ndarray(
        (count, _WIDTHS[width]),
        dtype,
        glb.numbers,
        offset=start,
        strides=(stride, np.dtype(dtype).itemsize),
    )
    return np.maximum(table.astype(np.float64) / one, -1.0) if one != 1 else table.astype(float)


def _rotations(
    curve: _Curve, times: Float[np.ndarray, "N"], path: Path
) -> Float[np.ndarray, "N 3"]:
    """Axis-angle at the given times from keyframes of quaternions."""
    from scipy.spatial.transform import Rotation

    found = curve.at(times)
    if (np.linalg.norm(found, axis=1) < 1e-3).any():
        raise MotionError(f"{path} has a rotation of length zero; wanted unit quaternions")
    return Rotation.from_quat(found).as_rotvec()
