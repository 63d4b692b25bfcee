"""A process with a limit on memory in which hostile files are read, and a clock on it.

`python -m tests.attack.limited FOLDER` takes a line of JSON for each file from stdin,
[reader, path] or ["cli", arguments], and answers with one. A reader that would eat the machine
gets a MemoryError, one that hangs is ended by `Limited.read`.
"""

import contextlib
import io
import json
import os
import resource
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_START_S = 120.0
LITTLE_MB = 120.0
SOON_S = 8.0
"""On a machine that runs other tests at the same time."""


@dataclass(frozen=True)
class Answer:
    """How reading ended: `error` is the type of an exception, "" for a value; `megabytes` is by
    how much the peak of resident memory grew.
    """

    error: str
    message: str
    seconds: float
    megabytes: float
    ours: bool


def require_refused(answer: Answer, megabytes: float = LITTLE_MB) -> None:
    """An error of ours in one sentence, soon, in little memory."""
    assert answer.error and answer.ours, answer
    assert answer.message and "\n" not in answer.message and len(answer.message) < 2_500, answer
    assert answer.seconds < SOON_S, answer
    assert answer.megabytes < megabytes, answer


class Limited:
    """The process, started when it is first asked and again after it was ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, reader: str, what: Path | list[str], seconds: float = 20.0) -> Answer:
        """Read a file with a reader of the fuzzer, or run a command line."""
        if self._process is None:
            self._process = self._start()
            self._ask("warm", "", _START_S)
        return self._ask(reader, what if isinstance(what, list) else str(what), seconds)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.attack.limited"],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def _ask(self, reader: str, what: str | list[str], seconds: float) -> Answer:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        began = time.monotonic()
        process.stdin.write(json.dumps([reader, what]).encode() + b"\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(seconds) else b""
        if not line:
            self.close()
            return Answer("Hang", "", time.monotonic() - began, 0.0, False)
        return Answer(**json.loads(line))


def _peak_kb() -> int:
    """The most resident memory since `clear_refs` was written."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1])


def _answer(call: Callable[[], Any]) -> dict[str, Any]:
    from weights.errors import VisavisError

    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is that of this file
    began, before = time.monotonic(), _peak_kb()
    error, message, ours = "", "", True
    try:
        message = str(call())[:2_000]
    except VisavisError as problem:
        error, message = type(problem).__name__, str(problem)
    except BaseException as problem:
        error, message, ours = type(problem).__name__, str(problem)[:200], False
    grown = _peak_kb() - before
    seconds = time.monotonic() - began
    return {
        "error": error,
        "message": message,
        "seconds": seconds,
        "megabytes": grown / 1024,
        "ours": ours,
    }


def _command(arguments: list[str]) -> str:
    """Exit code and what was written to stderr."""
    from app.cli.commands import main

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(arguments)
    return f"{code} {said.getvalue()}"


def _serve() -> None:
    from tests.attack.fuzz.readers import READERS

    limit = 3 << 30
    for line in sys.stdin:
        reader, what = json.loads(line)
        if reader == "warm":
            import pyarrow.parquet  # noqa: F401
            import scipy.spatial.transform  # noqa: F401
            import torch  # noqa: F401

            import app.batch.manifest  # noqa: F401
            import motion2video.geometry.basis
            import motion2video.media.video  # noqa: F401

            now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + limit, resource.RLIM_INFINITY))
            answer = _answer(lambda: None)
        elif reader == "cli":
            answer = _answer(lambda arguments=what: _command(arguments))
        else:
            answer = _answer(lambda r=reader, w=what: READERS[r].read(Path(w)))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
