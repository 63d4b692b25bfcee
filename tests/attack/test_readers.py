"""Hostile files: every reader says what is wrong in one sentence, soon, and in little memory."""

import io
import json
import os
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from app.cli.reporter import Reporter
from motion2video.formats.live_link import COLUMNS
from motion2video.media.video import frames_at, read_video
from motion2video.motion import EXPRESSION_NAMES, Motion
from tests.attack.fuzz.corpus import good_files
from tests.attack.fuzz.readers import READERS
from tests.attack.limited import Answer, Limited
from weights.errors import MediaError, MotionError, VisavisError
from weights.opening import open_regular, read_regular

LITTLE_MB = 120.0
SOON_S = 8.0
"""On a machine that runs other tests at the same time."""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    process = Limited(tmp_path_factory.mktemp("limited"))
    yield process
    process.close()


def refused(answer: Answer, megabytes: float = LITTLE_MB) -> None:
    assert answer.error and answer.ours, answer
    assert answer.message and "\n" not in answer.message and len(answer.message) < 2_500, answer
    assert answer.seconds < SOON_S, answer
    assert answer.megabytes < megabytes, answer


# -- what is not a regular file ----------------------------------------------------------------


SUFFIX = {reader: READERS[reader].suffixes[0] for reader in READERS}
NAMED = [r for r in READERS if r not in ("sound-stream", "state", "picture")]
"""The readers that are given a path; the others get bytes, or have tests of their own."""


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def socket_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.parametrize("make", [device, os.mkfifo, Path.mkdir, socket_file])
@pytest.mark.parametrize("reader", NAMED)
def test_only_regular_files_are_read(
    limited: Limited,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reader: str,
    make: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"file{SUFFIX[reader]}"
    make(path)
    answer = limited.read(reader, path)
    refused(answer)
    assert any(word in answer.message for word in ("a device", "a pipe", "a folder", "a socket"))


def test_a_file_that_grows_is_read_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    with pytest.raises(VisavisError, match="has 100 bytes; at most 99"):
        read_regular(path, "text", 99)
    with open_regular(path, "text", 100) as file:
        path.write_bytes(b"x" * 200)
        assert len(file.read(101)) == 101  # more than was stated, and seen to be
    assert read_regular(path, "text", 200) == b"x" * 200


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    for path in ("a\0b", "x" * 5_000, tmp_path / "f" / "g"):
        (tmp_path / "f").write_bytes(b"")
        with pytest.raises(VisavisError):
            read_regular(path, "text", 9)
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("name", ["a\nb.npz", "\x1b[2Jb.npz", "a\u202eb.npz", "a\rb.npz"])
def test_a_message_is_one_line_without_escape_sequences(tmp_path: Path, name: str) -> None:
    with pytest.raises(VisavisError) as caught:
        Motion.load(tmp_path / name)
    assert str(caught.value).isprintable() and "b.npz" in str(caught.value)


def test_a_note_is_one_line_without_escape_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter().notify("a \x1b[2J\nb")
    assert capsys.readouterr().err == "note: a \\x1b[2J\\nb\n"


def test_a_message_is_never_long() -> None:
    assert len(str(MotionError("x" * 1_000_000))) < 2_500


@pytest.mark.parametrize(
    "words",
    [
        ["export", "a\nb.npz", "--out", "o.csv"],
        ["export", "fifo.npz", "--out", "o.csv"],
        ["export", "zero.csv", "--out", "o.bvh"],
        ["batch", "zero.jsonl", "--out", "made"],
        ["batch", "fifo.csv", "--out", "made"],
    ],
)
def test_commands_end_with_2_and_one_line(limited: Limited, tmp_path: Path, words: list) -> None:
    for name in ("fifo.npz", "fifo.csv"):
        os.mkfifo(tmp_path / name)
    for name in ("zero.csv", "zero.jsonl"):
        (tmp_path / name).symlink_to("/dev/zero")
    places = [str(tmp_path / word) if "." in word or word == "made" else word for word in words]
    answer = limited.read("cli", places, 60.0)
    assert answer.message.startswith("2 visavis: ") and answer.message.count("\n") == 1, answer
    assert answer.megabytes < 400, answer


# -- .npz --------------------------------------------------------------------------------------


def npz(path: Path, compressed: bool = True, **changes: object) -> Path:
    """A motion file with other arrays; an array that is bytes is a member as it is."""
    arrays: dict[str, object] = {
        "format": np.array("visavis-motion-1"),
        "values": np.zeros((4, 90), np.float32),
        "fps": np.array(25.0),
        "valid": np.ones(4, bool),
        "names": np.array(EXPRESSION_NAMES),
    }
    arrays |= changes
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, array in arrays.items():
            data = array if isinstance(array, bytes) else npy(array)
            archive.writestr(f"{name}.npy", data)
    return path


def npy(array: object) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(array), allow_pickle=False)
    return out.getvalue()


