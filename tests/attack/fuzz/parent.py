"""Runs the children that read cases, and watches their clock; a child that dies is replaced."""

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.attack.fuzz.child import case
from tests.attack.fuzz.corpus import good_files
from tests.attack.fuzz.readers import READERS

ROOT = Path(__file__).resolve().parents[3]
CHILD = "tests.attack.fuzz.child"
_START_S = 120.0
"""For imports and the good files, on a machine that is busy with other tests."""
_MOST_FOUND = 20


@dataclass
class Found:
    """A case that was not taken well, and the file that it was written to."""

    number: int
    wrong: str
    path: Path


@dataclass
class Report:
    """What became of the cases of one reader. `slowest` in seconds, `largest` in kilobytes."""

    reader: str
    cases: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    largest: int = 0
    found: list[Found] = field(default_factory=list)


def fuzz(
    readers: Sequence[str], cases: int, seed: int, jobs: int, found: Path, slack: float = 1.0
) -> list[Report]:
    """Reads `cases` cases, as many of each reader; `slack` multiplies the time for a case."""
    each = -(-cases // len(readers))
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda r: _Run(r, seed, each, found, slack).run(), readers))


def table(reports: Sequence[Report]) -> str:
    """The reports as lines of text."""
    lines = [
        f"{'reader':13} {'cases':>6} {'found':>5} {'seconds':>8} {'slowest':>8} {'most MB':>8}"
    ]
    for r in reports:
        lines.append(
            f"{r.reader:13} {r.cases:6} {len(r.found):5} {r.seconds:8.1f} {r.slowest:8.2f} "
            f"{r.largest / 1024:8.1f}"
        )
        lines += [f"    case {f.number}: {f.wrong}; {f.path}" for f in r.found]
    return "\n".join((*lines, f"in all {sum(r.cases for r in reports)} cases"))


class _Clock:
    """How long the child has been at something, and for how long it may be."""

    def __init__(self, limit: float) -> None:
        self.start(limit)

    def start(self, limit: float) -> None:
        """Begin anew, with `limit` seconds."""
        self._began, self.limit = time.monotonic(), limit

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began


class _Run:
    """All cases of one reader, by one child after the other."""

    def __init__(self, reader: str, seed: int, cases: int, found: Path, slack: float) -> None:
        self._reader, self._seed, self._cases = reader, seed, cases
        self._limit = READERS[reader].seconds * slack
        self._found = found
        self._report = Report(reader)

    def run(self) -> Report:
        began, number = time.monotonic(), 0
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            while number < self._cases and len(self._report.found) < _MOST_FOUND:
                number = self._child(number, Path(folder))
        self._report.seconds = time.monotonic() - began
        return self._report

    def _child(self, first: int, folder: Path) -> int:
        """Runs a child until it ends; returns the number of the next case."""
        places = {name: folder / name for name in ("home", "tmp", "cwd")}
        for place in places.values():
            place.mkdir(exist_ok=True)
        words = [self._reader, str(self._seed), str(first), str(self._cases), str(folder)]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", CHILD, *words],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=places["cwd"],
                env={
                    **{k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH")},
                    "HOME": str(places["home"]),
                    "TMPDIR": str(places["tmp"]),
                    "PYTHONPATH": str(ROOT),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "OMP_NUM_THREADS": "1",
                },
            )
        try:
            return self._follow(process, first, folder)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            for name, place in places.items():
                if left := [p.name for p in place.iterdir()]:
                    self._tell(first, f"{name} holds {left[0]!r} afterwards")

    def _follow(self, process: "subprocess.Popen[bytes]", first: int, folder: Path) -> int:
        """Takes in what a child says; returns the number of the case after its last one."""
        assert process.stdout is not None
        current: int | None = None
        clock, next_case = _Clock(_START_S), first
        for line in _lines(process, clock):
            if line is None:
                if current is None:
                    raise AssertionError(f"{self._reader}: nothing for {clock.limit:.0f} s")
                self._tell(current, f"it takes more than {clock.limit:.0f} s")
                return current + 1
            said = json.loads(line)
            if "begins" in said:
                current = said["begins"]
                clock.start(self._limit)
            elif "ends" in said:
                assert current is not None
                self._report.cases += 1
                self._report.slowest = max(self._report.slowest, clock.seconds)
                self._report.largest = max(self._report.largest, said["kb"])
                next_case = current + 1
                clock.start(_START_S)
                if said["wrong"]:
                    self._tell(current, said["wrong"])
                current = None
            elif "done" in said:
                return self._cases
        code = process.wait()
        if current is None:
            log = (folder / "log").read_text()[-2_000:]
            raise AssertionError(f"{self._reader}: the child ended with {code}: {log}")
        self._tell(current, f"the process dies with {code}")
        return next_case if next_case > current else current + 1

    def _tell(self, number: int, wrong: str) -> None:
        suffix, data = case(self._reader, self._seed, number, good_files(self._reader))
        self._found.mkdir(parents=True, exist_ok=True)
        path = self._found / f"{self._reader}-{self._seed}-{number}{suffix}"
        path.write_bytes(data)
        self._report.found.append(Found(number, wrong, path))


def _lines(process: "subprocess.Popen[bytes]", clock: _Clock) -> Iterator[bytes | None]:
    """The lines of a process as they come; None when the clock's time passes without one."""
    assert process.stdout is not None
    descriptor, held = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            while b"\n" in held:
                line, _, held = held.partition(b"\n")
                yield line
            if not selector.select(max(0.0, clock.limit - clock.seconds)):
                yield None
                return
            block = os.read(descriptor, 1 << 16)
            if not block:
                return
            held += block
