"""The optional InsightFace detector and embedding, on tiny ONNX networks of the same signatures."""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from motion2video.faces.insight import IdentityEmbedder, InsightDetector, align
from motion2video.faces.tracker import FaceTracker
from weights.errors import DependencyError, WeightsError

PORTRAITS = Path(__file__).resolve().parents[3] / "app/assets/portraits"
SIDE = 640


@pytest.fixture(scope="module", autouse=True)
def insightface() -> None:
    pytest.importorskip("insightface", reason="the extra `insightface` is not installed")


@pytest.fixture(scope="module")
def woman() -> np.ndarray:
    return np.asarray(Image.open(PORTRAITS / "default.jpg"))


@pytest.fixture(scope="module")
def plain() -> FaceTracker:
    return FaceTracker.load()


def write_detector(path: Path, box: tuple[float, float, float, float]) -> None:
    """SCRFD's signature (image -> scores, boxes, five points at strides 8, 16, 32; two anchors a
    cell), saying in every picture that there is one face in `box` of the 640 px input."""
    outputs, nodes = [], []
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    for part, width in (("score", 1), ("box", 4), ("points", 10)):
        for stride in (8, 16, 32):
            cells = SIDE // stride
            values = np.zeros((cells * cells * 2, width), np.float32)
            if stride == 32:
                x, y = (int(v) for v in centre // stride)
                row = (y * cells + x) * 2
                at = np.array([x, y]) * stride
                if part == "score":
                    values[row] = 0.9
                elif part == "box":
                    values[row] = np.abs(np.array(box) - np.tile(at, 2)) / stride
                else:
                    values[row] = np.tile(centre - at, 5) / stride
            name = f"{part}_{stride}"
            constant = numpy_helper.from_array(values, name)
            nodes.append(helper.make_node("Constant", [], [name], value=constant))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape))
    image = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, (1, 3, SIDE, SIDE))
    save(helper.make_graph(nodes, "scrfd", [image], outputs), path)


def write_embedder(path: Path) -> None:
    """ArcFace's signature ([1, 3, 112, 112] -> [1, 512]): a random projection of the crop."""
    weight = np.random.default_rng(0).standard_normal((192, 512)).astype(np.float32)
    nodes = [
        helper.make_node(
            "AveragePool", ["input.1"], ["pooled"], kernel_shape=[14, 14], strides=[14, 14]
        ),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["683"]),
    ]
    graph = helper.make_graph(
        nodes,
        "arcface",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, (1, 3, 112, 112))],
        [helper.make_tensor_value_info("683", TensorProto.FLOAT, (1, 512))],
        [numpy_helper.from_array(weight, "weight")],
    )
    save(graph, path)


def save(graph: onnx.GraphProto, path: Path) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def test_boxes_come_back_in_pixels_of_the_picture(tmp_path: Path, woman: np.ndarray) -> None:
    write_embedder(tmp_path / "a_recognition.onnx")  # tried first by name, and passed over
    write_detector(tmp_path / "det_tiny.onnx", (200.0, 100.0, 440.0, 420.0))
    wide = np.concatenate([woman, woman], axis=1)  # 1024x512: seen at 640x320
    (found,) = InsightDetector.load(tmp_path).detect(wide)
    np.testing.assert_allclose(found.box, np.array([200, 100, 440, 420]) * 1.6, atol=0.1)
    assert found.points is not None
    np.testing.assert_allclose(found.points[2], np.array([320, 260]) * 1.6, atol=0.1)
    assert found.score == pytest.approx(0.9)


def test_tracker_takes_the_mesh_inside_the_detected_box(
    tmp_path: Path, woman: np.ndarray, plain: FaceTracker
) -> None:
    """Of two people only the one that the second detector reports is found."""
    man = np.asarray(Image.open(PORTRAITS / "man_1.jpg"))
    pair = np.concatenate([woman, man], axis=1)
    everyone = sorted(plain.detect(pair), key=lambda f: f.centre[0])
    assert len(everyone) == 2
    x0, y0, x1, y1 = (v / 1.6 for v in everyone[1].box)
    write_detector(tmp_path / "det.onnx", (x0, y0, x1, y1))
    tracker = FaceTracker.load(detector="insightface", root=tmp_path)
    (only,) = tracker.detect(pair)
    assert np.abs(only.landmarks - everyone[1].landmarks)[:, :2].mean() < 2.0
    track = tracker.track([pair] * 3, fps=25.0)
    assert track.valid.all() and track.landmarks[:, 4, 0].min() > 512
    assert tracker.detect(np.full_like(pair, 127)) == []  # a box without a face in it


def test_align_puts_the_five_points_where_arcface_wants_them() -> None:
    goal = np.array([[38, 52], [74, 52], [56, 72], [42, 92], [71, 92]], np.float32)
    angle, size, shift = 0.4, 2.5, np.array([70, 40], np.float32)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (goal @ turn.T * size + shift + 60).astype(np.float32)
    picture = np.zeros((500, 500, 3), np.uint8)
    for point in points:
        cv2.circle(picture, (round(float(point[0])), round(float(point[1]))), 5, (255,) * 3, -1)
    crop = align(picture, points)
    assert crop.shape == (112, 112, 3)
    for x, y in goal.astype(int):
        assert crop[y - 2 : y + 3, x - 2 : x + 3].mean() > 120
    assert crop.mean() < 12  # and nothing else


def test_embedding_follows_the_face_and_not_its_place(
    tmp_path: Path, woman: np.ndarray, plain: FaceTracker
) -> None:
    write_embedder(tmp_path / "w600k_tiny.onnx")
    embedder = IdentityEmbedder.load(tmp_path)
    face = plain.settle(woman, plain.detect(woman)[0])
    first = embedder.embed(woman, face.landmarks)
    assert first.shape == (512,) and np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    moved = np.full((900, 800, 3), 200, np.uint8)
    moved[300:812, 200:712] = woman
    shift = np.array([200, 300, 0], np.float32)
    assert embedder.embed(moved, face.landmarks + shift) @ first > 0.9999
    assert embedder.embed(moved, face.landmarks) @ first < 0.9
    swapped = embedder.embed(np.ascontiguousarray(woman[..., ::-1]), face.landmarks)
    assert swapped @ first < 0.99  # colours matter, so their order does


def test_missing_parts_are_named_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match="no InsightFace detection model among the 0"):
        InsightDetector.load(tmp_path)
    write_detector(tmp_path / "det.onnx", (200.0, 100.0, 440.0, 420.0))
    with pytest.raises(WeightsError, match="no InsightFace recognition model among the 1"):
        IdentityEmbedder.load(tmp_path)
    (tmp_path / "det.onnx").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match="not a usable ONNX file"):
        InsightDetector.load(tmp_path)
    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path / "empty"))
    with pytest.raises(WeightsError, match="visavis weights fetch insightface_buffalo_l"):
        FaceTracker.load(detector="insightface")
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", None)
    with pytest.raises(DependencyError, match=r" install .*\[insightface\]"):
        FaceTracker.load(detector="insightface", root=tmp_path)
