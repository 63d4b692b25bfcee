"""`visavis track | export | import`: motion files out of videos and other programs, and back."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import app.cli.options as o
from app.cli.option_group import takes
from app.cli.shell import print_result
from app.render.loading import LoadSettings
from app.render.output import check_output
from app.render.request import RenderRequest
from motion2video.motion import Motion

if TYPE_CHECKING:
    from app.render.performance import Performance


@takes("given", RenderRequest, ("fps", "face"))
@takes("loading", LoadSettings, ("detector",))
def track(
    given: dict[str, Any],
    loading: dict[str, Any],
    video: o.Video,
    out: o.MotionOut,
    as_json: o.AsJson = False,
) -> None:
    """Turn a video into a motion file: what the face in it does."""
    from app.cli.reporter import Reporter
    from app.render.tracking import track_video
    from motion2video.faces.tracker import FaceTracker
    from motion2video.media.video import exact_rate

    fps, face = given["fps"], given["face"]
    exact_rate(fps)
    check_output(out, o.MOTION_SUFFIXES, [video])
    reporter = Reporter()
    tracker = FaceTracker.load(loading["detector"])
    with reporter.progress() as progress:
        motion = track_video(video, tracker, fps, face, reporter.notify, progress)
    save_motion(motion, out, as_json)


@takes("given", RenderRequest, ("face",))
@takes("loading", LoadSettings, ("detector",))
def export(
    given: dict[str, Any],
    loading: dict[str, Any],
    motion: o.MotionIn,
    out: o.ForeignOut,
    portrait: o.HeadPortrait = None,
    fps: o.ExportFps = None,
    as_json: o.AsJson = False,
) -> None:
    """Write a motion file for 3D programs: Live Link Face CSV, BVH, or a glTF head."""
    from app.cli.reporter import Reporter
    from app.render.export import export_motion

    notify = Reporter().notify
    moved = export_motion(motion, out, portrait, fps, given["face"], loading["detector"], notify)
    _print_motion(moved, out, as_json)


@takes("given", RenderRequest, ("fps",))
def import_motion(
    given: dict[str, Any], source: o.ForeignIn, out: o.MotionOut, as_json: o.AsJson = False
) -> None:
    """Turn a motion of another program (CSV, BVH, glTF) into a motion file."""
    from motion2video.exchange import read_motion
    from motion2video.media.video import exact_rate

    rate = float(exact_rate(given["fps"]))
    check_output(out, o.MOTION_SUFFIXES, [source])
    save_motion(read_motion(source).resample(rate), out, as_json)


def save_motion(
    motion: Motion, out: Path, as_json: bool, acted: "Performance | None" = None
) -> None:
    """Write a motion file and say what is in it, and what of the performance that it is."""
    motion.save(out)
    _print_motion(motion, out, as_json, acted)


def _print_motion(
    motion: Motion, out: Path, as_json: bool, acted: "Performance | None" = None
) -> None:
    seen = int(motion.mask.sum())
    result: dict[str, Any] = {
        "out": str(out),
        "frames": len(motion),
        "fps": motion.fps,
        "seconds": motion.seconds,
        "valid_frames": seen,
        "gestures": [],
    }
    if acted is not None:
        result["gestures"] = [asdict(gesture) for gesture in acted.gestures]
        result["order"] = acted.voices.order
        result["agent_start"] = acted.voices.agent_start
        if acted.reply is not None:
            result["reply"] = asdict(acted.reply)
    text = f"{out}: {motion.seconds:.2f} s of motion ({len(motion)} frames at {motion.fps:g} fps)"
    print_result(result, text, as_json)
