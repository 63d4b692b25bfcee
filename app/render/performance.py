"""What the agent does in answer to two voices, and what is heard of it; nothing is drawn."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.render.direction import direct, transcript_of
from app.render.driving import joined
from app.render.finish import Span
from app.render.parts import may_come_later
from app.render.rate import resampled
from app.render.reading import HERE, Reader
from app.render.request import MotionRequest, Notify, Progress, RenderRequest
from app.render.result import Reply
from app.render.subtitles import Cue, cues_of, cut
from app.render.tracking import track_driver, track_video
from app.render.trimming import From, part_of
from app.render.voices import Voices, hear, load_sound, preparing
from audio2motion.gestures.gestures import Gesture
from audio2motion.hearing.audio import Sound, Waveform
from audio2motion.voice.endpoint import Endpoint
from motion2video.motion import FPS, Motion
from weights.errors import InputError, MotionError

if TYPE_CHECKING:
    from audio2motion.network.generator import MotionGenerator
    from motion2video.faces.tracker import FaceTracker

_UNTOLD_S = 0.25
"""By how much the sound of a video may be longer or shorter than its picture, as many are."""


@may_come_later("tracker", "generator")
@dataclass(frozen=True, eq=False, repr=False)
class Players:
    """Who sees a face in a video and who moves one: neither is asked for where a request does not
    need it. `endpoint` is the language model of requests that ask one and name none; `reader`
    reads the files that requests name.
    """

    tracker: "FaceTracker"
    generator: "MotionGenerator"
    _: KW_ONLY
    endpoint: Endpoint | None = None
    reader: Reader = HERE


@dataclass(frozen=True, eq=False)
class Performance:
    """`motions` are made as they are read: `frames` frames in all, at `fps`. `voices` are who is
    heard, and `sound` what of them is played (None: the video has none); `cues` are the subtitles,
    where they are wanted.
    """

    motions: Iterator[Motion]
    frames: int
    fps: float
    voices: Voices
    sound: Sound | None
    gestures: tuple[Gesture, ...] = ()
    reply: Reply | None = None
    cues: tuple[Cue, ...] = ()
    played: Motion | None = None
    """All of a motion that was there already: whose it is says how a photo shall follow it."""

    def whole(self, progress: Progress | None = None) -> Motion:
        """All of the motion; what `progress` raises ends it."""
        parts, done = [], 0
        for part in self.motions:
            parts.append(part)
            done += len(part)
            if progress is not None:
                progress("moving", done, max(done, self.frames))
        return Motion.concat(parts)


def act(
    players: Players, request: MotionRequest, notify: Notify, progress: Progress | None = None
) -> Performance:
    """Hear what a request names and move to it, at 25 fps; a driving video moves the face itself,
    and says how long all lasts. Raises what hear and direct do, and track_driver.
    """
    reader, driver = players.reader, None
    if request.driving_video is not None:
        driver = track_driver(request, players.tracker, notify, progress, reader)

    def see(path: Path) -> Motion:
        return track_video(path, players.tracker, FPS, "largest", notify, progress, reader)

    voices = hear(request, see, notify, players.endpoint, reader, progress)
    preparing(progress)
    if driver is not None:
        _tell_lengths(voices.agent, driver, _UNTOLD_S, notify)
        voices = voices.lasting(driver.seconds)
        if request.driven_whole:
            whole = iter([driver])
            return Performance(whole, len(driver), FPS, voices, voices.agent, played=driver)
    for notice in voices.notices:
        notify(notice)
    controls = direct(request, voices, see, notify, reader)
    preparing(progress)
    generator = players.generator
    motions = generator.stream(
        voices.dyads(generator.frame_size),
        seed=request.seed,
        controls=controls,
        interlocutor_motion=voices.seen(voices.frames),
    )
    if driver is not None:
        motions = joined(motions, driver, request.driving_regions)
        if controls.gestures:
            notify("gestures are seen only where the driving video does not move the face")
    reply = Reply.of(voices.reply)
    return Performance(motions, voices.frames, FPS, voices, voices.agent, controls.gestures, reply)


def perform(
    players: Players, request: RenderRequest, notify: Notify, progress: Progress | None = None
) -> Performance:
    """The same for a video, at its rate and with its sound, and of it the part that is wanted; a
    motion that is there already is only played. Raises MotionError for one without frames too, and
    InputError for a part that is not there.
    """
    from motion2video.media.video import exact_rate

    rate, both = float(exact_rate(request.fps)), request.mix == "both"
    motion = given_motion(request, players.reader)
    if motion is not None:
        shown = _played(request, motion, players.reader, notify)
    else:
        shown = act(players, request, notify, progress)
        if shown.voices.agent is None and not both:
            notify("the agent says nothing, so the video is silent (mix both to hear the other)")
        elif shown.voices.order == "turns" and not both:
            notify("nothing is heard while the other person speaks (mix both to hear them)")
        shown = replace(shown, sound=shown.voices.mixed(both) or Waveform.silence(0.0))
    frames = max(1, round(shown.frames / shown.fps * rate))
    shown = replace(
        shown,
        motions=resampled(shown.motions, rate),
        frames=frames,
        fps=rate,
        cues=_cues(request, shown.voices, players.reader),
    )
    return _trimmed(shown, request.span)


def _trimmed(shown: Performance, span: Span | None) -> Performance:
    """The part of a performance; all its times are those of the part. Raises InputError for one
    that begins after the end.
    """
    if span is None:
        return shown
    first = round(span[0] * shown.fps)
    last = shown.frames if span[1] is None else min(shown.frames, round(span[1] * shown.fps))
    if first >= shown.frames:
        raise InputError(
            f"got a trim from {span[0]:g} s on; the video lasts {shown.frames / shown.fps:.2f} s"
        )
    last = max(last, first + 1)
    start, end = first / shown.fps, last / shown.fps
    voices, reply = shown.voices, shown.reply
    if reply is not None:
        codes = (replace(code, time=code.time - start) for code in reply.codes)
        reply = Reply(reply.text, tuple(code for code in codes if code.time >= 0))
    return replace(
        shown,
        motions=part_of(shown.motions, first, last),
        frames=last - first,
        voices=replace(
            voices,
            agent=voices.agent and From(voices.agent, start),
            agent_start=max(0.0, voices.agent_start - start),
        ),
        sound=shown.sound and From(shown.sound, start),
        gestures=tuple(
            replace(gesture, start=gesture.start - start)
            for gesture in shown.gestures
            if start <= gesture.start < end
        ),
        reply=reply,
        cues=cut(shown.cues, start, end),
    )


def _cues(request: RenderRequest, voices: Voices, reader: Reader) -> tuple[Cue, ...]:
    """The subtitles that a request wants."""
    if request.subtitles == "none":
        return ()
    words = transcript_of(request, voices, lambda _: None, reader)
    return () if words is None else cues_of(words)


def given_motion(request: RenderRequest, reader: Reader) -> Motion | None:
    """The motion that a request names. Raises MotionError for one without frames, and as
    Reader.motion.
    """
    source = request.motion
    if source is None:
        return None
    motion = source if isinstance(source, Motion) else reader.motion(Path(source))
    if not len(motion):
        raise MotionError("got a motion without frames; wanted at least one")
    return motion


def _played(request: RenderRequest, motion: Motion, reader: Reader, notify: Notify) -> Performance:
    """A motion that is there already, as it is."""
    voices = load_sound(request, reader)
    sound = voices.mixed(request.mix == "both")
    _tell_lengths(sound, motion, 1 / request.fps, notify)
    parts = iter([motion])
    return Performance(parts, len(motion), motion.fps, voices, sound, played=motion)


def _tell_lengths(sound: Sound | None, motion: Motion, untold_s: float, notify: Notify) -> None:
    if sound is not None and abs(sound.seconds - motion.seconds) > untold_s:
        done = "cut" if sound.seconds > motion.seconds else "followed by silence"
        notify(
            f"the sound lasts {sound.seconds:.2f} s and the motion {motion.seconds:.2f} s: the "
            f"sound is {done}"
        )
