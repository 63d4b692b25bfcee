"""Making a video for a visitor: an errand with its preview, motion file and project."""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from app.intake.allowance import require_allowed, require_length
from app.intake.sandbox import shared_sandbox
from app.intake.values import SandboxReader
from app.jobs.crew import Cancelled, Running
from app.jobs.plan import video_seconds
from app.render.filming import Frame, film
from app.render.finish import is_preview
from app.render.lineage import origin_of
from app.render.pipeline import Avatar
from app.render.request import RenderRequest
from app.render.result import peak_memory_mb
from app.render.voices import StoppableVoice, load_sound
from app.studio.editor import Take
from app.studio.made import Creation, Edited, Made, Sheet
from app.studio.project import EDITABLE_S, Project, Source, open_project
from app.studio.workshop import Page, Workshop
from audio2motion.voice.agent_voice import listen
from motion2video.motion import Motion
from weights.errors import EndpointError, InputError

_PATIENCE_S = 60.0
_NO_WORD = re.compile(r"[\W_]+")
_LONGEST_NAME = 48
_WRITTEN_ONLY = "en-us"
"""A quick voice says what nobody hears."""
_log = logging.getLogger("visavis.studio")


def create(
    workshop: Workshop,
    page: Page,
    request: RenderRequest,
    run: Running,
    sheet: Sheet | None = None,
) -> Creation:
    """Make a video in the visitor's folder, and keep its frames for the editor, which hands on the
    `sheet` that was filled in for it.

    The visitor's last project is replaced. Raises a VisavisError for what cannot be used.
    """
    seconds = _require_within(workshop, request, run)
    run.progress("loading the networks", 0, 1)
    avatar = workshop.avatar(run.check)
    run.progress("looking at the photo", 0, 1)
    folder = page.new_folder()
    project = (
        _project(request, avatar, folder) if seconds <= EDITABLE_S and _editable(request) else None
    )
    rows: list[Float[np.ndarray, 90]] = []
    driver: Motion | None = None

    def begin(played: Motion | None) -> None:
        nonlocal driver
        driver = played
        if project is not None:
            project.driver = played

    def watch(row: Float[np.ndarray, "90"], frame: UInt8[np.ndarray, "H W 3"]) -> None:
        rows.append(row)
        if project is not None:
            project.cache.put(row, frame)
        run.preview.show(frame)

    out = folder / f"{file_name(request)}{request.suffix}"
    try:
        result = avatar.render(
            request,
            out,
            progress=run.progress,
            notify=run.notices.append,
            watch=watch,
            begin=begin,
        )
    except BaseException:
        page.drop(folder)
        raise
    workshop.queue.pace.learn(result.frames, request.size, result.wall_seconds, request.renderer)
    motion = Motion(np.stack(rows), result.fps, rest=None if driver is None else driver.rest)
    made = Creation(
        out,
        motion.save(out.with_suffix(".npz")),
        replace(result, out=out.name),
        project is not None,
        None if driver is None else driver.save(folder / "driver.npz"),
    )
    if project is not None:
        project.takes = [Take(motion, result.gestures)]
        project.source = Source(made.result, sheet)
        page.keep(project)
    return made


def file_name(request: RenderRequest) -> str:
    """What a video is called, without a suffix: whose photo it is, and what they say or do."""
    moves = request.motion or request.driving_video
    given = (request.portrait, moves or request.agent_audio)
    whose, moved = (Path(item).stem if isinstance(item, str) else "" for item in given)
    name = _NO_WORD.sub(
        "-", f"{whose} {moved or request.text or _first_words(request)}".lower()
    ).strip("-")
    if len(name) <= _LONGEST_NAME:
        return name or "video"
    name = name[:_LONGEST_NAME]
    return name.rpartition("-")[0] or name


def _first_words(request: RenderRequest) -> str:
    """What a dialogue begins with; without one they only listen."""
    words = (turn.text for turn in request.dialogue() if turn.text)
    return next(words, "talks") if request.has_turns else "listens"


def write_reply(workshop: Workshop, page: Page, prompt: str) -> str:
    """What the language model answers, as a text that can be said.

    It is no job of the queue: it draws nothing and keeps no file, and a line of text that waited
    behind videos of minutes would come too late. What binds a job binds it all the same: a prompt
    is as long as the limits say, a page asks one thing at a time, and it ends at the next sentence
    when the page is cancelled or its visitor goes, and after a minute anyway.

    Raises InputError without a model or a prompt and when it was stopped, BusyError while the page
    is being answered, EndpointError, which names no server, when there is no answer.
    """
    from audio2motion.voice.language import LanguageVoice

    endpoint, most = workshop.endpoint, workshop.limits.max_text
    if endpoint is None:
        raise InputError("there is no language model here")
    if not (prompt or "").strip() or len(prompt) > most:
        raise InputError(f"ask the language model something, in at most {most} characters")
    silent = replace(endpoint, speech_model=None, total_timeout=_PATIENCE_S)
    try:
        with page.asking() as run:
            return listen(
                StoppableVoice(
                    LanguageVoice(silent, prompt, voice=_WRITTEN_ONLY, codes=False), run.progress
                )
            ).text
    except Cancelled:
        raise InputError("the language model was not waited for") from None
    except EndpointError as error:
        _log.error("%s", error)
        raise EndpointError("the language model did not answer; try again later") from None


