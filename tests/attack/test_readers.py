"""Hostile files: every reader says what is wrong in one sentence, soon, and in little memory."""

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from app.cli.reporter import Reporter
from motion2video.media.video import frames_at, read_video
from motion2video.motion import Motion
from tests.attack.fuzz.corpus import good_files
from tests.attack.fuzz.readers import READERS
from tests.attack.limited import LITTLE_MB, SOON_S, Limited, require_refused
from weights.errors import MediaError, MotionError, VisavisError
from weights.opening import open_regular, read_regular

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
    require_refused(answer)
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
    data = next(data for suffix, data in good_files("video") if suffix == ".mp4")
    for at in (4, 8, 12, 16, 20):
        (tmp_path / "v.mp4").write_bytes(patched(data, box, at, b"\x7f\xff\xff\xff"))
        for reader in ("video", "sound"):
            answer = limited.read(reader, tmp_path / "v.mp4", 30.0)
            assert answer.ours and answer.megabytes < 400 and answer.seconds < 20, (at, answer)


def test_pixels_that_are_no_squares_count_as_the_squares_they_become(tmp_path: Path) -> None:
    """A GIF of 32 x 24 whose pixels are 270 : 64 is 135 x 24 square pixels."""
    data = next(data for suffix, data in good_files("picture") if suffix == ".gif")
    (tmp_path / "wide.gif").write_bytes(data[:12] + b"\xff" + data[13:])
    with pytest.raises(MediaError, match="is 135 x 24 pixels; at most"):
        read_video(tmp_path / "wide.gif", max_pixels=1_000)


def test_a_rate_of_nearly_nothing_is_no_division_by_zero(tmp_path: Path) -> None:
    data = next(data for suffix, data in good_files("video") if suffix == ".mp4")
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
    require_refused(limited.read(reader, tmp_path / "w"), megabytes=200.0)


def test_a_deep_configuration(limited: Limited, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1)}, tmp_path / "w", metadata={"config": "[" * 100_000})
    require_refused(limited.read("safetensors", tmp_path / "w"))


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
    require_refused(limited.read("roles", tmp_path / "m.toml"))
