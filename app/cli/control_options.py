"""The options that say how the face moves, for every command that makes motion."""

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from app.cli.option_group import spelled_out

_EMOTIONS = "neutral, happiness, sadness, anger, fear, disgust, surprise or contempt."

_OPTIONS: dict[str, Any] = {
    "emotion": Annotated[str, Option("--emotion", help=_EMOTIONS)],
    "intensity": Annotated[float, Option("--intensity", help="Of the emotion: 0 to 2.")],
    "valence": Annotated[
        float | None,
        Option("--valence", help="-1 (unpleasant) to 1.", show_default="the emotion's"),
    ],
    "arousal": Annotated[
        float | None, Option("--arousal", help="-1 (sleepy) to 1.", show_default="the emotion's")
    ],
    "expressivity": Annotated[
        float,
        Option("--expressivity", help="How much the face moves: 0 (blinks, lips in sync) to 2."),
    ],
    "regions": Annotated[
        list[str] | None,
        Option(
            "--region",
            help="Expressivity of mouth, brows, eyes or head alone, e.g. head=0.5; repeatable.",
        ),
    ],
    "gaze": Annotated[
        str | None,
        Option("--gaze", help="Where to look: camera, or degrees right and up, e.g. 10,-5."),
    ],
    "style": Annotated[
        str | None,
        Option("--style", help="How to move: neutral, calm, lively, warm or reserved."),
    ],
    "style_clip": Annotated[
        Path | None,
        Option("--style-clip", help="Move like this motion file (.npz) or this person's video."),
    ],
    "gestures": Annotated[
        list[str] | None,
        Option(
            "--gesture",
            help="KIND@START[:DURATION][xINTENSITY], e.g. nod@3.2:0.8x1.5, wink/left@4; nod, "
            "shake, tilt, brow-raise, smile, frown, blink, wink, look-away or look-at; repeatable.",
        ),
    ],
    "gesture_file": Annotated[
        Path | None, Option("--gestures", help="Gestures in a JSON or CSV timeline.")
    ],
    "transcript": Annotated[
        Path | None,
        Option(
            "--transcript",
            help="What --agent-audio says (.json with word times, .srt, .vtt, .txt): gestures "
            "are found in it, as in --text.",
        ),
    ],
    "auto_gestures": Annotated[
        bool,
        Option("--auto-gestures/--no-auto-gestures", help="Find gestures in what the agent says."),
    ],
}


def _controls(values: dict[str, Any]) -> dict[str, Any]:
    from audio2motion.gestures.controls import parse_regions

    if values.get("regions"):
        values["regions"] = parse_regions(values["regions"])
    return values


with_controls = spelled_out("controls", _OPTIONS, _controls)
"""The command with every control as an option instead of its argument `controls`."""
