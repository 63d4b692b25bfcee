"""The child that reads cases: `python -m tests.attack.fuzz.child READER SEED FIRST END FOLDER`.

It says on stdout, as a line of JSON each, which case it begins and what became of it; the parent
(see __main__.py) watches the clock. Memory is watched here: by a limit on addresses above what the
reader has after a first case, and by the peak of what is resident.
"""

import contextlib
import json
import os
import random
import resource
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.attack.fuzz.corpus import Files, good_files
from tests.attack.fuzz.mutations import mutate
from tests.attack.fuzz.readers import READERS
from weights.errors import VisavisError

ADDRESSES = 3 << 30
"""Bytes of addresses that a case may take; libraries reserve more than they use."""
RESIDENT_KB = 400 << 10
"""Resident memory that a case may take, in kilobytes."""
_LONGEST_MESSAGE = 2_500
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink"),
)


def case(reader: str, seed: int, number: int, good: Files) -> tuple[str, bytes]:
    """(ending, bytes) of a case: the same for the same seed and number, on any machine."""
    rng = random.Random(f"{reader} {seed} {number}")
    suffix, data = rng.choice(good)
    # Endings and contents may disagree.
    shown = rng.choice(READERS[reader].suffixes) if rng.random() < 0.05 else suffix
    return shown, mutate(rng, data, [other for _, other in good])


class Watch:
    """What a case does to files, sockets and processes, told by Python's audit events."""

    def __init__(self, folder: Path, network: bool = False) -> None:
        self._folder, self._network = str(folder), network
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)  # which cannot be taken away again

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            path, _, flags = arguments
            wrote = isinstance(flags, int) and flags & _WRITING
            if wrote and isinstance(path, str | os.PathLike) and not self._own(path):
                self.seen.append(f"opens {os.fspath(path)!r} for writing")
        elif self._network and event.startswith("socket."):
            return
        elif event in _FORBIDDEN and not (arguments and self._own(arguments[0])):
            self.seen.append(f"{event} {arguments!r:.200}")

    def _own(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        return os.path.abspath(os.fspath(path)).startswith(self._folder)


def judge(read: Any, path: Path, watch: Watch) -> str | None:
    """What is wrong with how a case ends; None for a value or an error in one sentence."""
    watch.seen.clear()
    watch.active = True
    try:
        read(path)
    except VisavisError as error:
        message = str(error)
        if len(message) > _LONGEST_MESSAGE * (1 + message.count("\n")):
            return f"a message of {len(message)} characters"
        # A manifest tells of many rows, a line each.
        if not message or not all(part.replace("\t", " ").strip() for part in message.split("\n")):
            return f"an empty line in {message!r:.200}"
        if type(error).__name__ != "ManifestError" and "\n" in message:
            return f"a message of several lines: {message!r:.200}"
    except BaseException as error:
        trace = traceback.extract_tb(error.__traceback__)
        at = " < ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in trace[:-9:-1])
        return f"{type(error).__name__}: {error!s:.200} at {at}"
    finally:
        watch.active = False
    return watch.seen[0] if watch.seen else None


@contextlib.contextmanager
def bounded_addresses() -> Iterator[None]:
    """At most ADDRESSES more than now, so that a promise of terabytes is an error and no swap."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ADDRESSES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


def main(reader: str, seed: int, first: int, end: int, folder: Path) -> None:
    """Read cases `first` to `end` in `folder`, where nothing but the case may be made."""
    read, network = READERS[reader].read, READERS[reader].network
    making = folder / "making"
    making.mkdir(exist_ok=True)
    good = good_files(reader)
    path = making / f"case{good[0][0]}"
    watch = Watch(folder / "case", network)
    for suffix, data in good:  # loads what is imported late
        path = making / f"good{suffix}"
        path.write_bytes(data)
        with contextlib.suppress(VisavisError):
            read(path)
    own = folder / "case"
    shutil.rmtree(own, ignore_errors=True)  # a child that died leaves its case
    own.mkdir()
    for number in range(first, end):
        suffix, data = case(reader, seed, number, good)
        path = own / f"case{suffix}"
        path.write_bytes(data)
        _tell(begins=number)
        before = _peak_kb()
        with bounded_addresses():
            wrong = judge(read, path, watch)
        grown = _peak_kb() - before
        if wrong is None and grown > RESIDENT_KB:
            wrong = f"it takes {grown >> 10} MB"
        path.unlink(missing_ok=True)
        if wrong is None and (left := [p.name for p in own.iterdir()]):
            wrong = f"it leaves {left[0]!r}"
        _tell(ends=number, wrong=wrong, kb=grown)
    _tell(done=True)


if __name__ == "__main__":
    name, seed, first, end, where = sys.argv[1:]
    main(name, int(seed), int(first), int(end), Path(where))
