"""Avatar: a photo and two voices to a video; the one place where both packages meet."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from jaxtyping import Float, UInt8

from app.render.direction import direct
from app.render.measuring import Measuring, identity
from app.render.output import check_output
from app.render.rate import resampled
from app.render.reading import HERE, Reader, read_portrait
from app.render.request import (
    ComputeFields,
    MotionFields,
    MotionRequest,
    Notify,
    Progress,
    RenderFields,
    RenderRequest,
    Source,
)
from app.render.result import RenderResult, Reply, peak_memory_mb, used_weights, versions
from app.render.tracking import track_video
from app.render.voices import Track, Voices, hear, load_sound, preparing
from audio2motion.gestures.gestures import Gesture
from audio2motion.hearing.audio import SAMPLE_RATE, Sound, Waveform
from audio2motion.voice.endpoint import Endpoint
from motion2video.motion import FPS, Motion
from weights.errors import MotionError

if TYPE_CHECKING:
    from audio2motion.gestures.controls import Controls
    from audio2motion.network.generator import MotionGenerator
    from motion2video.faces.identity import FaceEmbedder
    from motion2video.faces.tracker import FaceTracker
    from motion2video.portrait.portrait import Portrait
    from motion2video.renderer import Renderer

Frames = Iterator[UInt8[np.ndarray, "H W 3"]]
Watch = Callable[[Float[np.ndarray, "90"], UInt8[np.ndarray, "H W 3"]], None]
"""Called with each frame as it is made, and the row of motion, at the video's rate, it shows."""
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
_MOTION_CHUNK = 5


@dataclass(frozen=True, eq=False)
class _Shot:
    """What a request comes to: `frames` frames of `portrait`, moved by `motions`; `sound` is what
    is heard, `voice` the agent's alone.
    """

    portrait: "Portrait"
    motions: Iterator[Motion]
    frames: int
    sound: Sound | None
    voice: Sound | None
    gestures: tuple[Gesture, ...] = ()
    reply: Reply | None = None


