"""From frames to a video file: the one loop, whoever draws them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from app.provenance.origin import Origin
from app.render.request import Notify, Progress
from audio2motion.hearing.audio import SAMPLE_RATE, Sound

Frame = UInt8[np.ndarray, "H W c"]


@dataclass(frozen=True)
class Film:
    """What was written: so many `frames` at `fps`, `size` (width, height), in `wall_seconds` of
    drawing and encoding.
    """

    frames: int
    fps: float
    size: tuple[int, int]
    wall_seconds: float


def film(
    frames: Iterable[Frame],
    out: Path,
    fps: float,
    sound: Sound | None = None,
    *,
    total: int = 0,
    skip: int = 0,
    watch: Callable[[Frame], None] | None = None,
    finish: Callable[[Frame], Frame] = lambda frame: frame,
    progress: Progress | None = None,
    doing: str = "rendering",
    origin: Origin | None = None,
    notify: Notify = lambda _: None,
) -> Film:
    """Write at least one frame and the sound as `out`, which appears only when complete.

    Frames may be drawn as they are asked for, come from a cache, or both. The first `skip` are
    drawn and not written. What is written is what `finish` makes of a frame; RGBA frames are
    transparent. It is marked, and the file sealed, as `origin` says (None: nobody gets it);
    `notify` hears what could not be done of that. `watch` is called with each frame that was
    written, as it was drawn, `progress` with what is being `doing`, frames written and about how
    many there will be, `total`. What `frames`, `watch` or `progress` raise ends the work. Raises
    OutputError for a place to which nothing can be written.
    """
    from motion2video.media.archive import ArchiveWriter
    from motion2video.media.codings import ARCHIVE
    from motion2video.media.video import VideoWriter

    started = time.perf_counter()
    seal = None
    if origin is not None:
        finish = _then(finish, origin.mark)
        seal = partial(origin.seal, name=out, notify=notify)
    wanted = islice(frames, skip, None)
    first = next(wanted)
    shown = finish(first)
    size, clear = (shown.shape[1], shown.shape[0]), shown.shape[2] == 4
    write_to = ArchiveWriter if out.suffix.lower() == ARCHIVE else VideoWriter
    rate = SAMPLE_RATE if sound is None else sound.sample_rate
    with write_to(out, size, fps, sound, rate, clear=clear, seal=seal) as writer:
        for frame, made in chain([(first, shown)], ((f, finish(f)) for f in wanted)):
            writer.write(made[None])
            if watch is not None:
                watch(frame)
            if progress is not None:
                progress(doing, writer.frames, max(total, writer.frames))
    return Film(writer.frames, float(writer.rate), size, time.perf_counter() - started)


def _then(
    first: Callable[[Frame], Frame], second: Callable[[Frame], Frame]
) -> Callable[[Frame], Frame]:
    return lambda frame: second(first(frame))
