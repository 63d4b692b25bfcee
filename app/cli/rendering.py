"""`visavis demo | render | motion`: from voices to a video, or to the motion alone."""

import json
from pathlib import Path
from typing import Any

import app.cli.options as o
from app.cli.motions import save_motion
from app.cli.option_group import takes
from app.cli.reporter import Reporter
from app.cli.shell import print_result
from app.render.loading import PROVENANCE, LoadSettings
from app.render.output import check_output, check_video
from app.render.pipeline import Avatar
from app.render.request import MotionRequest, RenderRequest
from app.render.result import RenderResult
from weights.saving import save_whole

_DEMO = (
    *("label", "consent"),
    *("emotion", "intensity", "valence", "arousal", "expressivity", "regions", "gaze", "style"),
    *("style_clip", "gestures", "gesture_file", "transcript", "auto_gestures"),
    *("seed", "size", "fps"),
)


@takes("given", RenderRequest, _DEMO)
@takes("loading", LoadSettings, ("steps", "device", *PROVENANCE))
def demo(
    given: dict[str, Any],
    loading: dict[str, Any],
    out: o.DemoOut = None,
    portrait: o.DemoPortrait = None,
    report: o.ReportOut = None,
    as_json: o.AsJson = False,
) -> None:
    """Make demo.mp4: the embedded photo in a short conversation."""
    from app.render.demo import DEFAULT_PORTRAIT, SEED, default_output, play

    reporter = Reporter()
    agent, interlocutor, transcript = play(notify=reporter.notify)
    if given["transcript"] is None:
        given["transcript"] = transcript
    given["seed"] = given["seed"] or SEED
    request = RenderRequest(
        portrait=portrait or DEFAULT_PORTRAIT,
        agent_audio=agent,
        interlocutor_audio=interlocutor,
        order="together",
        mix="both",
        **given,
    )
    out = out or default_output()
    check_video(out, request)  # before the seconds that loading takes
    _check_report(report, request)
    avatar, reporter = _loaded(loading)
    with reporter.progress() as progress:
        result = avatar.render(request, out, progress=progress, notify=reporter.notify)
    _tell(result, report, as_json)


@takes("given", RenderRequest)
@takes("loading", LoadSettings)
def render(
    given: dict[str, Any],
    loading: dict[str, Any],
    out: o.VideoOut,
    report: o.ReportOut = None,
    as_json: o.AsJson = False,
) -> None:
    """Make a video of the person in the photo who talks and listens."""
    request = RenderRequest(**given)
    check_video(out, request)
    _check_report(report, request)
    avatar, reporter = _loaded(loading)
    with reporter.progress() as progress:
        result = avatar.render(request, out, progress=progress, notify=reporter.notify)
    _tell(result, report, as_json)


def _check_report(report: Path | None, request: RenderRequest) -> None:
    if report is not None:
        check_output(report, (".json",), request.inputs)


def _tell(result: RenderResult, report: Path | None, as_json: bool) -> None:
    """What a video came to, on a terminal with what was measured of it, and the report's file."""
    checked, told = result.report, str(result)
    if checked is not None:
        if report is not None:
            text = json.dumps(checked.to_json(), indent=2) + "\n"
            save_whole(report, text.encode(), "the report")
        told += "".join(f"\n  {c.level:8}{c.name}: {c}" for c in checked.checks)
    print_result(result.to_json(), told, as_json)


def _loaded(loading: dict[str, Any]) -> tuple[Avatar, Reporter]:
    """An Avatar and who tells of it."""
    reporter = Reporter()
    return Avatar.load(**loading, notify=reporter.notify), reporter


@takes("given", MotionRequest)
@takes("loading", LoadSettings, ("detector", "speech_encoder", "device"))
def motion(
    given: dict[str, Any], loading: dict[str, Any], out: o.MotionOut, as_json: o.AsJson = False
) -> None:
    """Turn voices into a motion file, for `visavis render --motion` or an editor."""
    from app.render.performance import act

    request = MotionRequest(**given)
    check_output(out, o.MOTION_SUFFIXES, request.inputs)
    avatar, reporter = _loaded(loading)
    with reporter.progress() as progress:
        acted = act(avatar, request, reporter.notify, progress)
        made = acted.whole(progress)
    save_motion(made, out, as_json, acted)
