"""`visavis doctor | voices | samples | weights ...`: whether all that is needed is there, and what
there is to begin with.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import app.cli.options as o
from app.cli.shell import print_result
from motion2video.reference.families import FAMILIES
from motion2video.reference.requirements import require_extra
from weights.errors import WeightsError

weights_commands = typer.Typer(help="List, verify and fetch weights.", no_args_is_help=True)


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Do not render a few frames.")] = False,
    as_json: o.AsJson = False,
) -> None:
    """Say what is installed and whether a video can be made; exit code 1 when it cannot."""
    from app.cli.doctor import diagnose

    report = diagnose(quick)
    print_result(report.to_json(), str(report), as_json)
    if not report.healthy:
        raise typer.Exit(1)


def voices(as_json: o.AsJson = False) -> None:
    """List the voices that say a text: natural ones first, a woman and a man for common languages,
    then all of espeak-ng.
    """
    from audio2motion.voice.speakers import list_speakers

    found = list_speakers()
    widest = max(len(voice.name) for voice in found)
    lines = [f"{voice.name:<{widest}}  {voice.label}" for voice in found]
    print_result([vars(voice) for voice in found], "\n".join(lines), as_json)


def samples(
    folder: Annotated[
        Path, typer.Argument(help="Where to; the current folder otherwise.")
    ] = Path(),
    as_json: o.AsJson = False,
) -> None:
    """Write the files that the documentation's examples use: a photo, two voices, a transcript,
    gestures. What is there already stays.
    """
    from app.cli.reporter import Reporter
    from app.render.samples import write_samples

    made = [str(path) for path in write_samples(folder, Reporter().notify)]
    print_result(made, "\n".join(made), as_json)


@weights_commands.command("list")
def list_weights(as_json: o.AsJson = False) -> None:
    """What weights there are, where each is found and under which terms."""
    from app.cli.inventory import all_weights, as_table, checkpoints

    found = [*all_weights(), *checkpoints()]
    print_result([w.to_json() for w in found], as_table(found), as_json)


@weights_commands.command("verify")
def verify_weights(roles: o.Roles = None, as_json: o.AsJson = False) -> None:
    """Hash weights and compare; exit code 2 when one that is needed is missing or wrong."""
    from app.cli.inventory import all_weights, as_table, verified_checkpoint

    families = [name for name in roles or () if name in FAMILIES]
    others = [name for name in roles or () if name not in FAMILIES]
    found = all_weights(others) if others or not families else []
    found += [verified_checkpoint(name) for name in families]
    print_result([w.to_json() for w in found], as_table(found), as_json)
    wrong = [w for w in found if not w.right and (roles or not w.optional)]
    if wrong:
        raise WeightsError("; ".join(w.problem for w in wrong))


@weights_commands.command("fetch")
def fetch_weights(roles: o.Roles = None, as_json: o.AsJson = False) -> None:
    """Download weights from their official address into the cache; the hash is checked. Those of
    public checkpoints (aniportrait, animate-anyone) come from the Hugging Face hub.
    """
    from app.cli.reporter import Reporter
    from weights import fetch, load_manifest

    names = roles or [n for n, role in load_manifest().roles.items() if not role.optional]
    reporter = Reporter()
    paths = {}
    for name in (name for name in names if name in FAMILIES):
        require_extra()
        from motion2video.reference.hub import fetch_family

        fetched = fetch_family(FAMILIES[name], reporter.notify)
        paths |= {f"{name}/{part}": str(path) for part, path in fetched.items()}
    with reporter.progress("bytes") as progress:
        for name in (name for name in names if name not in FAMILIES):
            paths[name] = str(fetch(name, progress=partial(progress, f"fetching {name}")))
    print_result(paths, "\n".join(f"{n}: {p}" for n, p in paths.items()), as_json)
