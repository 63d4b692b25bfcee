"""The glTF head: what the specification asks, what it looks like in 3D, and wrong files."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import KDTree

from motion2video.exchange import read_motion, write_motion
from motion2video.formats.head_mesh import HeadMesh
from motion2video.geometry.angles import EYES
from motion2video.geometry.basis import EYE_CORNERS, INTEROCULAR_M, FaceBasis
from motion2video.geometry.head_model import HeadModel
from motion2video.motion import EXPRESSION_NAMES, ROTATION, Motion, channel_index
from tests.motion2video.formats.test_exchange import moving
from weights.errors import InputError, MotionError

WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
TYPES = {5126: "<f4", 5123: "<u2"}
Json = dict[str, Any]


def chunks(path: Path) -> tuple[Json, bytes]:
    """The container, read by hand, with what its specification asks."""
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack("<I4s", data[12:20])
    assert kind == b"JSON" and size % 4 == 0
    rest = data[20 + size :]
    binary, kind = struct.unpack("<I4s", rest[:8])
    assert kind == b"BIN\0" and binary % 4 == 0 and len(rest) == 8 + binary
    return json.loads(data[20 : 20 + size]), rest[8:]


def packed(path: Path, gltf: Json, binary: bytes) -> Path:
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text
    body += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    return path


def numbers(gltf: Json, binary: bytes, index: int) -> np.ndarray:
    """The values of an accessor; without a view they are 0 but for the sparse ones."""
    accessor = gltf["accessors"][index]
    kind, width = TYPES[accessor["componentType"]], WIDTHS[accessor["type"]]

    def viewed(source: Json, kind: str, count: int) -> np.ndarray:
        view = gltf["bufferViews"][source["bufferView"]]
        start = view.get("byteOffset", 0) + (source.get("byteOffset") or 0)
        assert start % 4 == 0
        assert start + count * np.dtype(kind).itemsize <= len(binary)
        return np.frombuffer(binary, kind, count, start)

    if accessor.get("bufferView") is not None:
        return viewed(accessor, kind, accessor["count"] * width).reshape(-1, width)
    values = np.zeros((accessor["count"], width), kind)
    if (sparse := accessor.get("sparse")) is not None:
        where = viewed(
            sparse["indices"], TYPES[sparse["indices"]["componentType"]], sparse["count"]
        )
        assert (np.diff(where.astype(int)) > 0).all() and where.max() < len(values)
        values[where] = viewed(sparse["values"], kind, sparse["count"] * width).reshape(-1, width)
    return values


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion(moving(30.0), tmp_path_factory.mktemp("glb") / "m.glb")


def test_the_file_is_what_the_specification_asks(written: Path) -> None:
    """The rules of glTF 2.0 on accessors, meshes and animations that concern this file."""
    gltf, binary = chunks(written)
    assert gltf["asset"]["version"] == "2.0" and gltf["scenes"][gltf["scene"]]["nodes"] == [0]
    for index, accessor in enumerate(gltf["accessors"]):
        values = numbers(gltf, binary, index)
        assert np.isfinite(values).all()
        assert "bufferView" in accessor or "byteOffset" not in accessor
        if "min" in accessor:
            assert np.array_equal(np.float32(accessor["min"]), values.min(0))
            assert np.array_equal(np.float32(accessor["max"]), values.max(0))
    for mesh in gltf["meshes"]:
        for part in mesh["primitives"]:
            attributes = part["attributes"]
            count = gltf["accessors"][attributes["POSITION"]]["count"]
            assert "min" in gltf["accessors"][attributes["POSITION"]]
            assert all(gltf["accessors"][a]["count"] == count for a in attributes.values())
            normals = numbers(gltf, binary, attributes["NORMAL"])
            assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
            assert numbers(gltf, binary, part["indices"]).max() < count
            for target in part.get("targets") or []:
                assert "min" in gltf["accessors"][target["POSITION"]]
                assert all(gltf["accessors"][a]["count"] == count for a in target.values())
    face = gltf["meshes"][0]
    assert face["extras"]["targetNames"] == list(EXPRESSION_NAMES)
    assert {len(part["targets"]) for part in face["primitives"]} == {52} == {len(face["weights"])}


def test_the_animation_is_the_motion(written: Path) -> None:
    gltf, binary = chunks(written)
    motion, (animation,) = moving(30.0), gltf["animations"]
    curves, times = {}, np.zeros(0)
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        assert sampler["interpolation"] == "LINEAR"
        times = numbers(gltf, binary, sampler["input"])[:, 0]
        assert "min" in gltf["accessors"][sampler["input"]] and (np.diff(times) > 0).all()
        name = gltf["nodes"][channel["target"]["node"]]["name"]
        curves[name, channel["target"]["path"]] = numbers(gltf, binary, sampler["output"])
    assert np.allclose(times, np.arange(120) / 30, atol=1e-5)
    assert np.allclose(curves["Head", "weights"].reshape(-1, 52), motion.expression)
    assert np.allclose(curves["Head", "translation"], motion.translation * INTEROCULAR_M)
    quaternions = curves["Head", "rotation"]
    assert np.allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-6)
    half = np.linalg.norm(motion.rotation, axis=1) / 2
    assert np.allclose(np.abs(quaternions[:, 3]), np.cos(half), atol=1e-5)
    assert (np.sum(quaternions[1:] * quaternions[:-1], 1) > 0).all(), "no flip of the sign"
    assert ("LeftEye", "rotation") in curves and ("RightEye", "rotation") in curves


def nearest(points: np.ndarray, marks: list[int]) -> np.ndarray:
    """Which points of a head's skin lie at landmarks of the mean face."""
    return np.asarray(KDTree(points).query(FaceBasis.load().canonical[marks])[1])


