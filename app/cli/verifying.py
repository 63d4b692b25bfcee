"""`visavis verify`: whether a video is ours, and untouched."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

import app.cli.options as o
from app.cli.option_group import takes
from app.cli.reporter import Reporter
from app.cli.shell import print_result
from app.render.loading import LoadSettings
from weights.opening import open_regular

EXIT_CODES = {"untouched": 0, "changed": 3, "unknown": 4}
"""2 is a file that cannot be read, as everywhere."""

Shown = Annotated[Path, Argument(help="A video, a picture, or a .zip of pictures.")]
Beside = Annotated[
    Path | None,
    Option("--credentials", help="Its credentials.", show_default="a .c2pa of its name beside it"),
]


@takes("given", LoadSettings, ("provenance_dir", "signing_certificate", "watermark_key"))
def verify(
    given: dict[str, Any],
    file: Shown,
    credentials: Beside = None,
    as_json: o.AsJson = False,
) -> None:
    """Say whether a video was made here and is untouched (exit code 0), was made with Visavis and
    changed since (3), or is not known (4). It is decoded in a confined process.
    """
    from app.intake.sandbox import Sandbox
    from app.intake.values import SandboxReader
    from app.provenance.credentials import MOST_BYTES, sidecar_of
    from app.provenance.origin import Provenance
    from app.render import verifying

    places = {name: None if path is None else Path(path) for name, path in given.items()}
    provenance = Provenance(
        folder=places["provenance_dir"],
        watermark_key=places["watermark_key"],
        trusts=places["signing_certificate"],
    )
    if credentials is None and (beside := sidecar_of(file)).is_file():
        credentials = beside
    data = None
    if credentials is not None:
        with open_regular(credentials, "file of credentials", MOST_BYTES) as opened:
            data = opened.read()
    sandbox = Sandbox()
    try:
        found = verifying.verify(file, provenance, SandboxReader(sandbox), Reporter().notify, data)
    finally:
        sandbox.close()
    print_result(found.to_json(), str(found), as_json)
    if EXIT_CODES[found.verdict]:
        raise typer.Exit(EXIT_CODES[found.verdict])
