"""What a person sees: lines when piped, a bar on a terminal."""

import io
import sys

import pytest

import app.cli.reporter as progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_when_piped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    reporter = progress.Reporter()
    with reporter.progress() as update:
        update("rendering", 1, 4)
        update("rendering", 2, 4)
    reporter.notify("two faces were found [left]")
    out, err = capsys.readouterr()
    first, second, third = err.splitlines()
    assert out == "" and "\x1b" not in err
    assert first == "rendering: 1 of 4 frames"  # no rate is known yet
    assert second.startswith("rendering: 2 of 4 frames, ") and second.endswith(" s left")
    assert third == "note: two faces were found [left]"


def test_few_lines_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Reporter().progress() as update:
        for done in range(1000):
            update("rendering", done, 1000)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress.Reporter().progress() as update:
        update("rendering", 1, 4)
        update("rendering", 4, 4)
    shown = terminal.getvalue()
    assert "rendering" in shown and "4/4" in shown and "frames/s" in shown
