"""Opening a file: who interrupts it hears of the interruption, not of the file."""

import os
from pathlib import Path
from typing import Any

import pytest

import weights.opening as opening


def test_an_interrupt_right_after_opening_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has been closed by then: closing it once more would be an error of its own."""
    path, fdopen = tmp_path / "a", os.fdopen
    path.write_bytes(b"a")

    def interrupted(descriptor: int, mode: str) -> Any:
        fdopen(descriptor, mode).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(opening.os, "fdopen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opening.open_regular(path, "file", 10)


def test_who_is_refused_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"too long")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(opening.LimitError):
        opening.open_regular(path, "file", 3)
    assert len(os.listdir("/proc/self/fd")) == before