def promise(shape: str, dtype: str = "<f4", data: bytes = b"") -> bytes:
    """A .npy whose header promises a shape."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + data


def encrypted(path: Path) -> None:
    data = bytearray(npz(path).read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(mark, start + 1)
    path.write_bytes(data)


def damaged(path: Path) -> None:
    data = bytearray(npz(path, values=np.random.default_rng(0).random((4, 90))).read_bytes())
    at = data.find(b"values.npy") + 40
    data[at : at + 200] = bytes(range(55, 255))
    path.write_bytes(data)


def many_members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(5_000):
            archive.writestr(f"{i}.npy", b"")


def twice(path: Path) -> None:
    npz(path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("values.npy", npy(np.ones((4, 90), np.float32)))


def bomb(path: Path) -> None:
    npz(path, values=promise("(4, 90)", data=bytes(256 << 20)))


NPZ: dict[str, Callable[[Path], object]] = {
    "335 GiB": lambda p: npz(p, values=promise("(1000000000, 90)")),
    "more than memory": lambda p: npz(p, values=promise("(800000, 90)")),
    "negative": lambda p: npz(p, values=promise("(-1, 90)")),
    "3 million frames": lambda p: npz(p, values=promise("(3000000, 90)")),
    "objects": lambda p: npz(p, values=promise("(4, 90)", "|O", bytes(2_880))),
    "a deep header": lambda p: npz(p, values=promise("(" * 900 + ")" * 900)),
    "validity of terabytes": lambda p: npz(p, valid=promise("(1000000000000,)", "|b1")),
    "NaN fps": lambda p: npz(p, fps=np.array(np.nan)),
    "infinite fps": lambda p: npz(p, fps=np.array(np.inf)),
    "no fps": lambda p: npz(p, fps=np.array(0.0)),
    "negative fps": lambda p: npz(p, fps=np.array(-25.0)),
    "an hour a frame": lambda p: npz(p, fps=np.array(1e-4)),
    "a million fps": lambda p: npz(p, fps=np.array(1e6)),
    "several fps": lambda p: npz(p, fps=np.array([25.0, 30.0])),
    "text as fps": lambda p: npz(p, fps=np.array("25")),
    "huge values": lambda p: npz(p, values=np.full((4, 90), 1e30)),
    "doubles beyond float": lambda p: npz(p, values=np.full((4, 90), 1e300)),
    "encrypted": encrypted,
    "bad deflate": damaged,
    "duplicate members": twice,
    "5,000 members": many_members,
    "a raw .npy": lambda p: p.write_bytes(npy(np.zeros((4, 90), np.float32))),
    "a pickle": lambda p: p.write_bytes(b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x02os."),
}


@pytest.mark.parametrize("name", NPZ)
def test_npz(limited: Limited, tmp_path: Path, name: str) -> None:
    NPZ[name](tmp_path / "m.npz")
    refused(limited.read("npz", tmp_path / "m.npz"))


def test_an_npz_that_unpacks_a_thousandfold_is_not_unpacked(
    limited: Limited, tmp_path: Path
) -> None:
    bomb(tmp_path / "m.npz")
    refused(limited.read("npz", tmp_path / "m.npz"))


def test_a_motion_is_not_resampled_to_days() -> None:
    long = Motion.neutral(2, 1e-5)
    with pytest.raises(MotionError, match="to resample"):
        long.resample(25.0)


# -- Live Link ---------------------------------------------------------------------------------


def live_link(path: Path, *codes: str, values: str = "0") -> None:
    rows = [",".join((code, "61", *[values] * (len(COLUMNS) - 2))) for code in codes]
    path.write_text("\n".join((",".join(COLUMNS), *rows)))


LIVE_LINK: dict[str, Callable[[Path], object]] = {
    "99 hours": lambda p: live_link(p, "00:00:00:00", "99:59:59:59"),
    "99:99:99:99": lambda p: live_link(p, "00:00:00:00", "99:99:99:99"),
    "999999 hours": lambda p: live_link(p, "00:00:00:00", "999999:00:00:00"),
    "thousands of digits": lambda p: live_link(p, "0" * 9_000 + ":00:00:00"),
    "other digits": lambda p: live_link(p, "٠٠:٠٠:٠٠:٠٠", "٠٠:٠٠:٠٠:٠١"),
    "midnights": lambda p: live_link(p, *["23:59:59:00", "00:00:01:00"] * 500),
    "huge numbers": lambda p: live_link(p, "00:00:00:00", "00:00:00:01", values="1e300"),
    "a long line": lambda p: p.write_bytes(b"," * (64 << 20)),
    "a row of all lines": lambda p: p.write_bytes(b'"\n",' * (4 << 20)),
    "an open quote": lambda p: p.write_bytes(b'Timecode,"' + b"a\n" * (1 << 20)),
}


@pytest.mark.parametrize("name", LIVE_LINK)
def test_live_link(limited: Limited, tmp_path: Path, name: str) -> None:
    LIVE_LINK[name](tmp_path / "m.csv")
    refused(limited.read("live-link", tmp_path / "m.csv"))


# -- BVH ---------------------------------------------------------------------------------------

HEAD = "HIERARCHY\nROOT Head\n{\nOFFSET 0 0 0\nCHANNELS 3 Yrotation Xrotation Zrotation\n}\n"
TIMES = "MOTION\nFrames: %s\nFrame Time: %s\n"

BVH: dict[str, str] = {
    "a billion frames": HEAD + TIMES % (10**9, 0.04) + "0 0 0\n",
    "frames beyond int": HEAD + TIMES % ("9" * 5_000, 0.04),
    "frames promised": HEAD + TIMES % (800_000, 0.04) + "0 0 0\n",
    "no frame time": HEAD + TIMES % (1, 0),
    "NaN frame time": HEAD + TIMES % (1, "nan"),
    "ten hours a frame": HEAD + TIMES % (2, 36_000) + "0 0 0 0 0 0\n",
    "two days": HEAD + TIMES % (17_280, 10) + "0 0 0\n" * 17_280,
    "huge angles": HEAD + TIMES % (1, 0.04) + "1e300 0 0\n",
    "a hierarchy without end": "HIERARCHY\n" + "ROOT a\n{\n" * 400_000,
    "deep": "HIERARCHY\n" + "JOINT a\n{\n" * 20_000 + "}\n" * 20_000 + TIMES % (1, 0.04),
    "huge channel count": HEAD.replace("CHANNELS 3", "CHANNELS " + "9" * 4_000) + TIMES % (1, 0.1),
    "negative channel count": HEAD.replace("CHANNELS 3", "CHANNELS -3") + TIMES % (1, 0.1),
    "channels twice": HEAD.replace("}", "CHANNELS 1 Xposition\n}") + TIMES % (1, 0.1) + "0 0 0 0",
    "a long line": "HIERARCHY " * (4 << 20),
    "a long word": "HIERARCHY\n" + "x" * (32 << 20),
    "many numbers": HEAD + TIMES % (1, 0.04) + "0 " * (1 << 15) + "\n",
}


@pytest.mark.parametrize("name", BVH)
def test_bvh(limited: Limited, tmp_path: Path, name: str) -> None:
    (tmp_path / "m.bvh").write_text(BVH[name])
    refused(limited.read("bvh", tmp_path / "m.bvh"))


# -- glTF --------------------------------------------------------------------------------------

Change = Callable[[dict], object]


def glb(folder: Path, change: Change | None = None, text: bytes | None = None) -> Path:
    """A good .glb with its description changed, or another one."""
    ((_, data),) = good_files("glb", folder)
    size = int.from_bytes(data[12:16], "little")
    gltf, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    if change is not None:
        change(gltf)
    text = json.dumps(gltf).encode() if text is None else text
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I", len(text)) + b"JSON" + text
    chunks += struct.pack("<I", len(binary)) + b"BIN\0" + binary
    path = folder / "changed.glb"
    path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks)
    return path


def output(gltf: dict) -> dict:
    """The accessor of the weights."""
    animation = gltf["animations"][0]
    (sampler,) = (
        animation["samplers"][c["sampler"]]
        for c in animation["channels"]
        if c["target"]["path"] == "weights"
    )
    return gltf["accessors"][sampler["output"]]


def view(gltf: dict) -> dict:
    return gltf["bufferViews"][output(gltf)["bufferView"]]


GLB: dict[str, Change] = {
    "2^31 numbers": lambda g: output(g).update(count=2**31 - 1),
    "2^70 numbers": lambda g: output(g).update(count=2**70),
    "negative count": lambda g: output(g).update(count=-5),
    "count as text": lambda g: output(g).update(count="12"),
    "negative offset": lambda g: output(g).update(byteOffset=-8),
    "offset beyond": lambda g: view(g).update(byteOffset=2**40),
    "stride of one": lambda g: (view(g).update(byteStride=1), output(g).update(count=2_000)),
    "negative stride": lambda g: view(g).update(byteStride=-4),
    "a negative accessor": lambda g: g["animations"][0]["samplers"][0].update(output=-1),
    "an accessor as list": lambda g: g["animations"][0]["samplers"][0].update(output=[1]),
    "a node as list": lambda g: g["animations"][0]["channels"][0]["target"].update(node=[0]),
    "a buffer elsewhere": lambda g: view(g).update(buffer=1),
    "names that are a number": lambda g: g["meshes"][0]["extras"].update(targetNames=7),
    "sparse": lambda g: output(g).update(sparse={"count": 2**30}),
    "matrices": lambda g: output(g).update(type="MAT4"),
    "a type that is none": lambda g: output(g).update(componentType=[5126]),
    "rest that is no place": lambda g: g["nodes"][0].update(translation=[1, 2]),
    "rest beyond floats": lambda g: g["nodes"][0].update(translation=[10**400, 0, 0]),
    "many channels": lambda g: g["animations"][0].update(
        channels=[{"target": {"node": 0, "path": "weights"}}] * 100_000
    ),
}


@pytest.mark.parametrize("name", GLB)
def test_glb(limited: Limited, tmp_path: Path, name: str) -> None:
    refused(limited.read("glb", glb(tmp_path, GLB[name])))


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' + b"9" * 100_000 + b"}",
        b"[" + b"[]," * 4_000_000,
        b'{"animations": NaN}',
    ],
    ids=["lists", "objects", "digits", "large", "nan"],
)
def test_glb_descriptions(limited: Limited, tmp_path: Path, text: bytes) -> None:
    refused(limited.read("glb", glb(tmp_path, text=text)), megabytes=200.0)


def test_glb_addresses_are_never_asked(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.bin"
        secret = tmp_path / "secret.bin"
        secret.write_bytes(bytes(1 << 16))
        for uri in (address, secret.as_uri(), str(secret), "data:;base64,AAAA"):

            def elsewhere(gltf: dict, uri: str = uri) -> None:
                gltf["buffers"] = [{"byteLength": 1 << 16, "uri": uri}] * 2
                view(gltf)["buffer"] = 1

            with pytest.raises(MotionError, match="in another file"):
                READERS["glb"].read(glb(tmp_path, elsewhere))
        with pytest.raises(TimeoutError):
            listener.accept()


# -- sound and video ---------------------------------------------------------------------------


def wav(
    data_bytes: int, rate: int = 16_000, channels: int = 1, data: bytes = b"\1\0" * 800
) -> bytes:
    block = 2 * channels
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * block % 2**32, block % 2**16, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", data_bytes)
    return b"RIFF" + struct.pack("<I", min(data_bytes + 36, 2**32 - 1)) + body + data


SOUND = {
    "hours": wav(0x7000_0000),
    "4 GiB": wav(0xFFFF_FFF0, 1),
    "2 GHz": wav(1_600, 0x7FFF_FFFF),
    "no rate": wav(1_600, 0),
    "65,535 channels": wav(1_600, channels=65_535),
}


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("reader", ["sound", "sound-stream"])
def test_wav_headers(limited: Limited, tmp_path: Path, name: str, reader: str) -> None:
    (tmp_path / "s.wav").write_bytes(SOUND[name])
    answer = limited.read(reader, tmp_path / "s.wav")
    assert answer.ours and answer.seconds < SOON_S and answer.megabytes < LITTLE_MB, answer
    assert answer.error or name in ("4 GiB", "2 GHz"), answer


def patched(data: bytes, box: bytes, at: int, value: bytes) -> bytes:
    place = data.find(box) + 4 + at
    assert place > 4
    return data[:place] + value + data[place + len(value) :]


@pytest.mark.parametrize("box", [b"mvhd", b"mdhd", b"tkhd", b"stsz", b"stts", b"stsc"])
def test_mp4_headers_that_promise_much(limited: Limited, tmp_path: Path, box: bytes) -> None:
    data = next(data for suffix, data in good_files("video", tmp_path) if suffix == ".mp4")
    for at in (4, 8, 12, 16, 20):
        (tmp_path / "v.mp4").write_bytes(patched(data, box, at, b"\x7f\xff\xff\xff"))
        for reader in ("video", "sound"):
            answer = limited.read(reader, tmp_path / "v.mp4", 30.0)
            assert answer.ours and answer.megabytes < 400 and answer.seconds < 20, (at, answer)


def test_pixels_that_are_no_squares_count_as_the_squares_they_become(tmp_path: Path) -> None:
    """A GIF of 32 x 24 whose pixels are 270 : 64 is 135 x 24 square pixels."""
    data = next(data for suffix, data in good_files("picture", tmp_path) if suffix == ".gif")
    (tmp_path / "wide.gif").write_bytes(data[:12] + b"\xff" + data[13:])
    with pytest.raises(MediaError, match="is 135 x 24 pixels; at most"):
        read_video(tmp_path / "wide.gif", max_pixels=1_000)


def test_a_rate_of_nearly_nothing_is_no_division_by_zero(tmp_path: Path) -> None:
    data = next(data for suffix, data in good_files("video", tmp_path) if suffix == ".mp4")
    (tmp_path / "v.mp4").write_bytes(patched(data, b"stts", 12, b"\x7f\xff\xff\xff"))
    with pytest.raises(MediaError, match="frames, the most that are read"):
        sum(1 for _ in frames_at(tmp_path / "v.mp4", 25.0, max_frames=1_000))


# -- manifests ---------------------------------------------------------------------------------

ROW = '{"portrait": "/dev/null", "text": "Hello"'
MANIFESTS: dict[str, bytes] = {
    "deep.jsonl": b'{"portrait":' + b"[" * 200_000,
    "digits.jsonl": f'{ROW}, "seed": {"9" * 200_000}}}'.encode(),
    "beyond floats.jsonl": f'{ROW}, "expressivity": 1{"0" * 400}}}'.encode(),
    "nan.jsonl": f'{ROW}, "expressivity": NaN}}'.encode(),
    "infinite.jsonl": f'{ROW}, "expressivity": 1e999}}'.encode(),
    "infinite seed.jsonl": f'{ROW}, "seed": 1e999}}'.encode(),
    "rows.jsonl": b"1\n" * 3_000_000,
    "a row.jsonl": b'{"text": "' + b"a" * (16 << 20) + b'"}',
    "fields.csv": b"portrait,text\n" + b'"\n",' * (2 << 20),
    "words.csv": b"a," * (1 << 20),
    "twice.csv": b"portrait,portrait\n/dev/null,/etc/passwd\n",
    "deep.csv": b'portrait,gestures\n/dev/null,"' + b"[" * 100_000 + b'"\n',
    "nan.csv": b"portrait,text,expressivity\n/dev/null,Hi,nan\n",
    "escape.jsonl": f'{ROW}, "output": "\\u001b[2J.mp4"}}'.encode(),
    "infinite.csv": b"portrait,text,seed\n/dev/null,Hi,inf\n",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests(limited: Limited, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(MANIFESTS[name])
    answer = limited.read("manifest", tmp_path / name)
    lines, message = answer.message.split("\n"), answer.message
    assert answer.error and answer.ours and message, answer
    assert len(lines) < 30 and all(len(line) < 2_500 for line in lines), len(message)
    assert answer.seconds < SOON_S and answer.megabytes < LITTLE_MB, answer


def shared(text: str, count: int) -> "pyarrow.Array":
    """One text for `count` rows, stored once."""
    return pyarrow.DictionaryArray.from_arrays(np.zeros(count, np.int32), [text])


PARQUET: dict[str, Callable[[], "pyarrow.Table"]] = {
    "one text for all rows": lambda: pyarrow.table({"text": shared("x" * (8 << 20), 2_000)}),
    "a list of one text": lambda: pyarrow.table(
        {"gestures": pyarrow.ListArray.from_arrays([0, 2_000], shared("x" * (8 << 20), 2_000))}
    ),
    "a million rows": lambda: pyarrow.table({"text": shared("x", 1_000_000)}),
    "columns": lambda: pyarrow.table({str(i): ["x"] for i in range(2_000)}),
    "zeros": lambda: pyarrow.table({"text": [bytes(24 << 20)]}),
}


@pytest.mark.parametrize("name", PARQUET)
def test_parquet_bombs(limited: Limited, tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.parquet"
    parquet.write_table(PARQUET[name](), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 2 << 20
    answer = limited.read("manifest", path)
    assert answer.error and answer.ours and answer.seconds < SOON_S, answer
    assert answer.megabytes < 300, answer


# -- weights and states ------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["safetensors", "state"])
@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 99 << 20) + b"{}",
        struct.pack("<Q", 40 << 20) + b'{"__metadata__":{"config":"' + b"[" * (40 << 20),
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 90)
        + b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}'.ljust(90)
        + bytes(4),
    ],
    ids=["8 EiB", "99 MiB", "40 MiB", "deep", "overflow"],
)
def test_safetensors_headers(limited: Limited, tmp_path: Path, reader: str, data: bytes) -> None:
    (tmp_path / "w").write_bytes(data)
    refused(limited.read(reader, tmp_path / "w"), megabytes=200.0)


def test_a_deep_configuration(limited: Limited, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1)}, tmp_path / "w", metadata={"config": "[" * 100_000})
    refused(limited.read("safetensors", tmp_path / "w"))


@pytest.mark.parametrize(
    "tree",
    [
        b"[" * 100_000,
        b'{"class": "os:system", "fields": {"command": "id"}}',
        b'{"class": "app.session_of_another:LiveConfig", "fields": {}}',
        b'{"class": "app.live.session:LiveConfig", "fields": {"onset": 5}}',
        b'{"class": "audio2motion.hearing.audio:Waveform",'
        b' "fields": {"samples": {"array": "tree"}}}',
        b'{"class": "audio2motion.nothing:A", "fields": {}}',
        b'{"class": 7, "fields": {}}',
        b'{"tensor": ["a"]}',
        b'{"seed": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(9),
)
def test_states(limited: Limited, tmp_path: Path, tree: bytes) -> None:
    from safetensors.numpy import save

    (tmp_path / "s").write_bytes(save({"tree": np.frombuffer(tree, np.uint8)}))
    answer = limited.read("state", tmp_path / "s", 60.0)
    assert answer.ours and answer.megabytes < 600, answer
    assert answer.error == "StateError" or tree.startswith(
        b'{"class": "audio2motion.hearing.audio'
    ), answer


@pytest.mark.parametrize(
    "text",
    [b"a = " + b"[" * 100_000, b"a = " + b"9" * 100_000, b"\xff\xfe", b"x" * (2 << 20)],
    ids=["deep", "digits", "bytes", "large"],
)
def test_the_list_of_weights(limited: Limited, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "m.toml").write_bytes(text)
    refused(limited.read("roles", tmp_path / "m.toml"))
