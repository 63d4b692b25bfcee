"""Avatar: a photo and two voices to a video; the one place where both packages meet."""

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
from jaxtyping import Float, UInt8

from app.provenance.origin import Origin, Provenance
from app.quality.bars import BARS
from app.render.disclosure import Label
from app.render.filming import Film, Frame, film
from app.render.finish import PREVIEW_FPS, PREVIEW_S, PREVIEW_SIDE, is_preview, preview_trim
from app.render.layout import Layout, read_scene, remarks
from app.render.lineage import origin_of
from app.render.loading import LoadSettings
from app.render.measuring import Measuring
from app.render.output import check_video
from app.render.parts import Later, may_come_later
from app.render.performance import Performance, Players, act, perform
from app.render.request import (
    MotionRequest,
    Notify,
    Progress,
    RenderRequest,
    Source,
)
from app.render.result import RenderResult, peak_memory_mb, used_weights, versions
from app.render.subtitles import Burner, place_of, save
from app.render.voices import preparing
from motion2video.motion import Motion
from motion2video.reference.families import FAMILIES
from weights import load_manifest
from weights.errors import InputError

if TYPE_CHECKING:
    from audio2motion.network.generator import MotionGenerator
    from motion2video.faces.identity import FaceEmbedder
    from motion2video.faces.tracker import FaceTracker
    from motion2video.portrait.portrait import Portrait
    from motion2video.reference.renderer import ReferenceRenderer
    from motion2video.renderer import Renderer

Watch = Callable[[Float[np.ndarray, "90"], UInt8[np.ndarray, "H W 3"]], None]
"""Called with each frame as it is drawn, before it is put into another shape or written on, and the
row of motion, at the video's rate, it shows.
"""


class Following(TypedDict, total=False):
    """How the making of a video is followed: `progress` is called with what is being done, frames
    done and frames in all, `notify` with each notice as it comes up, `watch` with each frame, and
    `begin` before the first one with the motion that is only played, if it is. `skip` frames are
    drawn first and not written. `origin` is that of the whole where this is a part. What they
    raise ends the work.
    """

    progress: Progress | None
    notify: Notify | None
    watch: Watch | None
    begin: Callable[[Motion | None], None] | None
    skip: int
    origin: Origin


_MOTION_CHUNK = 5


