"""Mutations: what a seeded fuzzer does to a good file before a reader gets it."""

import io
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Literal

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

MAX_CASE = 1 << 20
"""Bytes of a case: a reader's trouble is in what a few bytes promise, not in their number."""
_BOUNDARIES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000)
_BOUNDARIES += (0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF)
_TOKENS = (
    *(b"nan", b"NaN", b"inf", b"-inf", b"Infinity", b"-1", b"0", b"1e999", b"-1e308", b"1e-320"),
    *(b"99:99:99:99", b"999999:00:00:00", b"23:59:59:59", b"00:00:00,000 --> 99:59:59,999"),
    *(b"\0", b"\n", b"\r", b"\x1b[2J", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    *(b"\xe2\x80\xae", b"\xe2\x80\xa8", b"{", b"}", b"[" * 2_000, b'{"a":' * 2_000, b"]", b'"'),
    *(b"9" * 5_000, b"-" * 300, b"<" * 3_000, b"@" * 300, b"null", b"true", b"[]", b"{}", b'""'),
    *(b"1_0", "٣".encode(), b"../../etc/passwd", b"http://127.0.0.1:9/x", b"file:///etc/passwd"),
    *(b"Frames: 99999999", b"Frame Time: 0", b"JOINT Head", b"CHANNELS 999999 Xposition", b"{ }"),
    *(b"nod@1", b"x1", b":0.5", b"/left", b"WEBVTT\n\n", b"-->", b"portrait", b"output", b","),
    *(b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\7", b"\x93NUMPY\1\0", b"'descr': '|O'", b"RIFF"),
    *(b"(1000000000000, 90)", b"(-1, 90)", b"<f16", b"glTF", b"JSON", b"BIN\0", b"PAR1"),
    *(b'"uri":"http://127.0.0.1:9/a.bin"', b'"byteStride":1', b'"count":2147483647'),
)


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A file with 1 to 6 mutations; `others` are good files of the same reader."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(_ALL)(rng, data, others)[:MAX_CASE]
    return data


def _place(rng: random.Random, data: bytes) -> int:
    """An offset; headers are where the promises are, so every other time near the beginning."""
    reach = min(len(data), rng.choice((64, 512, len(data) or 1)))
    return rng.randrange(reach + 1)


def _flip_bits(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 64))):
        if out:
            out[min(_place(rng, data), len(out) - 1)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _set_bytes(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    out, at = bytearray(data), _place(rng, data)
    out[at : at + rng.choice((1, 4, 16))] = rng.randbytes(rng.choice((1, 4, 16)))
    return bytes(out)


def _truncate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: _place(rng, data)] if rng.random() < 0.7 else data[_place(rng, data) :]


def _repeat(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start = _place(rng, data)
    end = start + rng.choice((1, 8, 100, 4_000))
    return data[:end] + data[start:end] * rng.choice((1, 2, 50, 1_000)) + data[end:]


def _delete(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start = _place(rng, data)
    return data[:start] + data[start + rng.choice((1, 2, 8, 100, 2_000)) :]


def _insert_token(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at, token = _place(rng, data), rng.choice(_TOKENS)
    over = len(token) if rng.random() < 0.4 else 0
    return data[:at] + token + data[at + over :]


def _replace_word(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Something between two separators of a text becomes a token."""
    at = _place(rng, data)
    start = max((data.rfind(mark, 0, at) for mark in (b" ", b",", b":", b"\n", b'"')), default=-1)
    ends = [e for mark in (b" ", b",", b":", b"\n", b'"') if (e := data.find(mark, at)) >= 0]
    end = min(ends, default=len(data))
    return data[: start + 1] + rng.choice(_TOKENS) + data[end:]


def _boundary(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A number of 1, 2, 4 or 8 bytes becomes one at the edge of its range, or one more or less."""
    size = rng.choice((1, 2, 4, 8))
    at = _place(rng, data)
    if rng.random() < 0.5:
        at -= at % size
    value = (rng.choice(_BOUNDARIES) + rng.choice((-1, 0, 1))) % (1 << 8 * size)
    order: Literal["little", "big"] = rng.choice(("little", "big"))
    return data[:at] + value.to_bytes(size, order) + data[at + size :]


def _float(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    value = rng.choice((float("nan"), float("inf"), -1.0, 0.0, 1e38, -1e38, 1e-45))
    packed = struct.pack(rng.choice("<>") + rng.choice("fd"), value)
    at = _place(rng, data)
    return data[:at] + packed + data[at + len(packed) :]


def _splice(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    return data[: _place(rng, data)] + other[_place(rng, other) :]


def _shuffle_lines(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    if len(lines) > 2:
        a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def _in_zip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A member of a zip is changed and packed again, so that its checksums are right."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(i.filename, archive.read(i)) for i in archive.infolist()[:20]]
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError):
        return _boundary(rng, data, others)
    except (EOFError, KeyError, struct.error):
        return data
    if not members:
        return data
    at = rng.randrange(len(members))
    name, body = members[at]
    change = rng.randrange(5)
    if change == 0:
        members.append((name, body))  # the same name twice
    elif change == 1:
        members.pop(at)
    elif change == 2:
        members[at] = (name, bytes(1 << 22))  # packs a thousandfold
    else:
        members[at] = (name, rng.choice(_PLAIN)(rng, body[:MAX_CASE], [body]))
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that is there twice
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, body in members:
                archive.writestr(name, body)
    return out.getvalue()


_PLAIN: tuple[Mutation, ...] = (
    *(_flip_bits, _set_bytes, _truncate, _repeat, _delete, _insert_token),
    *(_replace_word, _boundary, _float, _splice),
)
_ALL = (*_PLAIN, _boundary, _shuffle_lines, _in_zip)
