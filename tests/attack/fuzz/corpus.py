"""Good files of every reader, small ones: made by the project's own writers where it has one."""

import io
import json
import tempfile
import wave
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from motion2video.motion import EXPRESSION_NAMES, MOTION_DIM, Motion

_FRAMES = 12


Files = tuple[tuple[str, bytes], ...]


@cache
def good_files(reader: str) -> Files:
    """(ending, bytes) of the good files of a reader, made once a process."""
    with tempfile.TemporaryDirectory(prefix="good-") as folder:
        return tuple(_MAKERS[reader](Path(folder)))


def _motion() -> Motion:
    wave_ = np.sin(np.arange(_FRAMES * MOTION_DIM).reshape(_FRAMES, MOTION_DIM))
    return Motion((np.abs(wave_) * 0.5).astype(np.float32))


def _written(suffix: str) -> Callable[[Path], Iterator[tuple[str, bytes]]]:
    def make(folder: Path) -> Iterator[tuple[str, bytes]]:
        from motion2video.exchange import write_motion

        motion = _motion()
        yield suffix, write_motion(motion, folder / f"m{suffix}").read_bytes()
        yield suffix, write_motion(motion[:1], folder / f"m{suffix}").read_bytes()

    return make


def _npz(folder: Path) -> Iterator[tuple[str, bytes]]:
    yield from _written(".npz")(folder)
    plain, motion = io.BytesIO(), _motion()
    np.savez(
        plain,
        format=np.array("visavis-motion-1"),
        values=motion.values,
        fps=np.array(25.0),
        valid=motion.mask,
        names=np.array(EXPRESSION_NAMES),
    )
    yield ".npz", plain.getvalue()


def _glb(folder: Path) -> Iterator[tuple[str, bytes]]:
    """As written, but with the animation alone: the head's mesh is megabytes that are not read."""
    _, data = next(_written(".glb")(folder))
    size = int.from_bytes(data[12:16], "little")
    gltf, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    used = {
        s[end] for a in gltf["animations"] for s in a["samplers"] for end in ("input", "output")
    }
    kept = bytearray()
    for number in sorted(used):
        view = gltf["bufferViews"][gltf["accessors"][number]["bufferView"]]
        start = view.get("byteOffset", 0)
        view["byteOffset"] = len(kept)
        kept += binary[start : start + view["byteLength"]]
    gltf["buffers"] = [{"byteLength": len(kept)}]
    for mesh in gltf["meshes"]:
        mesh["primitives"] = []
    numbers = {old: new for new, old in enumerate(sorted(used))}
    gltf["accessors"] = [gltf["accessors"][old] for old in numbers]
    for animation in gltf["animations"]:
        for sampler in animation["samplers"]:
            sampler |= {end: numbers[sampler[end]] for end in ("input", "output")}
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    chunks = len(text).to_bytes(4, "little") + b"JSON" + text
    chunks += len(kept).to_bytes(4, "little") + b"BIN\0" + bytes(kept)
    head = b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunks)).to_bytes(4, "little")
    yield ".glb", head + chunks


def _picture(folder: Path) -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    pixels = (np.arange(24 * 32 * 3).reshape(24, 32, 3) % 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix, kind, options in (
        (".jpg", "JPEG", {"exif": exif}),
        (".jpg", "JPEG", {"progressive": True}),
        (".png", "PNG", {"exif": exif}),
        (".webp", "WEBP", {"lossless": True}),
        (".tiff", "TIFF", {"compression": "tiff_lzw"}),
        (".tiff", "TIFF", {"compression": "tiff_deflate"}),
        (".bmp", "BMP", {}),
        (".gif", "GIF", {"save_all": True, "append_images": [image.rotate(90)]}),
    ):
        out = io.BytesIO()
        image.save(out, kind, **options)
        yield suffix, out.getvalue()
    out = io.BytesIO()
    image.convert("P").save(out, "PNG", transparency=3)
    yield ".png", out.getvalue()


def _wav(folder: Path) -> Iterator[tuple[str, bytes]]:
    for channels, width in ((1, 2), (2, 2), (1, 4)):
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(16_000)
            file.writeframes(np.random.default_rng(0).bytes(1_600 * channels * width))
        yield ".wav", out.getvalue()


def _sound(folder: Path) -> Iterator[tuple[str, bytes]]:
    import av
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream

    yield from _wav(folder)
    tone = np.sin(np.arange(9_600) / 20).astype(np.float32)[None]
    for suffix, codec in ((".flac", "flac"), (".mp3", "libmp3lame"), (".m4a", "aac")):
        path = folder / f"s{suffix}"
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=48_000, layout="mono")
            assert isinstance(stream, AudioStream)
            frame = AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, 0
            resampler = av.AudioResampler(stream.format.name, "mono", 48_000)
            for part in (*resampler.resample(frame), *resampler.resample(None)):
                out.mux(stream.encode(part))
            out.mux(stream.encode(None))
        yield suffix, path.read_bytes()


