"""What a decoder that is broken or taken over may try: operations for tests of the sandbox."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import app.intake.child as sandbox_child
from app.intake.child import Operation
from app.intake.wire import Message


def _loop(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    while True:
        pass
    yield


def _sleep(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    time.sleep(3600)
    yield Message("item")


def _hold_the_gil(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    ctypes.PyDLL(None).sleep(3600)
    yield Message("item")


def _memory(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    kept = []
    while True:
        kept.append(np.ones(10**7))
    yield Message("item")


def _abort(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    os.abort()
    yield Message("item")


def _segfault(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    ctypes.string_at(0)
    yield Message("item")


def _fault(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    raise ZeroDivisionError("a fault of a decoder")
    yield


def _recursion(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    def deeper() -> None:
        deeper()

    deeper()
    yield Message("item")


def _flood(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    yield Message("item", None, (np.zeros(10**8, np.uint8),))


def _endless(_: Path, __: dict[str, Any]) -> Iterator[Message]:
    while True:
        yield Message("item", None, (np.zeros((4, 4, 3), np.uint8),))


def _say(_: Path, arguments: dict[str, Any]) -> Iterator[Message]:
    """An answer of the test's choice."""
    arrays = tuple(np.zeros(shape, dtype) for dtype, shape in arguments.get("arrays", ()))
    yield Message(arguments.get("kind", "item"), arguments.get("value"), arrays)


def _bytes(_: Path, arguments: dict[str, Any]) -> Iterator[Message]:
    """Bytes of the test's choice to the server, past all forms."""
    for number in range(3, 40):
        try:
            os.write(number, bytes.fromhex(arguments["hex"]))
        except OSError:
            continue
    os._exit(0)
    yield


def _tries(file: Path, arguments: dict[str, Any]) -> Iterator[Message]:
    """Everything that a decoder has no business with: what each came to."""
    libc = ctypes.CDLL(None, use_errno=True)
    server = arguments["server"]

    def call(name: str, *values: Any) -> None:
        if getattr(libc, name)(*values) < 0:
            raise OSError(ctypes.get_errno(), name)

    def thread() -> None:
        worker = threading.Thread(target=time.sleep, args=(0,))
        worker.start()
        worker.join()

    tries: dict[str, Callable[[], object]] = {
        "read the file": lambda: file.read_bytes(),
        "start a thread": thread,
        "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
        "read a neighbour": lambda: (file.parent / "neighbour").read_bytes(),
        "list the folder": lambda: os.listdir(file.parent),
        "list /": lambda: os.listdir("/"),
        "read the server's environment": lambda: Path(f"/proc/{server}/environ").read_bytes(),
        "read the server's memory": lambda: os.open(f"/proc/{server}/mem", os.O_RDONLY),
        "write the file": lambda: file.write_bytes(b"x"),
        "append to the file": lambda: os.open(file, os.O_APPEND | os.O_WRONLY),
        "write a neighbour": lambda: (file.parent / "new").write_bytes(b"x"),
        "write to /tmp": lambda: Path("/tmp/visavis-sandbox").write_bytes(b"x"),
        "remove the file": file.unlink,
        "rename the file": lambda: file.rename(file.parent / "other"),
        "change its mode": lambda: file.chmod(0o777),
        "link it": lambda: os.link(file, file.parent / "linked"),
        "make a folder": lambda: os.mkdir(file.parent / "folder"),
        "open TCP": lambda: socket.create_connection(("127.0.0.1", arguments["port"]), 1),
        "open UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "open a Unix socket": lambda: socket.socket(socket.AF_UNIX),
        "make a pair": socket.socketpair,
        "look up a name": lambda: socket.getaddrinfo("example.org", 80),
        "run a program": lambda: subprocess.run(["/bin/true"], check=True),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "fork": lambda: os.fork() or os._exit(0),
        "vfork": lambda: call("vfork"),
        "kill the server": lambda: os.kill(server, signal.SIGTERM),
        "kill its parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
        "trace the server": lambda: call("ptrace", 16, server, None, None),
        "raise a limit": lambda: call("setrlimit", 7, (ctypes.c_ulong * 2)(4096, 4096)),
        "make memory a file": lambda: os.memfd_create("x"),
        "unshare": lambda: call("unshare", 0x10000000),
        "io_uring": lambda: call("syscall", 425, 1, None),
        "bpf": lambda: call("syscall", 321, 0, None, 0),
        "open by openat2": lambda: call("syscall", 437, -100, b"/etc/passwd", None, 0),
        "signal by fcntl": lambda: __import__("fcntl").fcntl(0, 8, server),
    }
    came: dict[str, str] = {}
    for name, attempt in tries.items():
        try:
            attempt()
            came[name] = "done"
        except OSError as error:
            came[name] = type(error).__name__
    yield Message("item", {"came": came, "environment": dict(os.environ), "cwd": os.getcwd()})


TRAP = b"trap: "


def trap(operation: str) -> bytes:
    """The end of a picture or video whose decoder does something else."""
    return TRAP + operation.encode()


def _trapped(operation: str) -> Operation:
    """As the real one, but for files with a trap at their end."""

    def read(path: Path, arguments: dict[str, Any]) -> Iterator[Message]:
        _, _, what = path.read_bytes().partition(TRAP)
        there = OPERATIONS if what else sandbox_child.OPERATIONS
        return there[what.decode() or operation](path, arguments)

    return read


OPERATIONS = {
    **sandbox_child.OPERATIONS,
    "loop": _loop,
    "sleep": _sleep,
    "hold the gil": _hold_the_gil,
    "memory": _memory,
    "abort": _abort,
    "segfault": _segfault,
    "fault": _fault,
    "recursion": _recursion,
    "flood": _flood,
    "endless": _endless,
    "say": _say,
    "bytes": _bytes,
    "tries": _tries,
    **{name: _trapped(name) for name in ("picture", "info", "frames")},
}
