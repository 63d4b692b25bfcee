"""Files that users name, opened safely: regular ones only, never more than a stated size.

A device such as /dev/zero has no end and a FIFO waits for a writer who may never come; both would
hold a process for ever. So the kind of a file is asked of the opened descriptor, not of the path,
which somebody could replace in between.
"""

import errno
import io
import os
import stat
from pathlib import Path

from weights.errors import InputError, LimitError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# A FIFO opens at once, without a writer; a socket cannot be opened at all.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def open_regular(
    path: str | os.PathLike[str],
    what: str,
    max_bytes: int,
    error: type[InputError] = InputError,
) -> io.BufferedReader:
    """A file, opened for reading bytes; `what` names it in messages: "motion file".

    Raises `error` when it is not there, may not be read, or is not a regular file (a folder, a
    pipe, a device), LimitError when it has more than `max_bytes`.
    """
    path = Path(path)
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as problem:
        raise error(_why(path, what, problem)) from problem
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
            raise error(f"the {what} {path} is {kind}; wanted a regular file")
        if found.st_size > max_bytes:
            raise LimitError(
                f"the {what} {path} has {found.st_size} bytes; at most {max_bytes} are read"
            )
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")  # whose it is from here on: closed here, it would be twice


def check_regular(
    path: str | os.PathLike[str],
    what: str,
    error: type[InputError] = InputError,
    max_bytes: int = 1 << 62,
) -> int:
    """Bytes of a file that a library will open by its name. Raises as `open_regular`."""
    with open_regular(path, what, max_bytes, error) as file:
        return os.fstat(file.fileno()).st_size


def read_regular(
    path: str | os.PathLike[str],
    what: str,
    max_bytes: int,
    error: type[InputError] = InputError,
) -> bytes:
    """All bytes of a file. Raises as `open_regular`, also for one that grows while it is read."""
    with open_regular(path, what, max_bytes, error) as file:
        try:
            data = file.read(max_bytes + 1)
        except OSError as problem:
            raise error(_why(Path(path), what, problem)) from problem
    if len(data) > max_bytes:
        raise LimitError(
            f"the {what} {path} has more than {max_bytes} bytes, the most that is read"
        )
    return data


def _why(path: Path, what: str, problem: OSError | ValueError) -> str:
    """Why a file cannot be opened, as a sentence."""
    if not isinstance(problem, OSError):  # a path with a zero byte
        return f"there is no {what} {path}"
    if problem.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"there is no {what} {path}"
    if problem.errno in (errno.EACCES, errno.EPERM):
        return f"there is no permission to read the {what} {path}"
    if problem.errno in (errno.ENXIO, errno.ENODEV):
        return f"the {what} {path} is a socket or a device; wanted a regular file"
    return f"the {what} {path} cannot be read: {problem.strerror}"
