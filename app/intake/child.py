"""The other side of app/intake/sandbox.py: a process that does nothing but fork, and what its
children do.

It has no environment, no key and no connection but the one to its server, and never sees a byte of
a visitor's. Each child reads one file, confined, says what is in it, and ends.
"""

import base64
import dataclasses
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.intake.confinement import confine, die_with_parent, limit_resources
from app.intake.wire import Message, receive, send
from weights.errors import VisavisError

Operation = Callable[[Path, dict[str, Any]], Iterator[Message]]
"""Reads a file as its arguments say; yields what is in it."""
CONTROL = struct.Struct(">q")
"""To this process: 0 with a socket = fork; a pid = that child is over. Back: the new pid."""
_REAP_S = 0.05
_PIECE = 1 << 16
_TOLD = 4000
_IMPORTED = (
    *(
        "app.intake.inspection",
        "app.intake.visitor_manifest",
        "audio2motion.hearing.decoding",
        "audio2motion.gestures.timeline",
    ),
    *("audio2motion.gestures.transcript", "av.error", "av.stream", "motion2video.formats.bvh"),
    *("motion2video.media.container", "motion2video.exchange", "motion2video.formats.gltf_reader"),
    *(
        "motion2video.formats.live_link",
        "motion2video.portrait.portrait",
        "motion2video.media.video",
        "PIL.ImageOps",
    ),
    *("soxr", "zipfile"),
)


def _inspect(path: Path, arguments: dict[str, Any]) -> Iterator[Message]:
    from app.intake.inspection import inspect
    from app.intake.limits import Limits

    limits = Limits(max_pixels=arguments["max_pixels"], max_seconds=arguments["max_seconds"])
    yield Message("item", inspect(path, tuple(arguments["wanted"]), limits))


def _picture(path: Path, _: dict[str, Any]) -> Iterator[Message]:
    from motion2video.portrait.portrait import load_image

    image, notices = load_image(path)
    yield Message("item", notices, (image,))


def _sound(path: Path, arguments: dict[str, Any]) -> Iterator[Message]:
    """In larger pieces than the decoder's: a message costs more than a packet is worth."""
    from audio2motion.hearing.decoding import decode_pieces

    waiting: list[np.ndarray] = []
    rate, most = arguments["sample_rate"], arguments["max_seconds"]
    pieces = decode_pieces(path, rate, most, arguments["channel"])
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= _PIECE:
            yield Message("item", None, (np.concatenate(waiting).astype(np.float32),))
            waiting = []
    if waiting:
        yield Message("item", None, (np.concatenate(waiting).astype(np.float32),))


def _info(path: Path, _: dict[str, Any]) -> Iterator[Message]:
    from motion2video.media.container import probe

    yield Message("item", dataclasses.asdict(probe(path)))


def _frames(path: Path, arguments: dict[str, Any]) -> Iterator[Message]:
    from motion2video.media.video import frames_at, stored_frames

    fps = arguments["fps"]
    for frame in stored_frames(path) if fps is None else frames_at(path, fps):
        yield Message("item", None, (frame,))


def _motion(path: Path, _: dict[str, Any]) -> Iterator[Message]:
    from motion2video.exchange import read_motion

    motion = read_motion(path)
    rest = () if motion.rest is None else motion.rest.to_arrays()
    yield Message("item", motion.fps, (motion.values, motion.mask, *rest))


def _gestures(path: Path, _: dict[str, Any]) -> Iterator[Message]:
    from audio2motion.gestures.timeline import load_timeline

    yield Message("item", [dataclasses.asdict(gesture) for gesture in load_timeline(path)])


def _transcript(path: Path, _: dict[str, Any]) -> Iterator[Message]:
    from audio2motion.gestures.transcript import Transcript

    read = Transcript.load(path)
    words = np.array([dataclasses.astuple(word) for word in read.words], np.float64).reshape(-1, 4)
    yield Message("item", {"text": read.text, "language": read.language}, (words,))


def _credentials(path: Path, arguments: dict[str, Any]) -> Iterator[Message]:
    from app.provenance.credentials import read

    beside = arguments["beside"]
    found = read(path, arguments["anchors"], beside and base64.b64decode(beside))
    yield Message("item", None if found is None else dataclasses.asdict(found))


