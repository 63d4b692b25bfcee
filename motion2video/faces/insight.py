"""InsightFace, optional: a second face detector (SCRFD) and an identity embedding (ArcFace).

The Python package is MIT-licensed and installed with the extra `insightface`. Its model packs
(buffalo_l and the others) are **for non-commercial research only**, by their authors' terms;
Visavis neither carries nor downloads one unasked. Any folder of SCRFD and ArcFace ONNX files of
the same signatures will do.
"""

import contextlib
import importlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from weights import find, load_manifest, locate
from weights.errors import DependencyError, WeightsError
from weights.installation import how_to_add
from weights.registry import how_to_fetch
from weights.telemetry import import_onnxruntime

ROLE = "insightface_buffalo_l"
_DETECTOR_SIZE = (640, 640)
_CROP = 112
# Where ArcFace wants eyes, nose and mouth corners (left of the picture first) in its 112 px crop:
# arcface_dst of insightface/utils/face_align.py.
_ARCFACE_POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)
# The same five in the 478-point mesh: irises, nose tip, mouth corners.
MESH_POINTS = [468, 473, 4, 61, 291]


@dataclass(frozen=True, eq=False)
class Detection:
    """A face that the detector found: box (x0, y0, x1, y1) and five points (eyes, nose, mouth
    corners; left of the picture first), in pixels, and its score in [0, 1]."""

    box: tuple[float, float, float, float]
    points: Float[np.ndarray, "5 2"] | None
    score: float


class InsightDetector:
    """SCRFD face detector of an InsightFace model pack. Packs: non-commercial research only."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @staticmethod
    def load(folder: Path | None = None, threshold: float = 0.5) -> "InsightDetector":
        """From a folder of ONNX files (default: the pack that was fetched).

        Raises DependencyError without the package, WeightsError without a detector.
        """
        model = _load_model(folder, "detection", first="det")
        model.prepare(ctx_id=-1, input_size=_DETECTOR_SIZE, det_thresh=threshold)
        return InsightDetector(model)

    def detect(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Detection]:
        """All faces of a picture, best score first."""
        boxes, points = self._model.detect(np.ascontiguousarray(image[..., ::-1]))
        found = []
        for i, (x0, y0, x1, y1, score) in enumerate(boxes.tolist()):
            five = None if points is None else np.asarray(points[i], np.float32)
            found.append(Detection((x0, y0, x1, y1), five, score))
        return sorted(found, key=lambda d: -d.score)


class IdentityEmbedder:
    """ArcFace embedding of a face: two pictures of one person have a cosine near 1.

    Packs: non-commercial research only.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @staticmethod
    def load(folder: Path | None = None) -> "IdentityEmbedder":
        """From a folder of ONNX files (default: the pack that was fetched).

        Raises DependencyError without the package, WeightsError without an embedding network.
        """
        return IdentityEmbedder(_load_model(folder, "recognition", first="w600k"))

    @staticmethod
    def load_if_there() -> "IdentityEmbedder | None":
        """The pack that was fetched; None without it, without the package, or where a manifest of
        the user's own does not name it.
        """
        if ROLE not in load_manifest().roles:
            return None
        if locate(ROLE) is None or importlib.util.find_spec("insightface") is None:
            return None
        return IdentityEmbedder.load()

    def embed(
        self, image: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "478 3"]
    ) -> Float[np.ndarray, "D"]:
        """Unit vector (512 numbers for ArcFace) of the face with these landmarks in pixels."""
        crop = align(image, landmarks[MESH_POINTS, :2])
        vector = np.asarray(self._model.get_feat(np.ascontiguousarray(crop[..., ::-1])))
        vector = vector.reshape(-1).astype(np.float32)
        return vector / max(float(np.linalg.norm(vector)), 1e-9)


def align(
    image: UInt8[np.ndarray, "H W 3"], points: Float[np.ndarray, "5 2"]
) -> UInt8[np.ndarray, "112 112 3"]:
    """The face turned, scaled and shifted so that its five points lie (in least squares) where
    ArcFace was trained to have them."""
    import cv2

    mean, goal = points.mean(0), _ARCFACE_POINTS.mean(0)
    s, t = points - mean, _ARCFACE_POINTS - goal
    size = max(float((s**2).sum()), 1e-9)
    a = float((s * t).sum()) / size
    b = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / size
    turn = np.array([[a, -b], [b, a]])
    matrix = np.column_stack([turn, goal - turn @ mean])
    return cv2.warpAffine(image, matrix, (_CROP, _CROP), flags=cv2.INTER_LINEAR).astype(np.uint8)


def _load_model(folder: Path | None, task: str, first: str) -> Any:
    """The first ONNX file of a folder that InsightFace recognises as `task`; files whose name
    begins with `first` are tried before the others, because some packs are large."""
    ort = import_onnxruntime()  # before insightface imports it
    zoo = _model_zoo()
    folder = folder or find(ROLE)
    files = sorted(folder.glob("*.onnx"), key=lambda f: (not f.name.startswith(first), f.name))
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    unusable = (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
    )
    for file in files:
        options = ort.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it finds
                model = zoo.get_model(
                    str(file), providers=["CPUExecutionProvider"], sess_options=options
                )
        except unusable as error:
            raise WeightsError(f"{file} is not a usable ONNX file: {error}") from error
        if model is not None and getattr(model, "taskname", None) == task:
            return model
    raise WeightsError(
        f"no InsightFace {task} model among the {len(files)} .onnx files of {folder}: give a "
        f"folder with a SCRFD and an ArcFace file, or {how_to_fetch(ROLE)} "
        "(non-commercial research only)"
    )


def _model_zoo() -> Any:
    try:
        return importlib.import_module("insightface.model_zoo")
    except ImportError as error:
        raise DependencyError(
            "the detector `insightface` needs the package insightface: run "
            f"`{how_to_add('insightface')}`, or use the default detector"
        ) from error
