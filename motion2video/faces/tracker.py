"""Faces in pictures and videos: where they are, their 478 landmarks, what they express.

    tracker = FaceTracker.load()
    face, notice = pick_face(tracker.detect(image), "largest")
    track = tracker.track(frames, fps=25)

MediaPipe's own detector finds faces between a tenth of the picture and all of it; `detect` looks
again in a padded picture and in ever smaller tiles when it sees none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from motion2video.faces.boxes import Box, box_of, cut, distance, scaled, square, tile_levels
from motion2video.faces.insight import Detection, InsightDetector
from motion2video.faces.landmarker import Landmarker, Mesh
from weights import find
from weights.errors import FaceError, InputError, MediaError, StateError

MIN_FACE_WIDTH = 64
_LYING, _REVERSED = 60.0, 135.0  # degrees of roll from which on a photo lies so
_DETECTORS = ("mediapipe", "insightface")
_PADDED = 1024  # long side of the picture that is searched with a margin around it
_CROP = 2.2  # side of the square around a face, in face sizes: how tight MediaPipe still detects
_REGION = 3.5  # the same for following a small face through a video
_SMALL = 0.12  # of the picture's long side: below, the video's detector is on its limit
_REFINED = 0.2  # below, a face found in the whole picture is looked at again from closer
_SETTLING = 5  # looks until the landmarks of a still picture stand still within 0.03 pixels
_SEARCH_EVERY = 5  # frames between two thorough searches for a lost face
_REACH = 1.0  # how far a face may move from frame to frame, in face widths


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one picture.

    `landmarks` [478, 3] are pixels: x to the right, y down, z on the same scale with smaller =
    nearer. `expression` [52] are MediaPipe's scores in [0, 1], of the face as it is and not
    relative to its neutral. `box` is (x0, y0, x1, y1) around the landmarks, `image_size` (w, h).
    """

    landmarks: Float[np.ndarray, "478 3"]
    expression: Float[np.ndarray, "52"]
    box: Box
    image_size: tuple[int, int]

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return self.box[2] - self.box[0]

    @property
    def area(self) -> float:
        """Area of the box in pixels."""
        return self.width * (self.box[3] - self.box[1])

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def yaw(self) -> float:
        """How far the head is turned, in degrees; positive = towards the picture's right.

        From the cheek-to-cheek line: within 2 degrees (95%) of MediaPipe's fitted head pose on
        4,428 frames of 192 clips.
        """
        across = self.landmarks[454] - self.landmarks[234]
        return 0.926 * float(np.degrees(np.arctan2(across[2], across[0])))

    @property
    def roll(self) -> float:
        """How far the head lies on its side in the picture, in degrees; positive = clockwise."""
        x, y, _ = self.landmarks[263] - self.landmarks[33]
        return float(np.degrees(np.arctan2(y, x)))

    @property
    def lies(self) -> int:
        """By how many quarters to the left its picture has to be turned for it to be upright: 1, or
        -1, which is to the right, or 2; 0 where it is.
        """
        if abs(self.roll) > _REVERSED:
            return 2
        return 0 if abs(self.roll) < _LYING else 1 if self.roll > 0 else -1


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face through a video: `landmarks` [T, 478, 3] and `expression` [T, 52] as in `Face`.

    Where `valid` [T] is False no face was seen and both are filled in linearly (held at the
    ends). `notices` are sentences for the user.
    """

    landmarks: Float[np.ndarray, "T 478 3"]
    expression: Float[np.ndarray, "T 52"]
    valid: Bool[np.ndarray, "T"]
    fps: float
    image_size: tuple[int, int]
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.valid)


def pick_face(faces: list[Face], rule: str = "largest") -> tuple[Face, str | None]:
    """The face that a rule names, and a notice when there was a choice.

    Rules: "largest", "leftmost", or a number from "1", counted from the left. Raises FaceError
    for no faces or a number that is not there, InputError for another rule.
    """
    if not faces:
        raise FaceError("no face found; use a picture with a face that looks towards the camera")
    ordered = sorted(faces, key=lambda face: face.centre[0])
    if rule == "largest":
        index = max(range(len(ordered)), key=lambda i: ordered[i].area)
    elif rule == "leftmost":
        index = 0
    elif rule.isdecimal():
        index = int(rule) - 1
        if not 0 <= index < len(ordered):
            raise FaceError(
                f"there is no face {rule}: {_count(len(ordered))} found; "
                f"choose {_choices(len(ordered))}"
            )
    else:
        raise InputError(f"got face={rule!r}; wanted largest, leftmost or a number from 1")
    if len(ordered) == 1:
        return ordered[0], None
    face = ordered[index]
    which = f"face {index + 1}" if rule.isdecimal() else f"the {rule}"
    place = ("at the left", "in the middle", "at the right")[_third(face)]
    return face, (
        f"{len(ordered)} faces found, using {which} {place}; "
        f"choose with --face {_choices(len(ordered))} (from left to right)"
    )


class FaceTracker:
    """Finds faces; load once, use from any number of pictures and videos.

    `detector="insightface"` finds the boxes with InsightFace (optional; its model packs are for
    non-commercial research only) and takes landmarks from MediaPipe inside them.
    """

    def __init__(self, model: Path, max_faces: int, detector: InsightDetector | None) -> None:
        self._model = model
        self._max_faces = max_faces
        self._detector = detector
        self._stills = Landmarker(model, max_faces, video=False)

    @staticmethod
    def load(
        detector: str = "mediapipe", max_faces: int = 5, root: Path | None = None
    ) -> "FaceTracker":
        """`root`: folder with InsightFace's ONNX files, for `detector="insightface"`.

        Raises InputError for an unknown detector, WeightsError for missing models,
        DependencyError when insightface is asked for and not installed.
        """
        if detector not in _DETECTORS:
            raise InputError(f"got detector={detector!r}; wanted {' or '.join(_DETECTORS)}")
        second = InsightDetector.load(root) if detector == "insightface" else None
        return FaceTracker(find("face_landmarker"), max_faces, second)

    def detect(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Face]:
        """The faces of a picture, largest first; empty when there are none."""
        if self._detector is None:
            faces = self._search(image)
        else:
            found: list[Detection] = self._detector.detect(image)
            faces = self._faces_in(image, [d.box for d in found])
        return _merge(faces)[: self._max_faces]

    def sureness(self, image: UInt8[np.ndarray, "H W 3"], box: Box) -> float:
        """How sure it is that a box shows a face as it is, upright or on its side: a logit, of its
        surest one. No face is 0.
        """
        crop, _ = cut(image, square(box, _CROP))
        return self._stills.surest(crop)

    def settle(self, image: UInt8[np.ndarray, "H W 3"], face: Face) -> Face:
        """The same face with the landmarks that `track` gives on a still picture.

        MediaPipe places a face by its coarse detector first and by its own landmarks from then
        on; on 512 px portraits the first look is off by 0.4 to 0.7 pixels on average.
        """
        landmarker = Landmarker(self._model, 1, video=True)
        return _settle(landmarker, image, square(face.box, _CROP), face)

    def track(
        self, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float, face: str = "largest"
    ) -> FaceTrack:
        """Follow one face, chosen by `face` in the first frame that has any, through a video.

        Frames are taken one at a time. No smoothing. Raises FaceError when no frame has a face,
        MediaError when there are no frames or their size changes.
        """
        if not (np.isfinite(fps) and fps > 0):
            raise InputError(f"got {fps} fps; wanted a positive rate")
        follower = Follower(self, face)
        meshes = [follower.step(frame) for frame in _same_size(frames)]
        if not meshes:
            raise MediaError("the video has no frames; wanted at least one")
        valid = np.array([mesh is not None for mesh in meshes])
        if not valid.any():
            raise FaceError(
                f"none of the {len(meshes)} frames shows a face; use a video with a face that "
                "looks towards the camera"
            )
        notices = follower.notices
        if not valid.all():
            notices = (
                *notices,
                f"no face in {np.sum(~valid)} of {len(valid)} frames; filled in from the others",
            )
        seen = [mesh for mesh in meshes if mesh is not None]
        return FaceTrack(
            filled(np.stack([mesh[0] for mesh in seen]), valid),
            filled(np.stack([mesh[1] for mesh in seen]), valid),
            valid,
            float(fps),
            follower.image_size,
            notices,
        )

    def _search(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Face]:
        """The whole picture, then a padded one, then smaller and smaller tiles, up to the first
        that shows a face."""
        height, width = image.shape[:2]
        faces = _faces(self._stills(image), (0, 0), image)
        if faces:
            small = _REFINED * max(width, height)
            return [f if f.width > small else self._face_in(image, f.box) or f for f in faces]
        faces = self._faces_in(image, self._look_padded(image))
        for tiles in tile_levels(width, height):
            if faces:
                break
            seen = [face for tile in tiles for face in _faces(*self._look(image, tile), image)]
            faces = self._faces_in(image, [face.box for face in _merge(seen)])
        return faces

    def _look_padded(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Box]:
        """Boxes of faces that fill the picture or lean out of it."""
        import cv2

        height, width = image.shape[:2]
        scale = max(1.0, max(height, width) / _PADDED)
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        margin = max(size) // 2
        around = box_of(-margin, -margin, size[0] + margin, size[1] + margin)
        faces = _faces(*self._look(small, around), small)
        return [scaled(face.box, scale) for face in faces]

    def _look(
        self, image: UInt8[np.ndarray, "H W 3"], box: Box
    ) -> tuple[list[Mesh], tuple[int, int]]:
        """Meshes inside a box of the picture, and the box's corner."""
        crop, corner = cut(image, box)
        return self._stills(crop), corner

    def _faces_in(self, image: UInt8[np.ndarray, "H W 3"], boxes: list[Box]) -> list[Face]:
        """The faces of those boxes that do show one."""
        return [face for box in boxes if (face := self._face_in(image, box)) is not None]

    def _face_in(self, image: UInt8[np.ndarray, "H W 3"], box: Box) -> Face | None:
        """The face that fills a detected box, seen in a square crop around it."""
        faces = _faces(*self._look(image, square(box, _CROP)), image)
        size = max(box[2] - box[0], box[3] - box[1])
        near = [face for face in faces if distance(face.box, box) < 0.5 * size]
        return min(near, key=lambda face: distance(face.box, box), default=None)


