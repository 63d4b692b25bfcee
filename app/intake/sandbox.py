"""Decoding strangers' files in other processes: a decoder's hang, crash or capture costs one job.

A helper process with an empty environment waits to be asked and forks a child for each file (some
milliseconds); the child confines itself (app/intake/confinement.py), reads, answers and ends. It
is never used twice. Answers are JSON and raw numbers (app/intake/wire.py), bounded and checked
here.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from app.intake.child import CONTROL
from app.intake.confinement import Confinement
from app.intake.wire import Message, WireError, receive, send
from weights import errors
from weights.errors import BusyError, DependencyError, MediaError, VisavisError

Check = Callable[[], None]
"""Called several times a second while a decoder works; what it raises ends the decoder."""
_ROOT = str(Path(__file__).resolve().parents[2])
_LAUNCH = (
    "import sys; sys.path.append(sys.argv[3]); from app.intake.child import main; "
    "main(int(sys.argv[1]), sys.argv[2], sys.argv[3])"
)
_START_S, _REPLY_S, _LOOK_S = 60.0, 10.0, 0.1
_MOST_TOLD, _BUFFER = 4000, 1 << 22
_log = logging.getLogger("visavis.sandbox")


@dataclass(frozen=True)
class SandboxLimits:
    """What one file may cost. `silent_s` is how long a decoder may say nothing, `waiting_s` how
    long the server waits for it in all, `cpu_s` its processor time, `memory_bytes` its address
    space; `at_once` files are read at a time.
    """

    silent_s: float = 30.0
    waiting_s: float = 900.0
    cpu_s: int = 900
    memory_bytes: int = 2 * 2**30
    at_once: int = 8


def _nothing() -> None:
    """Nobody cancels."""


class Sandbox:
    """Decoders of one server, safe for many threads. The helper is started at the first call, and
    again when it has died; it ends with this object. `module` has the OPERATIONS that it can do.
    """

    def __init__(
        self, limits: SandboxLimits | None = None, module: str = "app.intake.child"
    ) -> None:
        self.limits, self._module = limits or SandboxLimits(), module
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(self.limits.at_once)
        self._helper: _Helper | None = None
        self._told = False

    def start(self) -> None:
        """Start the helper now, so that the first visitor does not wait for it."""
        with self._lock:
            self._living()

    def close(self) -> None:
        """End the helper and all decoders. Harmless twice."""
        with self._lock:
            if self._helper is not None:
                self._helper.close()
            self._helper = None

    def confinement(self) -> Confinement:
        """What this system can take away from a decoder, tried."""
        with self._decoder(_nothing) as decoder:
            return self._begin(decoder, "info", os.devnull, {})

    def messages(
        self,
        operation: str,
        path: str | os.PathLike[str],
        arguments: dict[str, Any],
        most_bytes: int,
        check: Check | None = None,
    ) -> Iterator[Message]:
        """What an operation says of a file, as it comes; each with arrays of `most_bytes` at most.

        Raises the VisavisError that it ends with, MediaError when the decoder breaks off, takes
        too long or talks nonsense, BusyError when too many files are read at once, and whatever
        `check` does. The decoder is gone when this ends or is closed.
        """
        path, check = os.fspath(path), check or _nothing
        with self._decoder(check) as decoder:
            self._begin(decoder, operation, path, arguments)
            while (message := decoder.receive(path, most_bytes)).kind == "item":
                yield message
            if message.kind != "end":
                raise _error(message, path)

    def _begin(
        self, decoder: "_Decoder", operation: str, path: str, arguments: dict[str, Any]
    ) -> Confinement:
        asked = {"path": os.path.abspath(path), "arguments": arguments}
        limits = asdict(self.limits)
        asked |= {name: limits[name] for name in ("cpu_s", "memory_bytes")}
        decoder.send(Message(operation, asked), path)
        begun = decoder.receive(path, 0)
        got = begun.value if isinstance(begun.value, dict) else {}
        confinement = Confinement(got.get("system_calls") is True, got.get("files") is True)
        if not (self._told or (confinement.system_calls and confinement.files)):
            self._told = True
            _log.warning("decoders are less confined than they could be: %s", confinement)
        return confinement

    @contextlib.contextmanager
    def _decoder(self, check: Check) -> "Iterator[_Decoder]":
        """A fresh decoder, killed at the end."""
        until = time.monotonic() + self.limits.silent_s
        while not self._free.acquire(timeout=_LOOK_S):
            check()
            if time.monotonic() > until:
                raise BusyError("too many files are being read; try again later")
        try:
            ours, theirs = socket.socketpair()
            for end in (ours, theirs):  # a frame fits, as far as the system allows
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            with ours:
                with theirs, self._lock:
                    helper, pid = self._fork(theirs)
                try:
                    yield _Decoder(ours, self.limits, check)
                finally:
                    helper.end(pid, self._lock)
        finally:
            self._free.release()

    def _fork(self, theirs: socket.socket) -> "tuple[_Helper, int]":
        for _ in range(2):
            helper = self._living()
            with contextlib.suppress(OSError):
                return helper, helper.fork(theirs)
            _log.error("the helper that starts decoders has died; it is started again")
            helper.close()
            self._helper = None
        raise DependencyError("the process that starts decoders does not stay alive")

    def _living(self) -> "_Helper":
        if self._helper is None:
            self._helper = _Helper(self._module)
        return self._helper


class _Helper:
    """The process that forks decoders. Calls must not meet."""

    def __init__(self, module: str) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            number = str(theirs.fileno())
            # -I: no directory and no variable of the server's has a say in what is imported.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _LAUNCH, number, module, _ROOT],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd="/",
                env={
                    "LANG": "C.UTF-8",
                    "MALLOC_ARENA_MAX": "2",
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                },
                start_new_session=True,
            )
        self._end = weakref.finalize(self, _end, self._control, self._process)
        try:
            self._control.settimeout(_START_S)
            self._read()
            self._control.settimeout(_REPLY_S)
        except OSError as error:
            self.close()
            raise DependencyError(
                "the process that starts decoders could not be started"
            ) from error

    def fork(self, theirs: socket.socket) -> int:
        """The pid of a new decoder, which talks through `theirs`. Raises OSError when the helper
        is dead, BusyError when the system has no room for another process.
        """
        socket.send_fds(self._control, [CONTROL.pack(0)], [theirs.fileno()])
        pid = self._read()
        if pid < 0:
            raise BusyError(f"no process can be started to read a file: {os.strerror(-pid)}")
        return pid

    def end(self, pid: int, lock: threading.Lock) -> None:
        """Kill a decoder; harmless when it has ended. Its pid is nobody else's until the helper
        hears that it is not needed any more.
        """
        with lock, contextlib.suppress(OSError):
            if self._process.poll() is None:
                os.kill(pid, signal.SIGKILL)
                self._control.sendall(CONTROL.pack(pid))

    def close(self) -> None:
        """End it; decoders under way end with it."""
        self._end()

    def _read(self) -> int:
        data = b""
        while len(data) < CONTROL.size:
            more = self._control.recv(CONTROL.size - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return int(CONTROL.unpack(data)[0])


def _end(control: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    control.close()
    process.kill()
    process.wait()


class _Decoder:
    """One child and the patience that the server has with it."""

    def __init__(self, sock: socket.socket, limits: SandboxLimits, check: Check) -> None:
        self._sock, self._limits, self._check = sock, limits, check
        self._sock.settimeout(_LOOK_S)
        self._waited = 0.0

    def send(self, message: Message, path: str) -> None:
        """Tell it what to do."""
        try:
            send(self._sock, message)
        except OSError as error:
            raise _broken(path) from error

    def receive(self, path: str, most_bytes: int) -> Message:
        """Its next message. Raises MediaError for none, and what the check does."""
        try:
            return receive(lambda buffer: self._fill(buffer, path), most_bytes)
        except WireError as error:
            _log.error("a decoder of %s talks nonsense: %s", path, error)
            raise _broken(path) from error

    def _fill(self, buffer: memoryview, path: str) -> None:
        began = time.monotonic()
        while buffer:
            try:
                count = self._sock.recv_into(buffer)
            except TimeoutError:
                self._check()
                silent = time.monotonic() - began
                limit = self._limits
                if silent > limit.silent_s or self._waited + silent > limit.waiting_s:
                    raise MediaError(
                        f"{path} cannot be read: nothing more came of it within "
                        f"{min(silent, limit.silent_s):.0f} s"
                    ) from None
                continue
            except OSError:
                count = 0
            if not count:
                raise _broken(path)
            buffer = buffer[count:]
        self._waited += time.monotonic() - began


def _broken(path: str) -> MediaError:
    return MediaError(f"{path} cannot be read: it is damaged, and its decoder broke off")


def _error(message: Message, path: str) -> VisavisError:
    """The error that a decoder ended with, as far as it is one."""
    if message.kind == "memory":
        return MediaError(f"{path} cannot be read: it needs more memory than one file may take")
    if message.kind == "error" and isinstance(message.value, list) and len(message.value) == 2:
        name, told = message.value
        kind = getattr(errors, name, None) if isinstance(name, str) else None
        known = isinstance(kind, type) and issubclass(kind, VisavisError)
        if kind is not None and known and isinstance(told, str) and len(told) <= _MOST_TOLD:
            return kind(told)
    if message.kind == "fault":
        _log.error("a decoder of %s failed: %s", path, str(message.value)[:_MOST_TOLD])
    return _broken(path)


@cache
def shared_sandbox() -> Sandbox:
    """The one of this process: a helper costs some 60 MB, and serves everybody."""
    return Sandbox()