@pytest.fixture(scope="module")
def head() -> HeadMesh:
    return HeadMesh.average(FaceBasis.load())


def test_it_is_a_whole_head_with_the_size_and_the_sides_of_a_person(written: Path) -> None:
    gltf, binary = chunks(written)
    names = [gltf["materials"][p["material"]]["name"] for p in gltf["meshes"][0]["primitives"]]
    assert names == ["Skin", "Mouth", "EyeSocket", "Gums", "Teeth"]
    part = gltf["meshes"][0]["primitives"][0]
    points = numbers(gltf, binary, part["attributes"]["POSITION"])
    wide, high, deep = np.ptp(points[np.abs(points[:, 1]) < 0.1], axis=0)
    assert 0.15 < wide < 0.2 and 0.15 < deep < 0.25 and high > 0.19, "metres, to the back"
    nose, forehead, chin = points[nearest(points / INTEROCULAR_M, [1, 10, 152])]
    assert nose[2] > 0.95 * points[:, 2].max(), "the nose is in front: +z"
    assert forehead[1] > chin[1], "the forehead is above the chin: +y"
    corners = numbers(gltf, binary, part["indices"]).reshape(-1, 3).astype(int)
    a, b, c = (points[corners[:, k]] for k in range(3))
    top = a[:, 1] > 0.04
    outwards = np.sum(np.cross(b - a, c - a) * (a - points.mean(0)), 1) > 0
    assert outwards[top].mean() > 0.99, "counter-clockwise from outside"
    normals = numbers(gltf, binary, part["attributes"]["NORMAL"])
    assert normals[nearest(points / INTEROCULAR_M, [1])[0], 2] > 0.5
    left, right = (n["translation"] for n in gltf["nodes"][1:])
    assert left[0] > 0.02 and right[0] < -0.02, "the person's left is at the viewer's right"


def test_the_file_holds_what_moves_alone(written: Path) -> None:
    gltf, binary = chunks(written)
    assert written.stat().st_size < 8e6
    teeth = gltf["meshes"][0]["primitives"][4]
    smile = teeth["targets"][channel_index("mouthSmileLeft")]["POSITION"]
    assert gltf["accessors"][smile].get("bufferView") is None
    assert not numbers(gltf, binary, smile).any(), "a smile moves no tooth"


def test_targets_do_what_their_names_say(head: HeadMesh) -> None:
    skin = head.parts["skin"]

    def posed(marks: list[int], *names: str) -> np.ndarray:
        at = nearest(skin.points, marks)
        return skin.points[at] + sum(skin.targets[channel_index(name)][at] for name in names)

    upper, lower = ([160, 159, 158], [144, 145, 153]), ([385, 386, 387], [380, 374, 373])
    for lids in (upper, lower):
        open_gap, gap = (
            posed(lids[0], *names)[:, 1] - posed(lids[1], *names)[:, 1]
            for names in ((), ("eyeBlinkLeft", "eyeBlinkRight"))
        )
        assert open_gap.min() > 0.08 and gap.max() < 0.03, "lids meet"
    wink = posed(upper[0], "eyeBlinkLeft")
    assert np.abs(wink - posed(upper[0])).max() < 1e-3, "one wink is one eye"
    assert posed([14], "jawOpen")[0, 1] < posed([14])[0, 1] - 0.2
    corners = [291, 61]
    assert (posed(corners, "mouthSmileLeft", "mouthSmileRight") > posed(corners))[:, 1].all()
    jaw = head.parts["teeth"].targets[channel_index("jawOpen")][:, 1]
    below = head.parts["teeth"].points[:, 1] < np.median(head.parts["teeth"].points[:, 1]) - 0.2
    assert (jaw[below] < -0.1).all(), "the lower teeth go with the jaw"
    assert (np.abs(jaw) < 1e-3).mean() > 0.3, "and the upper ones stay"
    assert head.parts["gums"].targets[channel_index("jawOpen")].min() < -0.2, "so does the tongue"


def test_a_closed_mouth_hides_its_teeth_and_eyeballs_lie_behind_the_lids(head: HeadMesh) -> None:
    skin = head.parts["skin"].points
    lips = skin[nearest(skin, [0, 13, 14, 17])]
    assert head.parts["teeth"].points[:, 2].max() < lips[:, 2].max()
    for eye, corners in zip(EYES, reversed(EYE_CORNERS), strict=True):
        ball, lids = head.eyes[eye], [159, 145] if eye == "Right" else [386, 374]
        middle = skin[nearest(skin, list(corners))].mean(0)
        assert abs(ball.centre[0] - middle[0]) < 0.05
        front = ball.centre[2] + ball.points[:, 2].max()
        assert front < skin[nearest(skin, lids), 2].max() + 0.03
        for part in (ball.pupil, ball.iris, ball.white):
            a, b, c = (ball.points[part[:, k]] for k in range(3))
            assert (np.sum(np.cross(b - a, c - a) * (a + b + c), 1) > 0).all(), "outwards"


