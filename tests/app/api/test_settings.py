"""Where a server keeps its jobs when nobody says, and the limits it is started with."""

import pwd
from pathlib import Path
from typing import Any

import pytest

import app.cli.app_command as app_command
from app.api.settings import AI_NOTICE, default_data_dir
from app.cli.commands import main
from app.intake.limits import Limits
from weights.errors import OutputError


def test_data_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert default_data_dir() == tmp_path / "xdg" / "visavis" / "app"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_data_dir() == tmp_path / "home" / ".local" / "share" / "visavis" / "app"


def test_without_a_home_it_asks_for_a_folder(monkeypatch: pytest.MonkeyPatch):
    def nobody(_: int):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    with pytest.raises(OutputError, match="--data-dir"):
        default_data_dir()


def test_limits_are_set_in_the_units_of_their_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    started: list[Limits] = []

    def serve(app: Any, config: Any, say: object) -> None:
        app.state.context.database.close()
        started.append(config.limits)

    monkeypatch.setattr(app_command, "serve", serve)
    quiet = ["app", "--no-studio", "--data-dir", str(tmp_path / "data")]
    chosen = ["--max-upload", "100.5", "--expiry", "0.5", "--max-storage", "2", "--workers", "3"]
    assert main(quiet) == 0
    assert main([*quiet, *chosen, "--max-connections", "600"]) == 0
    assert started[0] == Limits()
    assert started[1] == Limits(
        max_upload_bytes=100_500_000,
        max_request_bytes=201_000_000,
        expiry_s=30.0,
        total_bytes=2 * 10**9,
        workers=3,
        max_connections_each=600,
        max_connections=600,
    )


def test_an_ai_is_told_to_be_one_unless_somebody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """The notice is on, can be worded otherwise, and where it is off, or provenance is, the log of
    the server has a line of it.
    """
    started: list[Any] = []

    def serve(app: Any, config: Any, say: object) -> None:
        app.state.context.database.close()
        started.append(config)

    monkeypatch.setattr(app_command, "serve", serve)
    quiet = ["app", "--no-studio", "--data-dir", str(tmp_path / "data")]
    for more, words in (
        ([], AI_NOTICE),
        (["--live-notice", "Here speaks a machine."], "Here speaks a machine."),
        (["--live-notice", ""], ""),
    ):
        assert main([*quiet, *more]) == 0
        assert started[-1].live_notice == words and started[-1].provenance.enabled
        told = capfd.readouterr().err
        assert ("do not say that an AI is talking" in told) == (words == "")
    assert main([*quiet, "--no-provenance"]) == 0
    assert not started[-1].provenance.enabled
    assert "provenance is off" in capfd.readouterr().err