class Follower:
    """One face through a video: which, where it was, what part of the frame the video landmarker
    sees (all of it, or for a small face a region around it). `step` finds it by `rule` and searches
    for it when it is lost; who knows which one it is calls `begin` and then `follow`."""

    def __init__(self, tracker: FaceTracker, rule: str = "largest") -> None:
        self.notices: tuple[str, ...] = ()
        self.image_size = (0, 0)
        self._tracker = tracker
        self._rule = rule
        self._landmarker: Landmarker | None = None
        self._several = False
        self._region = box_of(0, 0, 0, 0)
        self._last: Face | None = None
        self._lost = 0

    def step(self, frame: UInt8[np.ndarray, "H W 3"]) -> Mesh | None:
        """The followed face's mesh in the next frame, None when it is not seen."""
        self.image_size = (frame.shape[1], frame.shape[0])
        face = self._follow(frame)
        if face is None and self._lost % _SEARCH_EVERY == 0:
            face = self._find(frame)
        if face is None:
            self._lost += 1
            return None
        self._lost = 0
        self._last = face
        return face.landmarks, face.expression

    def begin(self, frame: UInt8[np.ndarray, "H W 3"], face: Face) -> Face:
        """Follow this face of a frame, which may have company; as it is seen from then on."""
        self.image_size = face.image_size
        self._several, self._lost = True, 0
        self._last = self._aim(frame, face)
        return self._last

    def follow(self, frame: UInt8[np.ndarray, "H W 3"]) -> Face | None:
        """The face in the next frame, looked for only around where it was."""
        face = self._follow(frame)
        self._lost = 0 if face is not None else self._lost + 1
        self._last = face or self._last
        return face

    @property
    def last(self) -> Face:
        """The face as it was seen last. Raises StateError before it was."""
        if self._last is None:
            raise StateError("no face is followed yet; begin with one")
        return self._last

    @property
    def lost(self) -> int:
        """Frames since it was seen last."""
        return self._lost

    def _follow(self, frame: UInt8[np.ndarray, "H W 3"]) -> Face | None:
        """By the video landmarker, from where the face was."""
        if self._landmarker is None or self._last is None:
            return None
        crop, corner = cut(frame, self._region)
        faces = _faces(self._landmarker(crop), corner, frame)
        last = self._last
        reach = _REACH * last.width * (1 + 0.25 * self._lost)
        near = [face for face in faces if distance(face.box, last.box) < reach]
        face = min(near, key=lambda face: distance(face.box, last.box), default=None)
        if face is not None and self._region != box_of(0, 0, *self.image_size):
            side = self._region[2] - self._region[0]
            if distance(face.box, self._region) > 0.2 * side or face.width > 0.5 * side:
                return self._aim(frame, face)
        return face

    def _find(self, frame: UInt8[np.ndarray, "H W 3"]) -> Face | None:
        """By a thorough search; then the video landmarker starts there."""
        faces = self._tracker.detect(frame)
        if not faces:
            return None
        if self._last is None:
            face, notice = pick_face(faces, self._rule)
            self.notices = () if notice is None else (notice,)
            self._several = len(faces) > 1
        else:
            last = self._last
            face = min(faces, key=lambda face: distance(face.box, last.box))
            if distance(face.box, last.box) > _REACH * last.width * (1 + 0.25 * self._lost):
                return None
        return self._aim(frame, face)

    def _aim(self, frame: UInt8[np.ndarray, "H W 3"], face: Face) -> Face:
        """Start a landmarker on this face: on the whole frame, or on a region when the face is
        small or has company. A running one would look where the face was in the old region."""
        width, height = face.image_size
        regional = self._several or face.width < _SMALL * max(width, height)
        self._region = square(face.box, _REGION) if regional else box_of(0, 0, width, height)
        # One face even where there are several: with more, the landmarker goes back to its
        # coarse detector in every frame, and the landmarks jitter.
        self._landmarker = Landmarker(self._tracker._model, 1, video=True)
        return _settle(self._landmarker, frame, self._region, face)


