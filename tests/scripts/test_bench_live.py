"""`scripts/bench live`: each figure is printed when it is known, and its server is stopped."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from app.client import ServerError
from scripts.benchmarks import live

TALK = {
    **{"size": 256, "first_frame_ms": 400, "voice_to_photon_ms": 300, "frames": 500},
    **{"voice_to_photon_p95_ms": 450, "barge_in_ms": 70, "frames_due": 500},
    "pictures_per_s": 25.0,
}


def test_what_was_measured_is_said_before_what_is_still_to_be_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    @contextlib.contextmanager
    def server(folder: Path, waiting: int, talks: int):
        yield "http://localhost", None

    said: list[str] = []

    def converse(url: str, size: int, seconds: float, voice: str | None) -> dict[str, object]:
        said.append(capsys.readouterr().out)
        return {**TALK, "size": size}

    def load(*given: object) -> dict[str, object]:
        said.append(capsys.readouterr().out)
        return {"clients": 2, "failed": 0, "seconds": [1.0], "memory_mb": [600]}

    for name, fake in (("server", server), ("converse", converse), ("load", load)):
        monkeypatch.setattr(live, name, fake)
    monkeypatch.setattr(sys, "argv", ["live", "--size", "256", "512", "--clients", "2"])
    live.main()
    assert said[0] == "" and said[1].startswith(
        "256 px: first frame 400 ms, voice to photon 300 ms"
    )
    assert said[2].startswith("512 px") and "2 clients at once: 0 failed" in capsys.readouterr().out


def test_of_many_conversations_those_that_were_held_are_counted(monkeypatch: pytest.MonkeyPatch):
    """Others were refused, or saw nothing."""
    given: list[str | None] = []

    def converse(url: str, size: int, seconds: float, voice: str | None) -> dict[str, object]:
        given.append(voice)
        if len(given) == 1:
            raise ServerError("all places are taken", 429)
        if len(given) == 2:
            raise TimeoutError("no picture came")
        return {**TALK, "size": size, "frames": 250, "barge_in_ms": None if len(given) == 3 else 80}

    monkeypatch.setattr(live, "converse", converse)
    monkeypatch.setattr(live, "ThreadPoolExecutor", InTurn)
    row = live.crowd("http://localhost", 5, 20.0, "joe")
    assert given == ["joe"] * 5
    assert row == {
        **{"talks": 5, "held": 3, "frames_share": 0.5, "pictures_per_s": 25.0},
        **{"interrupted": 2, "barge_in_ms": 80},
    }


class InTurn:
    """A pool that does one after the other."""

    def __init__(self, count: int) -> None:
        del count

    def __enter__(self) -> "InTurn":
        return self

    def __exit__(self, *given: object) -> None:
        pass

    map = staticmethod(map)


def test_a_server_that_does_not_stop_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """One that hears of SIGTERM and goes on."""
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('Visavis is at http://127.0.0.1:9', flush=True); time.sleep(60)"
    )
    begun: list[subprocess.Popen[str]] = []

    def popen(*given: object, **options: object) -> subprocess.Popen[str]:
        begun.append(real([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True))
        return begun[0]

    real = subprocess.Popen
    monkeypatch.setattr(live, "_STOP_S", 0.2)
    monkeypatch.setattr(live.subprocess, "Popen", popen)
    monkeypatch.setattr(live.httpx, "get", lambda url: type("Answer", (), {"status_code": 200})())
    with pytest.raises(SystemExit, match="did not stop"), live.server(tmp_path, 1):
        pass
    assert begun[0].wait(5) != 0