def _require_within(workshop: Workshop, request: RenderRequest, run: Running) -> float:
    """The length of a video in seconds; raises LimitError for one that is more than is made."""
    require_allowed(request, workshop.limits)
    seconds = video_seconds(request, SandboxReader(shared_sandbox(), run.check))
    require_length(seconds, workshop.limits)
    return seconds


def _editable(request: RenderRequest) -> bool:
    """Whether its frames are drawn one by one, from the first sound on, and are kept as pictures of
    the photo.
    """
    whole = request.span is None and not is_preview(Path(f"visavis{request.suffix}"))
    return request.renderer == "embedded" and whole and not request.clear


def _project(request: RenderRequest, avatar: Avatar, folder: Path) -> Project:
    frames = folder / "frames"
    frames.mkdir()
    return open_project(request, avatar, frames, Take(Motion.neutral(1, request.fps)))


def compare(
    workshop: Workshop,
    page: Page,
    requests: tuple[RenderRequest, RenderRequest],
    run: Running,
) -> Path:
    """Two requests for one photo as one video, side by side and so in step frame by frame; heard
    is the first one's sound. Raises InputError when their pictures are not of one size.
    """
    seconds = max([_require_within(workshop, request, run) for request in requests])
    run.progress("loading the networks", 0, 1)
    avatar = workshop.avatar(run.check)
    total = max(1, round(seconds * requests[0].fps))
    run.progress("rendering both", 0, total)
    first, second = (avatar.frames(request, notify=run.notices.append) for request in requests)
    out = page.new_folder() / "comparison.mp4"
    sound = load_sound(requests[0], avatar.reader).mixed(requests[0].mix == "both")
    other = origin_of(requests[1], avatar.provenance, avatar.reader)
    film(
        _side_by_side(first, second),
        out,
        requests[0].fps,
        sound,
        total=total,
        watch=run.preview.show,
        progress=run.progress,
        doing="rendering both",
        origin=origin_of(requests[0], avatar.provenance, avatar.reader, {"beside": other.id}),
        notify=run.notices.append,
    )
    return out


def _side_by_side(first: Iterator[Frame], second: Iterator[Frame]) -> Iterator[Frame]:
    """Two videos in one picture; who ends first stands still. Raises InputError when they are not
    of one size.
    """
    left = right = None
    for left_now, right_now in zip_longest(first, second):
        left = left if left_now is None else left_now
        right = right if right_now is None else right_now
        if left is None or right is None or left.shape != right.shape:
            raise InputError(
                "the two pictures are not of one size; compare two settings of one photo"
            )
        yield np.concatenate([left, right], 1)


def reopen(
    workshop: Workshop, page: Page, request: RenderRequest, made: Made, sheet: Sheet, run: Running
) -> Project:
    """Let the motion of one of the visitor's results be edited again, in place of their last
    project. None of its frames is there any more: they are drawn when the edited video is made.

    `request` is that of the result, as its `sheet` says. Raises InputError for what cannot be
    edited, and as `open_project` does.
    """
    before = made.creation
    if not before.editable:
        raise InputError(
            f"this video cannot be edited: it lasts more than {EDITABLE_S:.0f} s, is transparent, "
            "or only a part was kept"
        )
    require_allowed(request, workshop.limits)
    run.progress("loading the networks", 0, 1)
    avatar = workshop.avatar(run.check)
    run.progress("looking at the photo", 0, 1)
    folder = page.new_folder()
    frames = folder / "frames"
    frames.mkdir()
    try:
        motion = avatar.reader.motion(before.motion)
        driver = None if before.driver is None else avatar.reader.motion(before.driver)
        take = Take(motion, before.result.gestures)
        if before.edited is not None:
            take = replace(take, start=before.edited.start, edits=before.edited.edits)
        project = open_project(request, avatar, frames, take, driver)
    except BaseException:
        page.drop(folder)
        raise
    project.source = Source(before.result, sheet)
    page.keep(project)
    return project


def render_edit(workshop: Workshop, page: Page, project: Project, run: Running) -> Creation:
    """Write the video of a project's current take; frames that are known are not drawn again.

    Raises LimitError for a take that is longer, or a picture that is larger, than is made.
    """
    if project.source is None:
        raise ValueError("the video is not there yet")
    require_allowed(project.request, workshop.limits)
    require_length(project.take.seconds, workshop.limits)
    run.progress("loading the networks", 0, 1)
    avatar = workshop.avatar(run.check)
    folder = page.new_folder()
    take, out = project.take, folder / f"{file_name(project.request)}-edited.mp4"
    try:
        drawn = sum(end - first for first, end in project.stale())
        made, origin = project.render(
            avatar, out, run.progress, run.preview.show, run.notices.append
        )
    except BaseException:
        page.drop(folder)
        raise
    result = replace(
        project.source.result,
        out=out.name,
        frames=made.frames,
        seconds=made.frames / made.fps,
        wall_seconds=made.wall_seconds,
        render_fps=made.frames / made.wall_seconds,
        peak_memory_mb=peak_memory_mb(),
        gestures=take.gestures,
        notices=tuple(run.notices),
        provenance=origin.told(),
        sync_offset_ms=None,  # what was measured was measured of the video before
        identity=None,
        report=None,
        subtitles=(),
    )
    return Creation(
        out,
        take.motion.save(out.with_suffix(".npz")),
        result,
        editable=True,
        driver=None if project.driver is None else project.driver.save(folder / "driver.npz"),
        edited=Edited(take.start, take.edits, drawn),
    )