def _settle(
    landmarker: Landmarker, image: UInt8[np.ndarray, "H W 3"], region: Box, face: Face
) -> Face:
    """Let a fresh video landmarker, which sees a region of the picture, lock on to one face."""
    crop, corner = cut(image, region)
    (x0, y0, x1, y1), (x, y) = square(face.box, _CROP), corner
    alone = np.full_like(crop, 128)
    window = np.s_[max(round(y0 - y), 0) : round(y1 - y), max(round(x0 - x), 0) : round(x1 - x)]
    alone[window] = crop[window]
    for _ in range(_SETTLING):
        faces = _faces(landmarker(alone), corner, image)
        near = [f for f in faces if distance(f.box, face.box) < 0.5 * face.width]
        face = min(near, key=lambda f: distance(f.box, face.box), default=face)
    return face


def _faces(
    meshes: list[Mesh], corner: tuple[int, int], image: UInt8[np.ndarray, "H W 3"]
) -> list[Face]:
    """Meshes of a crop with this corner, as faces of the whole picture."""
    size = (image.shape[1], image.shape[0])
    faces = []
    for points, expression in meshes:
        landmarks = points + np.array([*corner, 0], np.float32)
        (x0, y0), (x1, y1) = landmarks[:, :2].min(0).tolist(), landmarks[:, :2].max(0).tolist()
        faces.append(Face(landmarks, expression, (x0, y0, x1, y1), size))
    return faces


