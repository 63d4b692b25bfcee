"""What adds an extra to this installation, wherever it came from."""

import json
import shlex
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.cli.commands import main
from weights import installation
from weights.installation import how_to_add

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({"url": "file:///a/b%20c", "dir_info": {"editable": True}}, ["--editable", "/a/b c[app]"]),
        ({"url": "file:///a/v-1.whl"}, ["visavis[app] @ file:///a/v-1.whl"]),
        (
            {"url": "https://h/v.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}},
            ["visavis[app] @ git+https://h/v.git@ab12"],
        ),
        (None, ["visavis[app]"]),
    ],
    ids=["checkout", "wheel", "repository", "index"],
)
def test_the_command_names_where_the_installation_came_from(
    origin: dict | None, words: list[str], monkeypatch: pytest.MonkeyPatch
):
    there = SimpleNamespace(read_text=lambda name: None if origin is None else json.dumps(origin))
    monkeypatch.setattr(metadata, "distribution", lambda name: there)
    assert shlex.split(how_to_add("app")) == [sys.executable, "-m", "pip", "install", *words]


def test_a_checkout_that_nobody_installed_keeps_its_pinned_versions(
    monkeypatch: pytest.MonkeyPatch,
):
    def absent(name: str):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    words = shlex.split(how_to_add("app"))
    assert words[-4:] == ["--constraint", f"{ROOT}/constraints.txt", "--editable", f"{ROOT}[app]"]


def test_an_environment_without_pip_is_served_by_uv(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installation.util, "find_spec", lambda name: None)
    assert how_to_add("app").startswith(f"uv pip install --python {sys.executable} ")


def test_the_studio_without_its_extra_says_that_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "app.api.app", None)
    assert main(["app"]) == 2
    assert how_to_add("app") in " ".join(capsys.readouterr().err.split())
