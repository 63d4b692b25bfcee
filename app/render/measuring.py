"""What is measured of a video while it is made: a few numbers of every frame, and a few looks at
the pictures. The report made of it is that of app/quality/report.py.
"""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from app.quality.activity import active
from app.quality.bars import BARS, KEPT
from app.quality.verdict import Check, Report
from audio2motion.hearing.audio import Sound, speech_probability
from motion2video.motion import FPS, Motion
from weights import load_manifest
from weights.errors import VisavisError

if TYPE_CHECKING:
    from app.quality.lip_sync import LipSyncJudge
    from motion2video.faces.identity import FaceEmbedder
    from motion2video.faces.tracker import FaceTracker
    from motion2video.geometry.basis import FaceBasis
    from motion2video.portrait.portrait import Portrait

LOOKS = 4
"""Frames of a video in which the face is compared with the photo."""
FLICKER_EVERY = 8
"""Frames from one look for flicker to the next; QUIET of these looks count, the calmest."""
QUIET = 0.25
FLICKER_SIDE = 512
"""Of larger pictures every second pixel is looked at, or every third."""
_ABSENT = "the manifest has no weights called {}"


@dataclass(eq=False)
class Measuring:
    """Follows a video of about `count` frames at `fps`; keeps a few numbers a frame, and LOOKS
    frames.
    """

    basis: "FaceBasis"
    count: int
    fps: float = FPS
    frames: list[UInt8[np.ndarray, "H W 3"]] = field(default_factory=list)
    spent: float = 0.0
    """Seconds of processor time that it took so far."""
    _rows: list[Float[np.ndarray, "k"]] = field(default_factory=list)
    _unrest: list[tuple[float, float]] = field(default_factory=list)
    _last: deque[UInt8[np.ndarray, "h w"]] = field(default_factory=lambda: deque(maxlen=3))
    _moved: deque[Float[np.ndarray, "90"]] = field(default_factory=lambda: deque(maxlen=3))

    def see(self, row: Float[np.ndarray, "90"], frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """The next frame, and the motion that it shows."""
        started, at = time.thread_time(), len(self._rows)
        if at in {int((k + 0.5) * self.count / LOOKS) for k in range(LOOKS)}:
            self.frames.append(frame.copy())
        self._note(row)
        if at % FLICKER_EVERY < 3:
            self._look(at % FLICKER_EVERY, row, frame)
        self.spent += time.thread_time() - started

    def moved(self, motion: Motion, voice: Sound | None) -> "Told":
        """What a whole motion tells, with the agent's voice at 16 kHz, of pictures that others
        draw.
        """
        started = time.thread_time()
        for row in motion.values:
            self._note(row)
        self.spent += time.thread_time() - started
        return self._told(voice)

    def _note(self, row: Float[np.ndarray, "90"]) -> None:
        gap = self.basis.lip_gap(row[None])
        lips = self._judge.seen(row) if self._judge else np.zeros(0, np.float32)
        self._rows.append(np.concatenate([row[list(KEPT)], gap, lips]))

    @cached_property
    def _judge(self) -> "LipSyncJudge | None":
        """None where a manifest of the user's own (VISAVIS_MANIFEST) has no judge."""
        from app.quality.lip_sync import LipSyncJudge

        return LipSyncJudge.load() if "lip_sync" in load_manifest().roles else None

    def _look(self, number: int, row: np.ndarray, frame: np.ndarray) -> None:
        """One of three frames that follow each other."""
        from app.quality.pictures import flicker

        step = math.ceil(max(frame.shape[:2]) / FLICKER_SIDE)
        self._last.append(np.ascontiguousarray(frame[::step, ::step, 1]))
        self._moved.append(row)
        if number == 2 and len(self._last) == 3:
            before, now, after = self._moved
            moved = float(np.abs(after - now).sum() + np.abs(now - before).sum())
            self._unrest.append((moved, flicker(*self._last)))

    @property
    def flicker(self) -> float | None:
        """Mean over the calmest looks; None before the first."""
        calm = sorted(self._unrest, key=lambda look: look[0])[
            : math.ceil(QUIET * len(self._unrest))
        ]
        return sum(found for _, found in calm) / len(calm) if calm else None

    def alike(
        self, portrait: "Portrait", tracker: "FaceTracker", embedder: "FaceEmbedder"
    ) -> float | None:
        """`identity` of the frames that were kept."""
        started = time.thread_time()
        found = identity(portrait, self.frames, tracker, embedder)
        self.spent += time.thread_time() - started
        return found

    def report(
        self, voice: Sound | None, identity: float | None, planned_s: float, out: Path
    ) -> Report:
        """Of the video in the file `out`, whose agent's voice is at 16 kHz; None: they say nothing.
        `planned_s` is how long it was to be.
        """
        return self._told(voice).report(identity, self.flicker, planned_s, out)

    def _told(self, voice: Sound | None) -> "Told":
        from app.quality.report import Seen, at_rate, behaviour_checks, sync_checks

        started = time.thread_time()
        curves = at_rate(np.array(self._rows, np.float32), self.fps)
        kept, gap, lips = np.split(curves, [len(KEPT), len(KEPT) + 1], 1)
        probability = np.zeros(0, np.float32) if voice is None else speech_probability(voice)
        seen = Seen(kept, gap[:, 0], active(probability, len(kept)))
        sync = None
        if voice is not None and self._judge is not None:
            sync = self._judge.judge(lips, voice, float(seen.spoken.sum() / FPS))
        absent = "" if self._judge else _ABSENT.format("lip_sync")
        checks = sync_checks(sync, absent), behaviour_checks(seen)
        return Told(*map(tuple, checks), seconds=self.spent + time.thread_time() - started)


@dataclass(frozen=True)
class Told:
    """What motion and voice tell of a video: checks of lip `sync` and of `behaviour`; `seconds` is
    how long it took.
    """

    sync: tuple[Check, ...]
    behaviour: tuple[Check, ...]
    seconds: float

    @staticmethod
    def of_json(told: Mapping[str, Any]) -> "Told":
        """Of what `dataclasses.asdict` made of one."""
        sync, behaviour = (tuple(Check(**c) for c in told[n]) for n in ("sync", "behaviour"))
        return Told(sync, behaviour, told["seconds"])

    def report(
        self, identity: float | None, flicker: float | None, planned_s: float, out: Path
    ) -> Report:
        """With what the pictures in the file `out` tell, and how long they last."""
        absent = "identity" not in load_manifest().roles
        unlike = _ABSENT.format("identity") if absent else "no face was found"
        checks = (
            *self.sync,
            BARS["identity"].judge(identity, "" if identity is not None else unlike),
            BARS["flicker"].judge(flicker),
            *self.behaviour,
            _length(out, planned_s),
        )
        return Report(checks, round(self.seconds, 3))


def _length(out: Path, planned_s: float) -> Check:
    """How much longer a file is than it was to be."""
    from motion2video.media.container import probe

    try:
        seconds = probe(out).video_seconds
    except VisavisError:  # single pictures have no length
        seconds = None
    if seconds is None:
        return BARS["length"].judge(None, f"{out.suffix} says no length")
    return BARS["length"].judge(seconds - planned_s)


def identity(
    portrait: "Portrait",
    frames: Sequence[UInt8[np.ndarray, "H W 3"]],
    tracker: "FaceTracker",
    embedder: "FaceEmbedder",
) -> float | None:
    """Mean cosine of the embeddings of the portrait's face and of that face in each frame; 1 for
    the same picture, near 0 for strangers. None where no frame shows a face.
    """
    wanted = embedder.embed(portrait.image, portrait.face.landmarks)
    found = []
    for frame in frames:
        faces = tracker.detect(frame)
        if faces:
            middle = np.array(portrait.face.centre)
            face = min(faces, key=lambda f: float(np.linalg.norm(middle - f.centre)))
            found.append(float(wanted @ embedder.embed(frame, face.landmarks)))
    return sum(found) / len(found) if found else None
