"""Where a server keeps its jobs when nobody says."""

import pwd
from pathlib import Path

import pytest

from app.api.settings import default_data_dir
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
