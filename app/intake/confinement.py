"""Confining a process for good: how much it may use, what it may read, what it may ask the system.

Made for a process that decodes one file of a stranger. It writes nothing, reaches no network,
starts nothing and can be ended at any time.
"""

import contextlib
import ctypes
import os
import resource
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from app.intake.system_calls import refuse_system_calls

_OPEN_FILES = 32
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# Rights over files that each version of Landlock can take away, then over TCP, then beyond.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_SINCE, _TCP_RIGHTS = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9


@dataclass(frozen=True)
class Confinement:
    """What this system can take away from a process beside time and memory: `system_calls` by
    seccomp, `files` by Landlock.
    """

    system_calls: bool
    files: bool

    def __str__(self) -> str:
        has = [
            f"{what} {'yes' if there else 'no'}"
            for what, there in (("seccomp", self.system_calls), ("Landlock", self.files))
        ]
        return f"limits of time and memory yes, {', '.join(has)}"


def limit_resources(cpu_s: int, memory_bytes: int) -> None:
    """Bound this process: processor time, address space, open files; no written file, no core."""
    for what, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(what, (most, most))
    if sys.platform == "linux":
        # When the machine runs out of memory, this goes first and the server stays.
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")


def die_with_parent() -> None:
    """Have this process killed when the one that forked it ends; Linux alone can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def confine(readable: Sequence[str]) -> Confinement:
    """Take away all system calls that decoding needs not, and every file but those below the paths
    that are `readable`. Cannot be undone; returns what could be had here.
    """
    files = _read_only(readable)
    return Confinement(refuse_system_calls(os.getpid()), files)


def _read_only(readable: Sequence[str]) -> bool:
    """Landlock: False where this kernel has none, or it is switched off."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = _FILE_RIGHTS[max(v for v in _FILE_RIGHTS if v <= version)]
    asked = struct.pack("Q", rights)
    if version >= _TCP_SINCE:
        asked += struct.pack("Q", _TCP_RIGHTS)
    if version >= _SCOPES_SINCE:
        asked += struct.pack("Q", _SCOPES)
    rules = libc.syscall(_LANDLOCK_CREATE, asked, ctypes.c_size_t(len(asked)), 0)
    if rules < 0:
        return False
    try:
        for path in readable:
            _allow(libc, rules, path)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        return libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str) -> None:
    """Reading below a path; one that is not there gets no rule, and reading it fails by itself."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    try:
        rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        libc.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)
