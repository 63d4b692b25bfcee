"""`visavis study make | analyse`: which of two videos people find better."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

import app.cli.options as o
from app.cli.shell import print_result

study_commands = typer.Typer(help="Ask people which of two videos is better.", no_args_is_help=True)
Systems = Annotated[
    list[Path], Argument(help="A folder of videos for each system, with the same names in all.")
]
Folder = Annotated[
    Path, Option("--out", help="A new folder: `page` is what raters get, key.json stays with you.")
]
Raters = Annotated[int, Option("--raters", min=1, max=10_000, help="How many people will rate.")]
Each = Annotated[int, Option("--each", min=1, max=1000, help="Pairs that each of them sees.")]
Title = Annotated[
    str | None, Option("--title", help="Above the page.", show_default="Which video is better?")
]
Seed = Annotated[int, Option("--seed", help="Of the order, or of the intervals.")]
Key = Annotated[Path, Argument(help="The study's key.json.")]
Answers = Annotated[list[Path], Argument(help="The files that the raters saved.")]


@study_commands.command()
def make(
    systems: Systems,
    out: Folder,
    raters: Raters = 20,
    each: Each = 20,
    title: Title = None,
    seed: Seed = 0,
    as_json: o.AsJson = False,
) -> None:
    """Make the page: pairs of videos beside each other, balanced and blinded."""
    from app.study.design import make_study

    count = make_study(systems, out, raters, each, seed, title or "")
    result = {"page": str(out / "page"), "key": str(out / "key.json"), "trials": count}
    told = f"{out}/page/index.html: {count} pairs for each of {raters} raters; keep {out}/key.json"
    print_result(result, told, as_json)


@study_commands.command()
def analyse(key: Key, answers: Answers, seed: Seed = 0, as_json: o.AsJson = False) -> None:
    """Say how strong each system is in each dimension, with intervals over raters."""
    from app.study.analysis import analyse as strengths

    outcome = strengths(key, answers, seed)
    print_result(outcome.to_json(), str(outcome), as_json)