@dataclass(frozen=True, eq=False)
class Score:
    """All that a video is drawn and played from: the whole `motion`, at the video's rate, and the
    `sound` (None: it has none); `notices` are sentences for the user.
    """

    motion: Motion
    sound: Sound | None
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Avatar:
    """The loaded parts: load once, render many. With an `embedder` videos are compared with their
    photo; `endpoint` is the language model of requests that ask one and name none; `reader` reads
    the files that requests name.
    """

    tracker: "FaceTracker"
    generator: "MotionGenerator"
    renderer: "Renderer"
    embedder: "FaceEmbedder | None" = None
    endpoint: Endpoint | None = None
    reader: Reader = HERE

    @staticmethod
    def load(
        device: str = "auto",
        detector: str = "mediapipe",
        steps: int | None = None,
        speech_encoder: str | None = None,
        notify: Notify | None = None,
        **compute: Unpack[ComputeFields],
    ) -> "Avatar":
        """Load every part. `device` is auto, cpu or cuda; `steps` is how many steps the
        renderer's diffusion takes (None: its own default); `speech_encoder` is another one than
        the embedded one, KIND:FOLDER (see audio2motion.network.borrowed_speech), and `notify` is
        called with what there is to say of it; the other keywords are those of
        motion2video.network.compute.ComputeConfig.

        Raises WeightsError for weights that are missing or wrong, DependencyError for a device
        or package that is not there, InputError for settings that do not go together.
        """
        from audio2motion.network.borrowed_speech import borrow
        from audio2motion.network.generator import MotionGenerator
        from motion2video.faces.identity import FaceIdentity
        from motion2video.faces.insight import IdentityEmbedder
        from motion2video.faces.tracker import FaceTracker
        from motion2video.network.compute import ComputeConfig
        from motion2video.renderer import RenderConfig, Renderer

        config = RenderConfig() if steps is None else RenderConfig(steps=steps)
        renderer = Renderer.load(config, ComputeConfig(device=device, **compute))
        encoder = borrow(speech_encoder, renderer.device, notify) if speech_encoder else None
        generator = MotionGenerator.load(device=renderer.device, encoder=encoder)
        tracker = FaceTracker.load(detector)
        embedder = IdentityEmbedder.load_if_there() or FaceIdentity.load()
        return Avatar(tracker, generator, renderer, embedder)

    def animate(
        self,
        *,
        out: Source,
        progress: Progress | None = None,
        notify: Notify | None = None,
        **fields: Unpack[RenderFields],
    ) -> RenderResult:
        """Make a video file; the keywords are the fields of RenderRequest.

        `progress` is called with what is being done, frames done and frames in all, `notify` with
        each notice as it comes up (the result has all of them). `out` appears only when complete.
        Raises a VisavisError for input that cannot be used and output that cannot be written.
        """
        return self.render(RenderRequest(**fields), out, progress, notify)

    def render(
        self,
        request: RenderRequest,
        out: Source,
        progress: Progress | None = None,
        notify: Notify | None = None,
        *,
        skip: int = 0,
        watch: Watch | None = None,
    ) -> RenderResult:
        """As `animate`, for a request that is there already; `skip` frames are drawn first and
        not written.

        What `progress` or `watch` raise ends the work, and nothing is written.
        """
        from motion2video.media.video import VideoWriter

        started = time.perf_counter()
        out = Path(out)
        check_output(out, VIDEO_SUFFIXES, request.inputs)
        notices: list[str] = []
        shot = self._prepare(request, _both(notices.append, notify), progress)
        height, width = shot.portrait.image.shape[:2]
        if out.exists():
            _both(notices.append, notify)(f"{out} was there already and is replaced")
        sound, drawing, rows = shot.sound, time.perf_counter(), deque[np.ndarray]()
        shot = replace(shot, motions=_noted(shot.motions, rows))
        measuring = Measuring(self.renderer.basis, shot.frames - skip)
        with VideoWriter(
            out,
            size=(width, height),
            fps=request.fps,
            audio=sound,
            sample_rate=SAMPLE_RATE if sound is None else sound.sample_rate,
        ) as writer:
            for index, frame in enumerate(self._draw(shot, request.seed)):
                row = rows.popleft()
                if index < skip:
                    continue
                writer.write(frame[None])
                measuring.see(row, frame)
                if watch is not None:
                    watch(row, frame)
                if progress is not None:
                    progress("rendering", writer.frames, shot.frames)
        drawn, done, rate = time.perf_counter(), writer.frames, float(writer.rate)
        sync_offset_ms = measuring.sync_offset_ms(shot.voice, rate)
        alike = self._identity(shot.portrait, measuring)
        return RenderResult(
            out=os.fspath(out),
            frames=done,
            fps=rate,
            seconds=done / rate,
            wall_seconds=time.perf_counter() - started,
            render_fps=done / (drawn - drawing),
            peak_memory_mb=peak_memory_mb(),
            size=(width, height),
            seed=request.seed,
            face_box=shot.portrait.face.box,
            gestures=shot.gestures,
            notices=tuple(notices),
            settings={**request.describe(), **self._settings},
            weights=used_weights(),
            versions=versions(),
            reply=shot.reply,
            sync_offset_ms=sync_offset_ms,
            identity=alike,
        )

    def frames(self, *, notify: Notify | None = None, **fields: Unpack[RenderFields]) -> Frames:
        """The frames of a video, one by one as they are made; no file is written.

        Input that cannot be used raises here, not at the first frame.
        """
        return self.draw(RenderRequest(**fields), notify)

    def draw(self, request: RenderRequest, notify: Notify | None = None) -> Frames:
        """As `frames`, for a request that is there already."""
        shot = self._prepare(request, _both(notify), None)
        return self._draw(shot, request.seed)

    def motion(self, *, notify: Notify | None = None, **fields: Unpack[MotionFields]) -> Motion:
        """The agent's motion at 25 fps; the keywords are the fields of MotionRequest."""
        return self.make(MotionRequest(**fields), None, notify)

    def make(
        self,
        request: MotionRequest,
        progress: Progress | None = None,
        notify: Notify | None = None,
    ) -> Motion:
        """As `motion`, for a request that is there already. What `progress` raises ends it."""
        notify = _both(notify)
        track = self._tracked(notify, progress)
        voices = hear(request, track, notify, self.endpoint, self.reader, progress)
        preparing(progress)
        controls = direct(request, voices, track, notify, self.reader)
        return make_motion(request, voices, self.generator, notify, controls, progress)

    def score(self, request: RenderRequest, notify: Notify | None = None) -> Score:
        """What `render` would draw and play; a request with this motion draws the same frames."""
        notices: list[str] = []
        shot = self._prepare(request, _both(notices.append, notify), None)
        return Score(Motion.concat(list(shot.motions)), shot.sound, tuple(notices))

    @property
    def _settings(self) -> dict[str, Any]:
        renderer = self.renderer
        return {
            "steps": renderer.config.steps,
            "device": str(renderer.device),
            "backend": renderer.painter.backend,
            "precision": renderer.painter.precision,
            "speech_encoder": self.generator.encoder.name,
        }

    def _prepare(self, request: RenderRequest, notify: Notify, progress: Progress | None) -> _Shot:
        """Read every input; what is left to do is to draw."""
        from motion2video.media.video import exact_rate

        reader = self.reader
        portrait = read_portrait(
            reader, request.portrait, self.tracker, request.face, request.size, request.crop
        )
        for notice in portrait.notices:
            notify(notice)
        preparing(progress)
        both, reply = request.mix == "both", None
        if request.motion is not None:
            motion = _load_motion(request.motion, reader)
            heard = load_sound(request, reader)
            sound, voice = heard.mixed(both), heard.agent
            if sound is not None and abs(sound.seconds - motion.seconds) > 1 / request.fps:
                done = "cut" if sound.seconds > motion.seconds else "followed by silence"
                notify(
                    f"the sound lasts {sound.seconds:.2f} s and the motion {motion.seconds:.2f} s:"
                    f" the sound is {done}"
                )
            parts, seconds, gestures = iter([motion]), motion.seconds, ()
        else:
            track = self._tracked(notify, progress)
            voices = hear(request, track, notify, self.endpoint, self.reader, progress)
            preparing(progress)
            for notice in voices.notices:
                notify(notice)
            sound, voice = voices.mixed(both) or Waveform.silence(0.0), voices.agent
            if voices.agent is None and not both:
                notify(
                    "the agent says nothing, so the video is silent (mix both to hear the other)"
                )
            controls = direct(request, voices, track, notify, self.reader)
            preparing(progress)
            parts = stream_motion(request, voices, self.generator, controls)
            seconds, gestures = voices.frames / FPS, controls.gestures
            reply = Reply.of(voices.reply)
        rate = float(exact_rate(request.fps))
        frames = max(1, round(seconds * rate))
        return _Shot(portrait, resampled(parts, rate), frames, sound, voice, gestures, reply)

    def _identity(self, portrait: "Portrait", measuring: Measuring) -> float | None:
        if self.embedder is None:
            return None
        return identity(portrait, measuring.frames, self.tracker, self.embedder)

    def _draw(self, shot: _Shot, seed: int) -> Frames:
        small = (part for motion in shot.motions for part in _cut(motion))
        return self.renderer.stream(shot.portrait, small, seed=seed)

    def _tracked(self, notify: Notify, progress: Progress | None) -> Track:
        return lambda path: track_video(
            path, self.tracker, FPS, "largest", notify, progress, self.reader
        )


