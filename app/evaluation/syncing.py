"""Sync-C and Sync-D of the videos of a pair, where the user gave SyncNet's file."""

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import medfilt

from app.evaluation.catalogue import Found, Value
from app.evaluation.clips import Clip
from app.render.reading import HERE
from motion2video.motion import FPS

if TYPE_CHECKING:
    from pathlib import Path

    from app.quality.syncnet import Box, SyncNet, SyncScore
    from motion2video.faces.tracker import FaceTracker

SECONDS = 20.0
"""Of a video that are judged."""
_EVERY = 5
"""Frames from one look for the face to the next."""
_STEADY = 13
"""Frames over which the median of its place is taken, as SyncNet's authors do."""
_NAN = float("nan")

Judged = tuple["SyncScore", "SyncScore"]
"""Of faces with their voice, and with another part of that voice."""


def sync_of(clip: Clip, tracker: "FaceTracker", judge: "SyncNet") -> Judged | None:
    """None where there is no video, no voice or no face, or too little of them."""
    from app.quality.syncnet import RATE, cut_faces, score

    if clip.video is None or clip.voice is None:
        return None
    boxes = _boxes(clip.video, tracker)
    if not boxes:
        return None
    faces = list(cut_faces(HERE.frames(clip.video, FPS), boxes))
    found = judge.features(faces, clip.voice.read(0, round(SECONDS * RATE)))
    if found is None:
        return None
    seen, heard = found
    return score(seen, heard), score(seen, heard.roll(len(heard) // 2, 0))


def sync_figures(made: Judged | None, real: Judged | None) -> Found:
    """The rows of the table."""
    if made is None:
        return {}
    (own, chance), theirs = made, None if real is None else real[0]
    return {
        ("all", "Sync-C"): Value(
            own.confidence, _NAN if theirs is None else theirs.confidence, chance.confidence
        ),
        ("all", "Sync-D"): Value(
            own.distance, _NAN if theirs is None else theirs.distance, chance.distance
        ),
    }


def _boxes(video: "Path", tracker: "FaceTracker") -> "list[Box]":
    """Where the largest face is in each of the first frames; none where there is never one."""
    at, found, count = list[int](), list[np.ndarray](), 0
    for n, frame in enumerate(islice(HERE.frames(video, FPS), round(SECONDS * FPS))):
        count = n + 1
        faces = tracker.detect(frame) if n % _EVERY == 0 else []
        if faces:
            marks = [face.landmarks[:, :2] for face in faces]
            whole = max(marks, key=lambda points: float(np.ptp(points, 0).prod()))
            at.append(n)
            found.append(np.concatenate([whole.min(0), whole.max(0)]))
    if not found:
        return []
    sides = [np.interp(np.arange(count), at, side) for side in np.stack(found, 1)]
    # Beyond the ends medfilt would see zeros.
    padded = [np.pad(side, _STEADY // 2, mode="edge") for side in sides]
    steady = [medfilt(side, _STEADY)[_STEADY // 2 :][:count].tolist() for side in padded]
    return list(zip(*steady, strict=True))
