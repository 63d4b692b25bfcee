"""The readers that are fuzzed, each with the endings of its files and a way to call it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reader:
    """`read` gets the path of a case, and may take `seconds` for it. With `network` its files
    may name addresses that are asked: the files of a manifest may be in an object store.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path], object]
    seconds: float = 10.0
    network: bool = False


def _picture(path: Path) -> object:
    from motion2video.portrait.portrait import load_image

    return load_image(path)


def _sound(path: Path) -> object:
    from audio2motion.hearing.audio import Waveform

    return Waveform.load(path, max_seconds=600.0)


def _sound_stream(path: Path) -> object:
    from audio2motion.hearing.sound_stream import SoundStream

    data, stream = path.read_bytes(), SoundStream()
    for start in range(0, len(data), 4_096):
        stream.push(data[start : start + 4_096])
    return stream.flush()


def _video(path: Path) -> object:
    from motion2video.media.container import probe
    from motion2video.media.video import frames_at

    found = probe(path)
    for _ in frames_at(path, 25.0, max_pixels=1 << 20, max_frames=250):
        pass
    return found


def _motion(path: Path) -> object:
    from motion2video.exchange import read_motion

    return read_motion(path).resample(25.0)


def _transcript(path: Path) -> object:
    from audio2motion.gestures.transcript import Transcript

    return Transcript.load(path).gestures()


def _gestures(path: Path) -> object:
    from audio2motion.gestures.timeline import load_timeline

    return load_timeline(path)


def _manifest(path: Path) -> object:
    from app.batch.manifest import read_manifest

    return read_manifest(str(path), {})


def _tensors(path: Path) -> object:
    from weights.tensors import read_safetensors

    return read_safetensors(path)


def _roles(path: Path) -> object:
    from weights.manifest import read_manifest

    return read_manifest(path)


def _state(path: Path) -> object:
    from audio2motion.network.state_codec import decode

    return decode(path.read_bytes())


READERS: dict[str, Reader] = {
    "picture": Reader((".jpg", ".png", ".webp", ".tiff", ".bmp", ".gif"), _picture),
    "sound": Reader((".wav", ".flac", ".mp3", ".ogg", ".m4a"), _sound),
    "sound-stream": Reader((".wav",), _sound_stream),
    "video": Reader((".mp4", ".mkv", ".mov"), _video, 20.0),
    "npz": Reader((".npz",), _motion),
    "live-link": Reader((".csv",), _motion),
    "bvh": Reader((".bvh",), _motion),
    "glb": Reader((".glb",), _motion),
    "transcript": Reader((".srt", ".vtt", ".json", ".txt"), _transcript),
    "gestures": Reader((".json", ".csv"), _gestures),
    "manifest": Reader((".jsonl", ".csv", ".parquet"), _manifest, network=True),
    "safetensors": Reader((".safetensors",), _tensors),
    "roles": Reader((".toml",), _roles),
    "state": Reader((".state",), _state),
}
