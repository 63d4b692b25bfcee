"""Several people through a video, each followed apart, from shot to shot.

    crowd = Crowd(FaceTracker.load())
    for frame in frames:
        crowd.step(frame, cut=False)
    for one in crowd.ended():
        one.track(fps)

Who is lost for long, and everybody at a cut, ends there: the same person is somebody new after it.
Whether two of them are one person is not decided here.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from motion2video.faces.boxes import distance
from motion2video.faces.landmarker import Mesh
from motion2video.faces.tracker import Face, FaceTrack, FaceTracker, Follower, filled

SEARCH_EVERY = 25
"""Frames between two looks for people who have come into the picture."""
_SEARCH_LOST = 5  # the same while somebody is lost, or nobody there
_GIVEN_UP = 50  # frames after which somebody who is lost is gone
_SAME = 0.5  # two faces nearer than this, in widths of the larger, are one
_NEAR = 1.5  # how far somebody who was lost may have come, in face widths


@dataclass(eq=False)
class Person:
    """One face from where it came into the picture: `first` is the number of that frame, `seen`
    what was seen in each frame from then on. `face` is a good view of it, with the frame cut to
    what is around it.
    """

    first: int
    follower: Follower
    seen: list[Mesh | None] = field(default_factory=list)
    face: Face | None = None
    around: UInt8[np.ndarray, "h w 3"] | None = None
    sharp: float = -1.0

    @property
    def end(self) -> int:
        """The number of the frame after the last in which it was seen."""
        last = max(i for i, mesh in enumerate(self.seen) if mesh is not None)
        return self.first + last + 1

    def track(self, fps: float) -> FaceTrack:
        """From `first` to `end`; frames in between in which it was not seen are filled in."""
        seen = self.seen[: self.end - self.first]
        valid = np.array([mesh is not None for mesh in seen])
        known = [mesh for mesh in seen if mesh is not None]
        return FaceTrack(
            filled(np.stack([mesh[0] for mesh in known]), valid),
            filled(np.stack([mesh[1] for mesh in known]), valid),
            valid,
            float(fps),
            self.follower.image_size,
        )

    def look(self, frame: UInt8[np.ndarray, "H W 3"], face: Face) -> None:
        """Keep this view where it is better: nearer to the camera and to the front."""
        worth = face.width * max(0.1, float(np.cos(np.radians(2 * face.yaw))))
        if worth <= self.sharp:
            return
        x0, y0, x1, y1 = face.box
        aside = 0.4 * (x1 - x0)
        left, top = max(0, round(x0 - aside)), max(0, round(y0 - aside))
        crop = frame[top : round(y1 + aside), left : round(x1 + aside)]
        moved = face.landmarks - np.array([left, top, 0], np.float32)
        size = (crop.shape[1], crop.shape[0])
        box = (x0 - left, y0 - top, x1 - left, y1 - top)
        self.sharp, self.around = worth, crop.copy()
        self.face = Face(moved, face.expression, box, size)


class Crowd:
    """Everybody in a video; frames are taken one at a time."""

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._frame = 0
        self._since_cut = 0
        self._here: list[Person] = []
        self._gone: list[Person] = []

    def step(self, frame: UInt8[np.ndarray, "H W 3"], cut: bool = False) -> int:
        """Look at the next frame, the first of a shot if `cut`; how many people are seen in it."""
        if cut:
            self._leave(self._here)
            self._since_cut = 0
        seen = {id(one): one.follower.follow(frame) for one in self._here}
        self._part(seen)
        lost = any(face is None for face in seen.values())
        if self._since_cut % (_SEARCH_LOST if lost or not self._here else SEARCH_EVERY) == 0:
            self._search(frame, seen)
        self._since_cut += 1
        for one in self._here:
            face = seen[id(one)]
            one.seen.append(None if face is None else (face.landmarks, face.expression))
            if face is not None:
                one.look(frame, face)
        self._leave([one for one in self._here if one.follower.lost > _GIVEN_UP])
        self._frame += 1
        return sum(face is not None for face in seen.values())

    def ended(self) -> list[Person]:
        """Those who are gone since the last time."""
        gone, self._gone = self._gone, []
        return gone

    def end(self) -> list[Person]:
        """Everybody whom `ended` has not given out yet: the video is over."""
        self._leave(self._here)
        return self.ended()

    def _leave(self, people: list[Person]) -> None:
        self._gone += [one for one in people if any(mesh is not None for mesh in one.seen)]
        self._here = [one for one in self._here if one not in people]

    def _part(self, seen: dict[int, Face | None]) -> None:
        """Where two follow one face, whose it was by the longer past keeps it."""
        by_age = sorted(self._here, key=lambda one: one.first)
        for n, one in enumerate(by_age):
            face = seen[id(one)]
            for later in by_age[n + 1 :]:
                other = seen[id(later)]
                if face is not None and other is not None and _same(face, other):
                    seen[id(later)] = None

    def _search(self, frame: UInt8[np.ndarray, "H W 3"], seen: dict[int, Face | None]) -> None:
        """Find those who are lost, and people who are new."""
        followed = [face for face in seen.values() if face is not None]
        for face in self._tracker.detect(frame):
            if any(_same(face, other) for other in followed):
                continue
            lost = [one for one in self._here if seen[id(one)] is None]
            reach = _NEAR * face.width
            near = [o for o in lost if distance(o.follower.last.box, face.box) < reach]
            if near:
                one = min(near, key=lambda o: distance(o.follower.last.box, face.box))
            else:
                one = Person(self._frame, Follower(self._tracker))
                self._here.append(one)
            seen[id(one)] = one.follower.begin(frame, face)
            followed.append(face)


def _same(a: Face, b: Face) -> bool:
    return distance(a.box, b.box) < _SAME * max(a.width, b.width)