def _merge(faces: list[Face]) -> list[Face]:
    """Largest first, without those that lie on a larger one."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.area):
        if all(distance(face.box, other.box) > 0.5 * other.width for other in kept):
            kept.append(face)
    return kept


def filled(
    seen: Float[np.ndarray, "V *shape"], valid: Bool[np.ndarray, "T"]
) -> Float[np.ndarray, "T *shape"]:
    """Values at the valid frames -> at all frames: linear in between, held at the ends."""
    known = np.flatnonzero(valid)
    frame = np.arange(len(valid))
    after = np.clip(np.searchsorted(known, frame), 0, len(known) - 1)
    before = np.clip(np.searchsorted(known, frame, side="right") - 1, 0, len(known) - 1)
    gap = np.maximum(known[after] - known[before], 1)
    weight = np.clip((frame - known[before]) / gap, 0, 1).astype(np.float32)
    weight = weight.reshape(-1, *[1] * (seen.ndim - 1))
    return seen[before] * (1 - weight) + seen[after] * weight


def _same_size(frames: Iterable[UInt8[np.ndarray, "H W 3"]]) -> Iterator[np.ndarray]:
    """The frames; raises MediaError at one of another size than the first."""
    size: tuple[int, ...] | None = None
    for index, frame in enumerate(frames):
        if frame.shape != (size or frame.shape):
            raise MediaError(
                f"frame {index} is {frame.shape[1]}x{frame.shape[0]} pixels, the first was "
                f"{(size or frame.shape)[1]}x{(size or frame.shape)[0]}; wanted one size"
            )
        size = frame.shape
        yield frame


def _third(face: Face) -> int:
    return int(np.clip(3 * face.centre[0] / face.image_size[0], 0, 2))


def _count(faces: int) -> str:
    return "1 face was" if faces == 1 else f"{faces} faces were"


def _choices(faces: int) -> str:
    return "1" if faces == 1 else f"1..{faces}"
