"""Write the three networks of MediaPipe's Face Landmarker as ONNX graphs (role face_landmarker).

    python -m scripts.train.landmarker --model face_landmarker.task [--out FILE]

weights/landmarker.md says where Google keeps the model. Needs the packages onnx and tflite. Run
scripts/update_manifest.py afterwards.
"""

import argparse
import zipfile
from pathlib import Path

import numpy as np

from scripts.train.tflite_graph import Writer
from weights.tensors import save_safetensors

# Name of the graph -> file in the model, names of the outputs, whether its input is a picture.
_GRAPHS = {
    "detector": ("face_detector.tflite", ["boxes", "scores"], True),
    "landmarks": ("face_landmarks_detector.tflite", ["points", "presence"], True),
    "expression": ("face_blendshapes.tflite", ["scores"], False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("weights/landmarker.safetensors"))
    options = parser.parse_args()
    graphs: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(options.model) as bundle:
        for name, (file, outputs, pictures) in _GRAPHS.items():
            written = Writer(bundle.read(file), outputs, pictures).write(name)
            graphs[name] = np.frombuffer(written, np.uint8).copy()
    source = f"{options.model.name} float16/1 of MediaPipe"
    save_safetensors(options.out, graphs, {"source": source})
    print(f"{options.out}: {sum(len(graph) for graph in graphs.values())} bytes")


if __name__ == "__main__":
    main()