def _video(folder: Path) -> Iterator[tuple[str, bytes]]:
    from motion2video.media.video import VideoWriter

    frames = (np.arange(8 * 32 * 48 * 3).reshape(8, 32, 48, 3) % 251).astype(np.uint8)
    sound = np.sin(np.arange(5_120) / 20).astype(np.float32)
    for suffix, audio in ((".mp4", sound), (".mkv", sound), (".mov", None)):
        with VideoWriter(folder / f"v{suffix}", (48, 32), audio=audio) as out:
            out.write(frames)
        yield suffix, (folder / f"v{suffix}").read_bytes()


def _transcript(folder: Path) -> Iterator[tuple[str, bytes]]:
    yield ".srt", b"1\n00:00:00,500 --> 00:00:02,000\n<i>Yes</i>, I think so.\n\n" * 3
    yield ".vtt", b"WEBVTT\n\n00:00.500 --> 00:02.000 align:start\nNo, not really.\n\n" * 3
    words = [{"word": w, "start": i / 2, "end": i / 2 + 0.4} for i, w in enumerate(("Yes", "no"))]
    yield ".json", json.dumps({"language": "en", "words": words}).encode()
    yield ".json", json.dumps(words).encode()
    yield ".txt", "Yes, of course! I don't know… 我 weiß nicht.\n".encode()


def _gestures(folder: Path) -> Iterator[tuple[str, bytes]]:
    items = ["nod@3.2:0.8x1.5", {"kind": "wink", "start": 1, "aim": "left"}, "look-at/10,-5@2:1"]
    yield ".json", json.dumps(items).encode()
    yield ".json", json.dumps({"gestures": items}).encode()
    yield ".csv", b"kind,start,duration,intensity,aim\nnod,1,0.5,1,\nlook-at,2,1,,left\n"


def _manifest(folder: Path) -> Iterator[tuple[str, bytes]]:
    rows = [
        {"portrait": "/etc/hosts", "text": "Hello", "seed": 7, "output": "a.mp4", "size": 256},
        {"portrait": "/etc/hosts", "text": "Yes", "emotion": "happiness", "expressivity": 0.5},
        {"portrait": "/etc/hosts", "text": "No", "gestures": ["nod@1", "blink@2"]},
    ]
    yield ".jsonl", "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    yield ".csv", b"portrait,text,seed,gestures\n/etc/hosts,Hi,7,nod@1; blink@2\n/etc/hosts,Ho,,\n"
    import pyarrow
    from pyarrow import parquet

    names = sorted({name for row in rows for name in row})
    table = pyarrow.Table.from_pylist([{n: row.get(n) for n in names} for row in rows])
    for compression in ("none", "snappy"):
        out = io.BytesIO()
        parquet.write_table(table, out, compression=compression)
        yield ".parquet", out.getvalue()


def _safetensors(folder: Path) -> Iterator[tuple[str, bytes]]:
    from weights.tensors import save_safetensors

    tensors = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(3, np.float16)}
    save_safetensors(folder / "w", tensors, {"width": 96, "names": ["a", "b"]})
    yield ".safetensors", (folder / "w").read_bytes()


def _roles(folder: Path) -> Iterator[tuple[str, bytes]]:
    from weights.manifest import MANIFEST_PATH

    yield ".toml", MANIFEST_PATH.read_bytes()


def _state(folder: Path) -> Iterator[tuple[str, bytes]]:
    import torch

    from app.live.session import LiveConfig
    from audio2motion.hearing.audio import VoiceActivityState
    from audio2motion.network.state_codec import encode

    yield ".state", encode((LiveConfig(), VoiceActivityState(), torch.arange(6), 3, "words", None))


_MAKERS: dict[str, Callable[[Path], Iterator[tuple[str, bytes]]]] = {
    "picture": _picture,
    "sound": _sound,
    "sound-stream": _wav,
    "video": _video,
    "npz": _npz,
    "live-link": _written(".csv"),
    "bvh": _written(".bvh"),
    "glb": _glb,
    "transcript": _transcript,
    "gestures": _gestures,
    "manifest": _manifest,
    "safetensors": _safetensors,
    "roles": _roles,
    "state": _state,
}
