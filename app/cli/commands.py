"""The command line: `visavis demo | render | batch | track | motion | app | data ...`.

Heavy parts are imported inside the commands, so that `visavis --help` answers at once.
"""

import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from app.cli import (
    app_command,
    batch,
    checking,
    datasets,
    evaluation,
    motions,
    rendering,
    verifying,
)
from app.cli.shell import DEBUG, own_process, run
from app.cli.study import study_commands

commands = typer.Typer(
    help="From a photo and two voices to a video of a person who talks and visibly listens.",
    no_args_is_help=True,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script: runs `arguments` (default: those of the process); the exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
        own_process(arguments)
    return run(commands, arguments)


def _tell_version(asked: bool) -> bool:
    if asked:
        print(f"visavis {metadata.version('visavis')}", flush=True)
        raise typer.Exit
    return asked


@commands.callback()
def visavis(
    debug: Annotated[bool, typer.Option("--debug", help=f"As {DEBUG}=1: show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say which version this is.", callback=_tell_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options for every command; `--debug` is looked at before anything else (see
    app.cli.shell).
    """


for _name, _command in {
    "demo": rendering.demo,
    "render": rendering.render,
    "track": motions.track,
    "motion": rendering.motion,
    "export": motions.export,
    "import": motions.import_motion,
    "evaluate": evaluation.evaluate,
    "voices": checking.voices,
    "samples": checking.samples,
    "verify": verifying.verify,
    "doctor": checking.doctor,
    "batch": batch.batch,
    "app": app_command.app,
}.items():
    commands.command(_name)(_command)
commands.add_typer(checking.weights_commands, name="weights")
commands.add_typer(datasets.data_commands, name="data")
commands.add_typer(study_commands, name="study")
