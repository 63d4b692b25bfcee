"""Options that are no setting of a request, such as where a result goes; each is written once."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from motion2video import exchange

MOTION_SUFFIXES = (".npz",)
EXPORTS = " or ".join(exchange.EXPORTS)

VideoOut = Annotated[
    Path,
    Option(
        "--out",
        help="The video (.mp4, .mov, .mkv, .webm), a preview (.gif, .webp) or its single pictures "
        "(.zip); replaced only by a complete new one.",
    ),
]
DemoOut = Annotated[
    Path | None,
    Option("--out", help="The video.", show_default="demo.mp4 at the top of the checkout, or here"),
]
DemoPortrait = Annotated[
    Path | None, Option("--portrait", help="Another photo.", show_default="the embedded one")
]
MotionOut = Annotated[Path, Option("--out", help="The motion file (.npz).")]
MotionIn = Annotated[Path, Argument(help="A motion file (.npz).")]
ForeignIn = Annotated[Path, Argument(help=f"A motion file of another program ({EXPORTS}).")]
ForeignOut = Annotated[
    Path,
    Option(
        "--out",
        help=".csv (Live Link Face), .bvh (head and gaze) or .glb (glTF: a head that is animated).",
    ),
]
HeadPortrait = Annotated[
    Path | None, Option("--portrait", help="For .glb: the photo whose face and texture it has.")
]
ExportFps = Annotated[
    float | None, Option("--fps", help="Frames a second.", show_default="the motion's own")
]
ReportOut = Annotated[
    Path | None,
    Option("--report", help="Write what was measured of the video into this .json file too."),
]
AsJson = Annotated[bool, Option("--json", help="One JSON object on stdout and nothing else there.")]
Video = Annotated[Path, Argument(help="A video of one person.")]
Roles = Annotated[list[str] | None, Argument(help="Names of weights; all needed ones if none.")]
