"""From the frames of a video to the people in it: shots, faces followed apart, who is who."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from app.dataset.layout import Track
from motion2video.faces.crowd import Crowd, Person
from motion2video.faces.identity import FaceEmbedder
from motion2video.faces.tracker import MIN_FACE_WIDTH, FaceTracker
from motion2video.geometry.basis import FaceBasis, motion_from_landmarks
from motion2video.media.cuts import CutFinder
from motion2video.motion import FPS, Motion
from weights.errors import MediaError

LEAST_S = 1.0
"""Somebody who is in the picture for less is left out."""
LONGEST_S = 600.0
"""A take that is longer is cut into pieces, so that memory does not grow with its length."""
LEAST_SEEN = 0.6
MOST_YAW = 50.0
SAME_FACE = 0.45
"""Cosine of the embeddings of two views above which they are taken for one person's."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One face through one piece of a shot: from frame `first` of the video on. `face` is its
    embedding, `x` where it is in the picture, from 0 at the left to 1. A motion that was not
    tracked has neither track nor face.
    """

    piece: int
    first: int
    motion: Motion
    gap: Float[np.ndarray, "T"]
    track: Track | None = None
    face: Float[np.ndarray, "d"] | None = None
    x: float = 0.5

    @property
    def end(self) -> int:
        """The frame after its last."""
        return self.first + len(self.motion)

    def part(self, start: int, end: int) -> "Seen":
        """Frames `start` to `end` of the video, all of which it has."""
        cut = slice(start - self.first, end - self.first)
        track = None if self.track is None else self.track[cut]
        parts = (self.motion[cut], self.gap[cut], track, self.face, self.x)
        return Seen(self.piece, start, *parts)


class Watcher:
    """Watches videos: follows everybody in them. Load once."""

    def __init__(self, tracker: FaceTracker, embedder: FaceEmbedder, basis: FaceBasis) -> None:
        self._tracker, self._embedder, self.basis = tracker, embedder, basis

    def watch(
        self,
        frames: Iterable[UInt8[np.ndarray, "H W 3"]],
        tick: Callable[[], None] = lambda: None,
    ) -> tuple[list[Seen], int, list[str]]:
        """The people in frames at 25 a second, how many frames there were, and sentences about
        those who were left out. Raises MediaError for no frames.
        """
        seen, told, frames_seen = list[Seen](), list[str](), 0
        for piece, people, so_far in self._pieces(frames, tick):
            frames_seen = so_far
            for person in people:
                why = _unusable(person)
                if why:
                    at = f"{person.first / FPS:.1f} to {person.end / FPS:.1f} s"
                    told.append(f"somebody at {at} is left out: {why}")
                else:
                    seen.append(self._measure(piece, person))
        if frames_seen == 0:
            raise MediaError("the video has no frames; wanted at least one")
        return seen, frames_seen, told

    def _pieces(
        self, frames: Iterable[UInt8[np.ndarray, "H W 3"]], tick: Callable[[], None]
    ) -> Iterator[tuple[int, list[Person], int]]:
        """(number of the piece, who has left the picture, frames so far)."""
        crowd, cuts, piece, start, count = Crowd(self._tracker), CutFinder(), 0, 0, 0
        size: tuple[int, ...] | None = None
        for count, frame in enumerate(frames, 1):
            if frame.shape != (size or frame.shape):
                raise MediaError("the size of its frames changes; export it again with one size")
            size = frame.shape
            cut = cuts.step(frame) or count - 1 - start >= LONGEST_S * FPS
            crowd.step(frame, cut)
            yield piece, crowd.ended(), count
            if cut:
                piece, start = piece + 1, count - 1
            tick()
        yield piece, crowd.end(), count

    def _measure(self, piece: int, person: Person) -> Seen:
        found = person.track(FPS)
        motion = motion_from_landmarks(
            found.landmarks, found.expression, found.valid, FPS, self.basis
        )
        assert person.face is not None and person.around is not None
        face = self._embedder.embed(person.around, person.face.landmarks)
        track = Track.of(found.landmarks, found.expression, found.valid, found.image_size)
        x = float(found.landmarks[..., 0].mean()) / found.image_size[0]
        gap = self.basis.lip_gap(motion.values)
        return Seen(piece, person.first, motion, gap, track, face, x)


def _unusable(person: Person) -> str:
    """Why somebody cannot be learned from; empty for who can."""
    frames = person.end - person.first
    if frames < LEAST_S * FPS:
        return f"seen for {frames / FPS:.1f} s, less than {LEAST_S:g} s"
    share = np.mean([mesh is not None for mesh in person.seen[:frames]])
    if share < LEAST_SEEN:
        return f"the face is seen in only {100 * share:.0f}% of the frames"
    assert person.face is not None
    if person.face.width < MIN_FACE_WIDTH:
        return f"the face is {person.face.width:.0f} pixels wide; wanted {MIN_FACE_WIDTH}"
    if abs(person.face.yaw) > MOST_YAW:
        return "the face is never seen from the front"
    return ""


def name_people(seen: Sequence[Seen]) -> list[int]:
    """Whose face each is, as numbers from 0: those who look alike and are never there together are
    one. Who is first in the video is 0, from the left.
    """
    order = sorted(range(len(seen)), key=lambda n: (seen[n].first, seen[n].x))
    groups: list[list[int]] = []
    for n in order:
        likeness = [_likeness(seen, n, group) for group in groups]
        best = int(np.argmax(likeness)) if likeness else -1
        if best >= 0 and likeness[best] >= SAME_FACE:
            groups[best].append(n)
        else:
            groups.append([n])
    names = [0] * len(seen)
    for number, group in enumerate(groups):
        for n in group:
            names[n] = number
    return names


def _likeness(seen: Sequence[Seen], n: int, group: Sequence[int]) -> float:
    """Cosine of a face and a person; -1 where the person was there at the same time."""
    one = seen[n]
    known = [seen[m].face for m in group]
    if one.face is None or any(seen[m].first < one.end and one.first < seen[m].end for m in group):
        return -1.0
    mean = np.mean([face for face in known if face is not None], axis=0)
    return float(one.face @ mean / max(float(np.linalg.norm(mean)), 1e-6))
