"""Hostile files of motion: .npz, Live Link, BVH and glTF are refused soon, in little memory."""

import io
import json
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from motion2video.formats.live_link import COLUMNS
from motion2video.motion import EXPRESSION_NAMES, Motion
from tests.attack.fuzz.corpus import good_files
from tests.attack.fuzz.readers import READERS
from tests.attack.limited import Limited, require_refused
from weights.errors import MotionError

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
    require_refused(limited.read("npz", tmp_path / "m.npz"))


@pytest.mark.slow
def test_an_npz_that_unpacks_a_thousandfold_is_not_unpacked(
    limited: Limited, tmp_path: Path
) -> None:
    bomb(tmp_path / "m.npz")
    require_refused(limited.read("npz", tmp_path / "m.npz"))


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
    require_refused(limited.read("live-link", tmp_path / "m.csv"))


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
    require_refused(limited.read("bvh", tmp_path / "m.bvh"))


# -- glTF --------------------------------------------------------------------------------------

Change = Callable[[dict], object]


def glb(folder: Path, change: Change | None = None, text: bytes | None = None) -> Path:
    """A good .glb with its description changed, or another one."""
    ((_, data),) = good_files("glb")
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
    require_refused(limited.read("glb", glb(tmp_path, GLB[name])))


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
    require_refused(limited.read("glb", glb(tmp_path, text=text)), megabytes=200.0)


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
