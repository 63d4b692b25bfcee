"""The figures of a pair of videos that are seen: identity, flicker, seams, sharpness, landmarks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from app.evaluation.catalogue import Found, Value
from app.quality import pictures
from app.render.reading import HERE
from motion2video.motion import FPS

if TYPE_CHECKING:
    from app.quality.perceptual import Lpips, Network
    from motion2video.faces.identity import FaceEmbedder
    from motion2video.faces.tracker import Face, FaceTracker

LOOKS = 12
"""Frames of a video whose faces are looked at."""
IN_A_ROW = 16
SIDE = 256
"""Pixels of the pictures that LPIPS compares."""


@dataclass(frozen=True, eq=False)
class Look:
    """One frame with its face (None: none was found), and how much it flickers there."""

    image: UInt8[np.ndarray, "H W 3"]
    face: "Face | None"
    flicker: float


@dataclass(frozen=True, eq=False)
class Watcher:
    """What videos are looked at with; `lpips` by the names of its networks."""

    tracker: "FaceTracker"
    embedder: "FaceEmbedder"
    lpips: "dict[Network, Lpips]" = field(default_factory=dict)

    def of(self, made: list[Look], real: list[Look]) -> Found:
        """The figures of two videos, seen at the same moments."""
        found: Found = {("all", "flicker"): Value(_flicker(made), _flicker(real))}
        seen = [(a.image, a.face, b.image, b.face) for a, b in zip(made, real, strict=False)]
        both = [(a, f, b, g) for a, f, b, g in seen if f is not None and g is not None]
        if not both:
            return found
        first, anchor = both[0][2], both[0][3]
        found["all", "seam"] = Value(
            _mean(pictures.seam(a, f.landmarks, first, anchor.landmarks) for a, f, _, _ in both),
            _mean(pictures.seam(b, g.landmarks, first, anchor.landmarks) for _, _, b, g in both),
        )
        for feature in pictures.FEATURES:
            found["all", f"sharpness {feature}"] = Value(
                _mean(pictures.sharpness(a, f.landmarks, feature) for a, f, _, _ in both),
                _mean(pictures.sharpness(b, g.landmarks, feature) for _, _, b, g in both),
            )
            if all(a.shape == b.shape for a, _, b, _ in both):
                made_marks = np.stack([face.landmarks for _, face, _, _ in both])
                marks = np.stack([face.landmarks for _, _, _, face in both])
                found["all", f"landmark error {feature}"] = Value(
                    pictures.landmark_error(made_marks, marks, feature),
                    0.0,
                    pictures.landmark_error(np.repeat(marks[:1], len(marks), 0), marks, feature),
                )
        wanted = self.embedder.embed(first, anchor.landmarks)
        found["all", "identity"] = Value(
            _mean(float(wanted @ self.embedder.embed(a, f.landmarks)) for a, f, _, _ in both),
            _mean(float(wanted @ self.embedder.embed(b, g.landmarks)) for _, _, b, g in both[1:]),
        )
        for name, judge in self.lpips.items():
            apart = [_apart(judge, a, f, b, g) for a, f, b, g in both]
            still = [_apart(judge, first, anchor, b, g) for _, _, b, g in both]
            title = "LPIPS" if name == "alex" else "LPIPS VGG"
            found["all", title] = Value(_mean(apart), 0.0, _mean(still))
        return found

    def looks(self, path: Path, seconds: float) -> Iterator[Look]:
        """LOOKS frames of a video, evenly spread over its first `seconds`, at 25 a second."""
        count = int(seconds * FPS)
        wanted = {int((k + 0.5) * count / LOOKS) for k in range(LOOKS)}
        before: list[np.ndarray] = []
        for at, frame in enumerate(HERE.frames(path, FPS)):
            before = [*before[-2:], frame]
            if at - 1 in wanted and len(before) == 3:
                _, now, _ = before
                faces = self.tracker.detect(now)
                yield Look(now, faces[0] if faces else None, pictures.flicker(*before))


def stretch(path: Path, seconds: float) -> list[UInt8[np.ndarray, "H W 3"]]:
    """IN_A_ROW frames that follow each other, from the middle of the first `seconds`."""
    first = max(0, (int(seconds * FPS) - IN_A_ROW) // 2)
    return list(islice(HERE.frames(path, FPS), first, first + IN_A_ROW))


def _apart(judge: "Lpips", a: np.ndarray, f: "Face", b: np.ndarray, g: "Face") -> float:
    import cv2
    import torch

    squares = []
    for image, face in ((a, f), (b, g)):
        part = image[pictures.box_of(face.landmarks, range(478), image.shape, 0.1)]
        small = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        squares.append(torch.from_numpy(small).permute(2, 0, 1)[None] / 255)
    with torch.inference_mode():
        return float(judge(*squares))


def _flicker(looks: list[Look]) -> float:
    return _mean(look.flicker for look in looks)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")