@may_come_later("renderer", "embedder")
@dataclass(frozen=True, eq=False, repr=False)
class Avatar(Players):
    """Who plays, and who draws: load once, make many. With an `embedder` videos are compared with
    their photo.

    Three verbs, each for a request or its fields as keywords: `render` (`animate` with keywords)
    makes a video file, `frames` gives its frames, `motion` only moves. The first verb that needs a
    part loads it: `motion` needs neither renderer nor embedder.
    """

    renderer: "Renderer"
    embedder: "FaceEmbedder | None" = None
    references: "Mapping[str, Later[ReferenceRenderer]]" = field(default_factory=dict)
    """Renderers of public checkpoints, by their names."""
    provenance: Provenance = field(default_factory=Provenance)
    """What is done so that a video's file says where it comes from."""

    @staticmethod
    def load(
        settings: LoadSettings | None = None, notify: Notify | None = None, **fields: Any
    ) -> "Avatar":
        """The embedded parts, each loaded when it is first needed; `ready` loads all at once.

        Takes LoadSettings or its fields as keywords, such as `device="cuda"`; `notify` is called
        with what there is to say of another speech encoder than the embedded one.

        Raises DependencyError for a device or package that is not there, InputError for settings
        that do not go together. A part whose weights are missing or wrong raises WeightsError when
        it is loaded.
        """
        from motion2video.network.compute import pick_device
        from motion2video.renderer import RenderConfig

        settings = settings or LoadSettings(**fields)
        steps, speech_encoder = settings.steps, settings.speech_encoder
        config, provenance = RenderConfig(steps=steps), settings.origins
        own, where = settings.compute, pick_device(settings.device)

        def tracker() -> "FaceTracker":
            from motion2video.faces.tracker import FaceTracker

            return FaceTracker.load(settings.detector)

        def generator() -> "MotionGenerator":
            from audio2motion.network.borrowed_speech import borrow
            from audio2motion.network.generator import MotionGenerator

            encoder = borrow(speech_encoder, where, notify) if speech_encoder else None
            return MotionGenerator.load(device=where, encoder=encoder)

        def renderer() -> "Renderer":
            from motion2video.renderer import Renderer

            return Renderer.load(config, own)

        def embedder() -> "FaceEmbedder | None":
            from motion2video.faces.identity import FaceIdentity
            from motion2video.faces.insight import IdentityEmbedder

            if found := IdentityEmbedder.load_if_there():
                return found
            return FaceIdentity.load() if "identity" in load_manifest().roles else None

        def reference(name: str) -> "ReferenceRenderer":
            from motion2video.reference.requirements import require_extra

            require_extra()
            from motion2video.reference.loading import load_renderer

            tell = notify or (lambda _: None)
            chosen = settings.reference
            return load_renderer(FAMILIES[name], chosen, own, settings.weights_dir, tell)

        references = {name: Later(partial(reference, name)) for name in FAMILIES}
        parts: list[Any] = [Later(load) for load in (tracker, generator, renderer, embedder)]
        return Avatar(*parts, references=references, provenance=provenance)

    def ready(self) -> "Avatar":
        """This Avatar with every part loaded: what a server wants before the first request.

        Raises WeightsError for weights that are missing or wrong.
        """
        _ = self.renderer, self.generator, self.tracker, self.embedder
        return self

    def animate(
        self,
        *,
        out: Source,
        progress: Progress | None = None,
        notify: Notify | None = None,
        **fields: Any,
    ) -> RenderResult:
        """`render` with the fields of its request as keywords."""
        return self.render(RenderRequest(**fields), out, progress=progress, notify=notify)

    def render(
        self, request: RenderRequest, out: Source, **following: Unpack[Following]
    ) -> RenderResult:
        """Make a video file; `out` appears only when complete. The result has all notices. A .gif
        or .webp is a preview: small, short and silent.

        Raises a VisavisError for input that cannot be used and output that cannot be written.
        """
        started, out, notices = time.perf_counter(), Path(out), list[str]()
        progress, skip = following.get("progress"), following.get("skip", 0)
        watch = following.get("watch")
        check_video(out, request)
        tell = _both(notices.append, following.get("notify"))
        if is_preview(out):
            request = _preview(request, out, tell)
        portrait, layout = self._scene(request, tell, progress)
        shown = perform(self, request, tell, progress)
        if (begin := following.get("begin")) is not None:
            begin(shown.played)
        finish = _finishing(request, layout, shown)
        files = [out, *([place_of(out)] if request.subtitles == "file" else [])]
        for path in filter(Path.exists, files):
            tell(f"{path} was there already and is replaced")
        origin = following.get("origin") or origin_of(request, self.provenance, self.reader)
        rows, total = deque[np.ndarray](), shown.frames - skip
        measuring = Measuring(self.drawing(request).basis, total, shown.fps)

        def see(frame: Frame) -> None:
            row, frame = rows.popleft(), frame[..., :3]
            measuring.see(row, frame)
            if watch is not None:
                watch(row, frame)

        made = film(
            self.drawn(request, portrait, _noted(shown.motions, rows, skip), shown.played),
            out,
            request.fps,
            shown.sound,
            skip=skip,
            total=total,
            watch=see,
            finish=finish,
            progress=progress,
            origin=origin,
            notify=tell,
        )
        for path in files[1:]:
            save(shown.cues, path)
        box = layout.moved(portrait.face.box)
        known = (box, shown, measuring, origin)
        return self._result(request, out, made, portrait, known, notices, started)

    def frames(
        self,
        request: RenderRequest | None = None,
        *,
        notify: Notify | None = None,
        **fields: Any,
    ) -> Iterator[Frame]:
        """The frames of a video, one by one as they are made; no file is written. They are RGBA
        where the background is transparent.

        Input that cannot be used raises here, not at the first frame.
        """
        request, tell = request or RenderRequest(**fields), _both(notify)
        portrait, layout = self._scene(request, tell, None)
        shown = perform(self, request, tell)
        finish = _finishing(request, layout, shown)
        return map(finish, self.drawn(request, portrait, shown.motions, shown.played))

    def motion(
        self,
        request: MotionRequest | None = None,
        progress: Progress | None = None,
        notify: Notify | None = None,
        **fields: Any,
    ) -> Motion:
        """The agent's motion at 25 fps. What `progress` raises ends the work."""
        request = request or MotionRequest(**fields)
        return act(self, request, _both(notify), progress).whole(progress)

    def drawing(self, request: RenderRequest) -> "Renderer | ReferenceRenderer":
        """What draws a request, loaded. Raises InputError for a renderer that is not offered here,
        and as loading it does.
        """
        if request.renderer == "embedded":
            return self.renderer.at(request.quality)
        if request.renderer not in self.references:
            raise InputError(
                f"the renderer {request.renderer} is not offered here; wanted "
                f"{', '.join(['embedded', *self.references])}"
            )
        return self.references[request.renderer].get().at(request.quality)

    def drawn(
        self,
        request: RenderRequest,
        portrait: "Portrait",
        motions: Iterable[Motion],
        driver: Motion | None = None,
    ) -> Iterator[Frame]:
        """The frames of motions as they are drawn, of all of a video or a part of it, as they come;
        `driver` is the whole of a motion that was there already. Raises as `drawing` does.
        """
        return self.drawing(request).stream(portrait, _cut(motions), request.seed, driver)

    def _scene(
        self, request: RenderRequest, notify: Notify, progress: Progress | None
    ) -> "tuple[Portrait, Layout]":
        portrait, layout = read_scene(self.reader, request, self.tracker)
        told = (*portrait.notices, *self.drawing(request).remarks(portrait))
        for notice in (*told, *remarks(portrait, layout)):
            notify(notice)
        preparing(progress)
        return portrait, layout

    def _result(
        self,
        request: RenderRequest,
        out: Path,
        made: Film,
        portrait: "Portrait",
        known: tuple[tuple[float, float, float, float], Performance, Measuring, Origin],
        notices: list[str],
        started: float,
    ) -> RenderResult:
        """All that is known of a video, measured once it is there."""
        face_box, shown, measuring, origin = known
        alike = None
        if self.embedder is not None:
            alike = measuring.alike(portrait, self.tracker, self.embedder)
        planned = measuring.count / shown.fps
        report = measuring.report(shown.voices.agent, alike, planned, out)
        return RenderResult(
            out=os.fspath(out),
            frames=made.frames,
            fps=made.fps,
            seconds=made.frames / made.fps,
            wall_seconds=time.perf_counter() - started,
            render_fps=made.frames / made.wall_seconds,
            peak_memory_mb=peak_memory_mb(),
            size=made.size,
            seed=request.seed,
            face_box=face_box,
            gestures=shown.gestures,
            notices=tuple(notices),
            settings={
                **request.describe(),
                **self.drawing(request).describe(),
                "speech_encoder": self.generator.encoder.name,
            },
            weights=used_weights(request.renderer),
            versions=versions(),
            reply=shown.reply,
            order=shown.voices.order,
            agent_start=shown.voices.agent_start,
            sync_offset_ms=report[BARS["offset"].name].value,
            identity=alike,
            report=report,
            subtitles=shown.cues,
            provenance=origin.told(),
        )