def _pictures(path: Path, _: dict[str, Any]) -> Iterator[Message]:
    from app.provenance.looking import pictures

    for picture in pictures(path):
        yield Message("item", None, (picture,))


def _manifest(path: Path, _: dict[str, Any]) -> Iterator[Message]:
    from app.intake.visitor_manifest import read_rows

    yield Message("item", read_rows(path))


OPERATIONS: Mapping[str, Operation] = {
    "inspect": _inspect,
    "picture": _picture,
    "sound": _sound,
    "info": _info,
    "frames": _frames,
    "motion": _motion,
    "gestures": _gestures,
    "transcript": _transcript,
    "manifest": _manifest,
    "credentials": _credentials,
    "pictures": _pictures,
}


def main(control: int, module: str, root: str) -> None:
    """Fork whenever the server asks, until it is gone. `module` has the OPERATIONS; `root` is
    where our packages are.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's
    operations: Mapping[str, Operation] = importlib.import_module(module).OPERATIONS
    readable = _prepare(root)
    server = socket.socket(fileno=control)
    server.sendall(CONTROL.pack(os.getpid()))
    over: set[int] = set()
    while True:
        asked, _, _ = select.select([server], [], [], _REAP_S if over else None)
        if asked:
            data, descriptors, _, _ = socket.recv_fds(server, CONTROL.size, 1)
            if len(data) < CONTROL.size:
                return
            if descriptors:
                server.sendall(CONTROL.pack(_fork(descriptors[0], operations, readable)))
            else:
                over.add(*CONTROL.unpack(data))
        # Only those of which the server knows: until then their numbers mean nobody else.
        over = {pid for pid in over if os.waitpid(pid, os.WNOHANG)[0] == 0}


def _prepare(root: str) -> tuple[str, ...]:
    """Load what children need; the folders from which they may still load more."""
    for name in _IMPORTED:
        importlib.import_module(name)
    from PIL import Image

    Image.init()
    gc.collect()
    gc.freeze()  # what is shared with the children stays shared
    packages = ("app", "audio2motion", "motion2video", "weights")
    installed = [path for path in sys.path if path and path != root]
    return (*installed, *(os.path.join(root, name) for name in packages))


def _fork(descriptor: int, operations: Mapping[str, Operation], readable: tuple[str, ...]) -> int:
    """The number of a new child, or minus the error's when there is none."""
    try:
        pid = os.fork()
    except OSError as error:
        os.close(descriptor)
        return -(error.errno or 1)
    if pid:
        os.close(descriptor)
        return pid
    try:
        _serve(descriptor, operations, readable)
    finally:
        os._exit(1)


def _serve(descriptor: int, operations: Mapping[str, Operation], readable: tuple[str, ...]) -> None:
    """In the child: do the one thing that is asked, confined."""
    die_with_parent()
    os.dup2(0, 2)  # what a decoder prints is nobody's business
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 1024)
    os.chdir("/")
    server = socket.socket(fileno=descriptor)

    def fill(buffer: memoryview) -> None:
        while buffer:
            count = server.recv_into(buffer)
            if not count:
                os._exit(0)
            buffer = buffer[count:]

    asked = receive(fill, 0)
    path, arguments = asked.value["path"], asked.value["arguments"]
    limit_resources(asked.value["cpu_s"], asked.value["memory_bytes"])
    send(server, Message("begun", dataclasses.asdict(confine((path, *readable)))))
    try:
        for message in operations[asked.kind](Path(path), arguments):
            send(server, message)
        send(server, Message("end"))
    except VisavisError as error:
        send(server, Message("error", [type(error).__name__, str(error)[:_TOLD]]))
    except MemoryError:
        send(server, Message("memory"))
    except OSError as error:
        if error.filename is None:
            os._exit(0)  # the server wants no more
        send(server, Message("fault", traceback.format_exc()[-_TOLD:]))
    except Exception:  # a decoder that was handed rubbish may raise anything
        send(server, Message("fault", traceback.format_exc()[-_TOLD:]))
    os._exit(0)