def test_the_head_follows_the_face_it_is_fitted_to() -> None:
    """The face's points lie on it, the skull does not warp, and the teeth keep their shape."""
    basis = FaceBasis.load()
    model = HeadModel.load()
    face = basis.canonical.copy()
    face[:, 0] *= 1 + 0.15 * np.clip(-face[:, 1] - 0.5, 0, 1)  # a broad jaw
    plain, broad = model.fitted(basis.canonical), model.fitted(face)
    away = np.linalg.norm(broad.anchors - face[:468], axis=1)
    assert np.median(away) < 0.02 and np.quantile(away, 0.95) < 0.06
    widths = [np.ptp(m.anchors[[172, 397], 0]) for m in (plain, broad)]
    assert widths[1] > 1.05 * widths[0]
    back = plain.parts["skin"].points[:, 2] < -1.5
    assert np.abs((broad.parts["skin"].points - plain.parts["skin"].points)[back]).max() < 0.15
    a, b = (m.parts["teeth"].points - m.parts["teeth"].points.mean(0) for m in (plain, broad))
    assert abs(np.linalg.norm(a) / np.linalg.norm(b) - 1) < 0.05


def test_files_of_other_programs_are_read(written: Path, tmp_path: Path) -> None:
    """Fewer and other targets, names in another case, held keyframes, a place for the head."""
    gltf, binary = chunks(written)
    names = [n.upper() if n != "jawLeft" else "Wrinkle" for n in EXPRESSION_NAMES]
    gltf["meshes"][0]["extras"]["targetNames"] = names
    gltf["nodes"][0]["translation"] = [0.0, 1.6, 0.0]
    for sampler in gltf["animations"][0]["samplers"]:
        sampler["interpolation"] = "STEP"
    again, motion = read_motion(packed(tmp_path / "m.glb", gltf, binary)), moving(30.0)
    assert np.allclose(again.rotation, motion.rotation, atol=1e-5)
    assert not again.channel("jawLeft").any()
    assert np.allclose(again.channel("jawOpen"), motion.channel("jawOpen"), atol=1e-6)
    gltf["animations"][0]["channels"] = [
        c for c in gltf["animations"][0]["channels"] if c["target"]["path"] == "weights"
    ]
    still = read_motion(packed(tmp_path / "m.glb", gltf, binary))
    assert not still.values[:, ROTATION].any()


def drop_names(gltf: Json) -> None:
    del gltf["meshes"][0]["extras"]


def far_view(gltf: Json) -> None:
    output = gltf["animations"][0]["samplers"][0]["output"]
    gltf["accessors"][output]["count"] *= 50


def odd_weights(gltf: Json) -> None:
    output = gltf["animations"][0]["samplers"][0]["output"]
    gltf["accessors"][output]["count"] -= 120


def no_accessor(gltf: Json) -> None:
    gltf["animations"][0]["samplers"][0]["input"] = 10_000


def not_gltf(gltf: Json) -> None:
    gltf["animations"] = "none"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda gltf: gltf.pop("animations"), "no animation of morph targets"),
        (drop_names, "no animation of morph targets"),
        (far_view, "beyond the end"),
        (odd_weights, "51 weights a keyframe for 52"),
        (no_accessor, "damaged"),
        (not_gltf, "damaged"),
        (lambda gltf: gltf["bufferViews"].clear(), "damaged"),
    ],
)
def test_wrong_files_get_one_sentence(
    written: Path, tmp_path: Path, change: Callable[[Json], object], said: str
) -> None:
    gltf, binary = chunks(written)
    change(gltf)
    with pytest.raises(MotionError, match=said):
        read_motion(packed(tmp_path / "m.glb", gltf, binary))


def test_cut_off_and_not_finite(written: Path, tmp_path: Path) -> None:
    data, path = written.read_bytes(), tmp_path / "m.glb"
    for size in (10, 19, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(MotionError):
            read_motion(path)
    gltf, binary = chunks(written)
    output = gltf["animations"][0]["samplers"][0]["output"]
    start = gltf["bufferViews"][gltf["accessors"][output]["bufferView"]]["byteOffset"]
    bad = binary[:start] + np.float32("nan").tobytes() + binary[start + 4 :]
    with pytest.raises(MotionError, match="not finite"):
        read_motion(packed(path, gltf, bad))


def test_no_frames_no_animation(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="without frames"):
        write_motion(Motion.neutral(0), tmp_path / "m.glb")
    head = HeadMesh.average(FaceBasis.load())
    with pytest.raises(InputError, match=r"only a \.glb"):
        write_motion(Motion.neutral(5), tmp_path / "m.csv", head)
