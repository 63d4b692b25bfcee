"""The edge to the command line: exit codes, one sentence for each error, and quiet libraries.

Exit codes: 0 done, 2 bad input (the error's own), 1 a fault of ours, 130 Ctrl-C, 143 SIGTERM.
"""

import atexit
import contextlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import NoReturn

import typer

from weights.errors import VisavisError, one_line

DEBUG = "VISAVIS_DEBUG"
_INTERRUPTED, _TERMINATED, _PIPE, _USAGE = 130, 143, 1, 2


def run(commands: typer.Typer, arguments: Sequence[str]) -> int:
    """Run a command line; every error becomes a sentence on stderr. Returns the exit code."""
    as_json = "--json" in arguments
    try:
        command = typer.main.get_command(commands)  # calling a Typer would replace sys.excepthook
        code = command.main(list(arguments), prog_name="visavis", standalone_mode=False)
        if code == _INTERRUPTED:  # typer has caught a KeyboardInterrupt
            raise KeyboardInterrupt
        sys.stdout.flush()
        _Ending.code = int(code or 0)  # a server that was interrupted has done what it should
        return _Ending.code
    except VisavisError as error:
        return _fail(error, str(error), error.exit_code, as_json)
    except typer.TyperException as error:
        message = error.format_message().rstrip(".")
        if not message:  # no command was given, and help was shown instead
            return _USAGE
        return _fail(error, f"{one_line(message)}; see `visavis --help`", _USAGE, as_json)
    except (KeyboardInterrupt, typer.Abort) as error:
        return _fail(error, "interrupted; nothing was written", _INTERRUPTED, as_json)
    except BrokenPipeError:
        # Whoever read our output has gone; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE


def own_process(arguments: Sequence[str]) -> None:
    """What only a process of our own may change: signals, stderr, waiting threads, faults."""
    if "--debug" in arguments:
        os.environ[DEBUG] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin take cores from x264
    signal.signal(signal.SIGTERM, _terminate)
    # Who is started in the background, by cron or nohup may find Ctrl-C ignored by their parent.
    signal.signal(signal.SIGINT, _interrupt)
    atexit.register(_leave)  # before any library's own: it runs after those
    if not os.environ.get(DEBUG):
        sys.excepthook = _fault
        _quiet_libraries()


def print_result(result: object, text: str, as_json: bool) -> None:
    """The one thing a command writes to stdout: a JSON object, or text for a person."""
    print(json.dumps(result, allow_nan=False) if as_json else text, flush=True)


def _quiet_libraries() -> None:
    """Keep what C++ libraries and Python warnings print away from the user's terminal.

    FFmpeg and its kin write to file descriptor 2 directly; our own stderr moves to a copy of it.
    """
    warnings.simplefilter("ignore")
    sys.stderr.flush()
    copy = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    sys.stderr = os.fdopen(
        copy, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    )


class _Ending:
    """How this process ends: whether a signal told it to, and its exit code."""

    told = False
    code = _TERMINATED


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    _Ending.told, _Ending.code = True, _TERMINATED
    raise SystemExit(_TERMINATED)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _Ending.told, _Ending.code = True, _INTERRUPTED
    raise KeyboardInterrupt


def _leave() -> None:
    """Who was told to end has put everything in order by now: freeing networks piece by piece takes
    seconds on a busy machine, and a thread that is left behind may be using them.
    """
    if _Ending.told:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # who read it has gone
                stream.flush()
        os._exit(_Ending.code)


def _fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """sys.excepthook: an exception that nobody expected becomes a sentence (exit code 1)."""
    message = (
        f"this is a fault of visavis, not yours ({kind.__name__}: {one_line(str(error))}); "
        f"set {DEBUG}=1 and run it again for the traceback"
    )
    _fail(error, message, 1, "--json" in sys.argv)


def _fail(error: BaseException, message: str, code: int, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": {"type": type(error).__name__, "message": message}}), flush=True)
    print(f"visavis: {message}", file=sys.stderr, flush=True)
    return code
