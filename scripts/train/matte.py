"""Write MediaPipe's selfie segmentation as an ONNX graph (role matte).

    python -m scripts.train.matte --model selfie_segmentation.tflite [--out FILE]

The model is in the wheel `mediapipe==0.10.21` (mediapipe/modules/selfie_segmentation). Needs the
packages onnx and tflite. Run scripts/update_manifest.py afterwards.
"""

import argparse
from pathlib import Path

import numpy as np

from scripts.train.tflite_graph import Writer
from weights.tensors import save_safetensors


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("weights/matte.safetensors"))
    options = parser.parse_args()
    written = Writer(options.model.read_bytes(), ["alpha"]).write("matte")
    graph = np.frombuffer(written, np.uint8).copy()
    source = f"{options.model.name} of mediapipe 0.10.21"
    save_safetensors(options.out, {"graph": graph}, {"source": source})
    print(f"{options.out}: {len(graph)} bytes")


if __name__ == "__main__":
    main()
