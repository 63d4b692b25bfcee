"""The command line: `visavis demo | render | batch | track | motion | app | export | doctor ...`.

Heavy parts are imported inside the commands, so that `visavis --help` answers at once.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import app.cli.app_command as app_command
import app.cli.options as o
from app.cli.batch import batch, with_defaults_of
from app.cli.control_options import with_controls
from app.cli.reply_options import with_reply
from app.cli.shell import DEBUG, own_process, print_result, run
from app.render.output import check_output
from app.render.request import (
    ComputeFields,
    ControlFields,
    MotionRequest,
    RenderRequest,
    ReplyFields,
)
from audio2motion.gestures.gestures import Gesture
from motion2video.motion import FPS, Motion
from weights.errors import WeightsError

if TYPE_CHECKING:
    from app.render.result import Reply

commands = typer.Typer(
    help="From a photo and two voices to a video of a person who talks and visibly listens.",
    no_args_is_help=True,
    add_completion=False,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script: runs `arguments` (default: those of the process); the exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
        own_process(arguments)
    return run(commands, arguments)


@commands.callback()
def visavis(
    debug: Annotated[bool, typer.Option("--debug", help=f"As {DEBUG}=1: show tracebacks.")] = False,
) -> None:
    """Options for every command; `--debug` is looked at before anything else (see
    app.cli.shell).
    """


@commands.command()
@with_controls
def demo(
    controls: ControlFields,
    out: o.DemoOut = None,
    portrait: o.DemoPortrait = None,
    seed: o.Seed = RenderRequest.seed,
    size: o.Size = RenderRequest.size,
    fps: o.Fps = RenderRequest.fps,
    steps: o.Steps = None,
    device: o.Device = o.DEVICE,
    as_json: o.AsJson = False,
) -> None:
    """Make demo.mp4: the embedded photo in a short conversation."""
    from app.render.demo import DEFAULT_PORTRAIT, default_output, play

    agent, interlocutor, transcript = play()
    if controls.get("transcript") is None:
        controls["transcript"] = transcript
    request = RenderRequest(
        portrait=portrait or DEFAULT_PORTRAIT,
        agent_audio=agent,
        interlocutor_audio=interlocutor,
        seed=seed,
        size=size,
        fps=fps,
        mix="both",
        **controls,
    )
    _render(request, out or default_output(), device, o.DETECTOR, steps, None, {}, as_json)


@commands.command()
@with_controls
@with_reply
def render(
    controls: ControlFields,
    answer: ReplyFields,
    portrait: o.Portrait,
    out: o.VideoOut,
    agent_audio: o.AgentAudio = None,
    interlocutor_audio: o.InterlocutorAudio = None,
    interlocutor_video: o.InterlocutorVideo = None,
    text: o.Text = None,
    voice: o.Voice = RenderRequest.voice,
    motion: o.MotionFile = None,
    seed: o.Seed = RenderRequest.seed,
    size: o.Size = RenderRequest.size,
    fps: o.Fps = RenderRequest.fps,
    face: o.Face = RenderRequest.face,
    crop: o.Crop = RenderRequest.crop,
    mix: o.Mix = RenderRequest.mix,
    steps: o.Steps = None,
    detector: o.Detector = o.DETECTOR,
    speech_encoder: o.SpeechEncoder = None,
    device: o.Device = o.DEVICE,
    backend: o.Backend = "auto",
    precision: o.Precision = "auto",
    threads: o.Threads = None,
    attention: o.Attention = "sdpa",
    as_json: o.AsJson = False,
) -> None:
    """Make a video of the person in the photo who talks and listens."""
    request = RenderRequest(
        portrait=portrait,
        agent_audio=agent_audio,
        interlocutor_audio=interlocutor_audio,
        interlocutor_video=interlocutor_video,
        text=text,
        voice=voice,
        motion=motion,
        seed=seed,
        size=size,
        fps=fps,
        face=face,
        crop=crop,
        mix=mix,
        **answer,
        **controls,
    )
    compute = ComputeFields(
        backend=backend, precision=precision, threads=threads, attention=attention
    )
    _render(request, out, device, detector, steps, speech_encoder, compute, as_json)


def _render(
    request: RenderRequest,
    out: Path,
    device: str,
    detector: str,
    steps: int | None,
    speech_encoder: str | None,
    compute: ComputeFields,
    as_json: bool,
) -> None:
    from app.cli.reporter import Reporter
    from app.render.pipeline import VIDEO_SUFFIXES, Avatar

    check_output(out, VIDEO_SUFFIXES, request.inputs)  # before the seconds that loading takes
    reporter = Reporter()
    avatar = Avatar.load(device, detector, steps, speech_encoder, reporter.notify, **compute)
    with reporter.progress() as progress:
        result = avatar.render(request, out, progress, reporter.notify)
    print_result(result.to_json(), str(result), as_json)


@commands.command()
def track(
    video: o.Video,
    out: o.MotionOut,
    fps: o.Fps = FPS,
    face: o.Face = RenderRequest.face,
    detector: o.Detector = o.DETECTOR,
    as_json: o.AsJson = False,
) -> None:
    """Turn a video into a motion file: what the face in it does."""
    from app.cli.reporter import Reporter
    from app.render.tracking import track_video
    from motion2video.faces.tracker import FaceTracker
    from motion2video.media.video import exact_rate

    exact_rate(fps)
    check_output(out, o.MOTION_SUFFIXES, [video])
    reporter = Reporter()
    tracker = FaceTracker.load(detector)
    with reporter.progress() as progress:
        motion = track_video(video, tracker, fps, face, reporter.notify, progress)
    _save_motion(motion, out, as_json)


@commands.command()
@with_controls
@with_reply
def motion(
    controls: ControlFields,
    answer: ReplyFields,
    out: o.MotionOut,
    agent_audio: o.AgentAudio = None,
    interlocutor_audio: o.InterlocutorAudio = None,
    interlocutor_video: o.InterlocutorVideo = None,
    text: o.Text = None,
    voice: o.Voice = MotionRequest.voice,
    seed: o.Seed = MotionRequest.seed,
    detector: o.Detector = o.DETECTOR,
    speech_encoder: o.SpeechEncoder = None,
    device: o.Device = o.DEVICE,
    as_json: o.AsJson = False,
) -> None:
    """Turn voices into a motion file, for `visavis render --motion` or an editor."""
    from app.cli.reporter import Reporter
    from app.render.performance import act
    from app.render.pipeline import Avatar

    request = MotionRequest(
        agent_audio=agent_audio,
        interlocutor_audio=interlocutor_audio,
        interlocutor_video=interlocutor_video,
        text=text,
        voice=voice,
        seed=seed,
        **answer,
        **controls,
    )
    check_output(out, o.MOTION_SUFFIXES, request.inputs)
    reporter = Reporter()
    avatar = Avatar.load(device, detector, None, speech_encoder, reporter.notify)
    with reporter.progress() as progress:
        acted = act(avatar, request, reporter.notify, progress)
        made = acted.whole(progress)
    _save_motion(made, out, as_json, acted.gestures, acted.reply)


@commands.command()
def export(
    motion: o.MotionIn,
    out: o.ForeignOut,
    portrait: o.HeadPortrait = None,
    fps: o.ExportFps = None,
    face: o.Face = RenderRequest.face,
    detector: o.Detector = o.DETECTOR,
    as_json: o.AsJson = False,
) -> None:
    """Write a motion file for 3D programs: Live Link Face CSV, BVH, or a glTF head."""
    from app.cli.reporter import Reporter
    from app.render.export import export_motion

    moved = export_motion(motion, out, portrait, fps, face, detector, Reporter().notify)
    _print_motion(moved, out, as_json)


@commands.command("import")
def import_motion(
    source: o.ForeignIn, out: o.MotionOut, fps: o.Fps = FPS, as_json: o.AsJson = False
) -> None:
    """Turn a motion of another program (CSV, BVH, glTF) into a motion file."""
    from motion2video.exchange import read_motion
    from motion2video.media.video import exact_rate

    rate = float(exact_rate(fps))
    check_output(out, o.MOTION_SUFFIXES, [source])
    _save_motion(read_motion(source).resample(rate), out, as_json)


def _save_motion(
    motion: Motion,
    out: Path,
    as_json: bool,
    gestures: tuple[Gesture, ...] = (),
    reply: "Reply | None" = None,
) -> None:
    motion.save(out)
    _print_motion(motion, out, as_json, gestures, reply)


def _print_motion(
    motion: Motion,
    out: Path,
    as_json: bool,
    gestures: tuple[Gesture, ...] = (),
    reply: "Reply | None" = None,
) -> None:
    seen = int(motion.mask.sum())
    result = {
        "out": str(out),
        "frames": len(motion),
        "fps": motion.fps,
        "seconds": motion.seconds,
        "valid_frames": seen,
        "gestures": [asdict(gesture) for gesture in gestures],
    }
    if reply is not None:
        result["reply"] = asdict(reply)
    text = f"{out}: {motion.seconds:.2f} s of motion ({len(motion)} frames at {motion.fps:g} fps)"
    print_result(result, text, as_json)


@commands.command()
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


commands.command("batch")(with_defaults_of(render)(batch))
commands.command()(app_command.app)

weights_commands = typer.Typer(help="List, verify and fetch weights.", no_args_is_help=True)
commands.add_typer(weights_commands, name="weights")


@weights_commands.command("list")
def list_weights(as_json: o.AsJson = False) -> None:
    """What weights there are, where each is found and under which terms."""
    from app.cli.inventory import all_weights, as_table

    found = all_weights()
    print_result([w.to_json() for w in found], as_table(found), as_json)


@weights_commands.command("verify")
def verify_weights(roles: o.Roles = None, as_json: o.AsJson = False) -> None:
    """Hash weights and compare; exit code 2 when one that is needed is missing or wrong."""
    from app.cli.inventory import all_weights, as_table

    found = all_weights(roles or ())
    print_result([w.to_json() for w in found], as_table(found), as_json)
    wrong = [w for w in found if not w.right and (roles or not w.optional)]
    if wrong:
        raise WeightsError("; ".join(w.problem for w in wrong))


@weights_commands.command("fetch")
def fetch_weights(roles: o.Roles = None, as_json: o.AsJson = False) -> None:
    """Download weights from their official address into the cache; the hash is checked."""
    from app.cli.reporter import Reporter
    from weights import fetch, load_manifest

    names = roles or [n for n, role in load_manifest().roles.items() if not role.optional]
    reporter = Reporter()
    paths = {}
    with reporter.progress("bytes") as progress:
        for name in names:
            paths[name] = str(fetch(name, progress=partial(progress, f"fetching {name}")))
    print_result(paths, "\n".join(f"{n}: {p}" for n, p in paths.items()), as_json)
