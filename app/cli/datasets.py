"""`visavis data import | check | show | split`: recordings as something to train on."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

import app.cli.options as o
from app.cli.option_group import takes
from app.cli.shell import print_result
from app.dataset.config import ALIKE, ImportConfig

data_commands = typer.Typer(
    help="Make, check and look at datasets to train on.", no_args_is_help=True
)
Source = Annotated[
    str,
    Argument(help="A folder; of pairs also a .csv; of Seamless Interaction also s3://, https://."),
]
Out = Annotated[str, Option("--out", help="The dataset's folder; it may be there already.")]
Data = Annotated[str, Argument(help="A dataset: a folder, or where it was copied (s3://...).")]
Page = Annotated[Path, Option("--out", help="The page (.html).")]
Count = Annotated[int, Option("--count", help="Samples on the page.")]
OfSplit = Annotated[
    str | None, Option("--split", help="Those of train, val or test.", show_default="all")
]
Share = Annotated[float, Option(help="Share of the seconds, from 0 to 1.")]
Seed = Annotated[int, Option("--seed", help="Another number gives other splits.")]
Again = Annotated[bool, Option("--again", help="Forget the splits that people have.")]
Alike = Annotated[
    float, Option("--alike", help="Likeness of two faces from which they stay in one split.")
]


@data_commands.command("import")
@takes("settings", ImportConfig)
def import_data(
    settings: dict[str, Any], source: Source, out: Out, as_json: o.AsJson = False
) -> None:
    """Import recordings; what is done stays done, and the same command goes on. Exit code 1 when
    some gave nothing.
    """
    from app.cli.reporter import Reporter
    from app.dataset.importing import import_recordings

    config, reporter = ImportConfig(**settings), Reporter()
    try:
        with reporter.progress() as progress:
            summary = import_recordings(source, out, config, reporter.notify, progress)
    except KeyboardInterrupt:
        reporter.notify(f"what was imported is in {out}; the same command goes on from there")
        raise
    text = (
        f"{out}: {summary.samples} samples, {summary.seconds:.1f} s; {summary.imported} of "
        f"{summary.recordings} recordings imported now ({summary.frames} frames in "
        f"{summary.took_s:.1f} s), {summary.were_there} were there, {len(summary.failed)} failed"
    )
    print_result(asdict(summary), text, as_json)
    if summary.failed:
        raise typer.Exit(1)


@data_commands.command("check")
def check_data(data: Data, as_json: o.AsJson = False) -> None:
    """Read all of a dataset: figures, and what is wrong with it. Exit code 1 when something is."""
    from app.cli.reporter import Reporter
    from app.dataset.checks import check
    from app.dataset.layout import Dataset

    with Reporter().progress("samples") as progress:
        found = check(Dataset.open(data), progress)
    lines = [f"{name}: {value}" for name, value in found.figures.items()]
    lines += [f"problem: {line}" for line in found.problems] or ["nothing is wrong with it"]
    print_result(asdict(found), "\n".join(lines), as_json)
    if found.problems:
        raise typer.Exit(1)


@data_commands.command("show")
def show_data(
    data: Data,
    out: Page,
    count: Count = 24,
    split: OfSplit = None,
    as_json: o.AsJson = False,
) -> None:
    """Write a page with samples to look at and to hear: faces, curves, voices. It needs no other
    file.
    """
    from app.dataset.layout import Dataset
    from app.dataset.page import show

    shown = show(Dataset.open(data), out, count, split)
    result = {"out": str(out), "samples": [s.key for s in shown]}
    print_result(result, f"{out}: {len(shown)} samples", as_json)


@data_commands.command("split")
def split_data(
    data: Data,
    val: Share = 0.1,
    test: Share = 0.1,
    seed: Seed = 0,
    again: Again = False,
    alike: Alike = ALIKE,
    as_json: o.AsJson = False,
) -> None:
    """Divide the people into train, val and test; nobody is in two, nor is a conversation. Who has
    a split keeps it.
    """
    from app.cli.reporter import Reporter
    from app.dataset.layout import Dataset
    from app.dataset.splits import split

    found = split(Dataset.open(data), val, test, seed, again, alike)
    reporter = Reporter()
    for notice in found.notices:
        reporter.notify(notice)
    text = "; ".join(
        f"{name}: {found.people[name]} people, {found.seconds[name]:.1f} s" for name in found.people
    )
    print_result(asdict(found), text, as_json)