def _preview(request: RenderRequest, out: Path, notify: Notify) -> RenderRequest:
    """The request of a picture that moves."""
    notify(
        f"a {out.suffix} is a preview without sound: at most {PREVIEW_SIDE} px, "
        f"{PREVIEW_FPS:g} frames a second and {PREVIEW_S:g} s"
    )
    return replace(
        request,
        size=min(request.size, PREVIEW_SIDE),
        fps=min(request.fps, PREVIEW_FPS),
        trim=preview_trim(request.span),
    )


def _finishing(
    request: RenderRequest, layout: Layout, shown: Performance
) -> Callable[[Frame], Frame]:
    """What becomes of the drawn frames of a video, in their order. Raises InputError for subtitles
    that cannot be drawn.
    """
    lay = layout.lay
    if request.label is not None:
        label = Label(request.label)
        lay = lambda frame: label.lay(layout.lay(frame))  # noqa: E731
    if request.subtitles != "burned":
        return lay
    burner, numbers = Burner(shown.cues, shown.fps), itertools.count()
    return lambda frame: burner.burn(lay(frame), next(numbers))


def _noted(motions: Iterable[Motion], rows: deque[np.ndarray], skip: int) -> Iterator[Motion]:
    """The same motions; their rows but the first `skip` wait in `rows` until their frames are
    there.
    """
    for motion in motions:
        rows.extend(motion.values[skip:])
        skip = max(0, skip - len(motion))
        yield motion


def _cut(motions: Iterable[Motion]) -> Iterator[Motion]:
    """The same motions in pieces small enough that their frames need little memory."""
    for motion in motions:
        for start in range(0, len(motion), _MOTION_CHUNK):
            yield motion[start : start + _MOTION_CHUNK]


def _both(*receivers: Notify | None) -> Notify:
    """One receiver that passes each notice on to all of them."""

    def notify(notice: str) -> None:
        for receive in receivers:
            if receive is not None:
                receive(notice)

    return notify
