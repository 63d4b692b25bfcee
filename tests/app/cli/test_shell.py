"""The edge: exit codes and sentences."""

import json
from importlib import metadata

import pytest
import typer

from app.cli.commands import main
from app.cli.shell import run
from weights.errors import FaceError


def commands(error: BaseException | None) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def only(number: int = 0, as_json: bool = typer.Option(False, "--json")) -> None:
        if error is not None:
            raise error

    return app


def test_nothing_wrong_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(commands(None), []) == 0
    assert capsys.readouterr() == ("", "")


def test_an_error_of_ours_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(commands(FaceError("no face was found in a.jpg")), []) == 2
    assert capsys.readouterr() == ("", "visavis: no face was found in a.jpg\n")


def test_json_errors_are_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(commands(FaceError("no face")), ["--json"]) == 2
    out = capsys.readouterr().out
    assert json.loads(out) == {"error": {"type": "FaceError", "message": "no face"}}


def test_a_wrong_option_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(commands(None), ["--number", "many"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert "'--number'" in err and "integer" in err


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(commands(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "visavis: interrupted; nothing was written\n"


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(commands(ZeroDivisionError("oops")), [])


def test_an_exit_code_is_passed_on() -> None:
    assert run(commands(typer.Exit(1)), []) == 1


def test_the_version_is_told_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"visavis {metadata.version('visavis')}\n", "")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("visavis mo", ["motion"]),
        ("visavis render --or", ["--order"]),
        ("visavis render --order t", ["turns", "together"]),
        ("visavis motion --emotion s", ["surprise", "sadness"]),
        ("visavis render --seed ", []),
    ],
)
def test_a_shell_completes_commands_options_and_words(
    typed: str,
    offered: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_VISAVIS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    assert set(capsys.readouterr().out.split()) == set(offered)