def stream_motion(
    request: MotionRequest,
    voices: Voices,
    generator: "MotionGenerator",
    controls: "Controls",
) -> Iterator[Motion]:
    """The agent's motion at 25 fps, piece by piece, exactly `voices.frames` frames in all.

    `controls` are what app.render.direction.direct makes of the request.
    """
    return generator.stream(
        voices.dyads(generator.frame_size),
        seed=request.seed,
        controls=controls,
        interlocutor_motion=voices.seen(voices.frames),
    )


def make_motion(
    request: MotionRequest,
    voices: Voices,
    generator: "MotionGenerator",
    notify: Notify,
    controls: "Controls",
    progress: Progress | None = None,
) -> Motion:
    """The agent's whole motion at 25 fps."""
    for notice in voices.notices:
        notify(notice)
    parts, done = [], 0
    for part in stream_motion(request, voices, generator, controls):
        parts.append(part)
        done += len(part)
        if progress is not None:
            progress("moving", done, voices.frames)
    return Motion.concat(parts)


def _load_motion(source: Source | Motion, reader: Reader) -> Motion:
    motion = source if isinstance(source, Motion) else reader.motion(Path(source))
    if not len(motion):
        raise MotionError("got a motion without frames; wanted at least one")
    return motion


def _noted(motions: Iterable[Motion], rows: deque[np.ndarray]) -> Iterator[Motion]:
    """The same motions; their rows wait in `rows` until their frames are there."""
    for motion in motions:
        rows.extend(motion.values)
        yield motion


def _cut(motion: Motion) -> Iterator[Motion]:
    """A motion in pieces small enough that their frames need little memory."""
    for start in range(0, len(motion), _MOTION_CHUNK):
        yield motion[start : start + _MOTION_CHUNK]


def _both(*receivers: Notify | None) -> Notify:
    """One receiver that passes each notice on to all of them."""

    def notify(notice: str) -> None:
        for receive in receivers:
            if receive is not None:
                receive(notice)

    return notify
