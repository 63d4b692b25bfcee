"""Training pairs of the painter: the windows of a moved photo, and what they should show.

    python -m scripts.data.window_pairs --pack PACK --data DATA --out DIR

Sources: PACK/hires (clips: the calmest frames moved to the others; stills with an open mouth:
their own mouth back, with the photo's teeth hidden; London: a calm photo moved to the smiling one),
and the talking clips of DATA, which are coarser, and say so in `sharpness`. Held out: one clip of
hires in four (scripts.data.hires), one still in ten, London's people and the identities
outside `train`. Colour and light vary, half of the pairs is mirrored.
"""

import argparse
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from motion2video.drawing.crops import condition_of
from motion2video.drawing.inside import Inside, describe
from motion2video.drawing.places import INNER_LIPS, UNIT, WINDOWS, Place
from motion2video.drawing.warp import FaceWarp
from motion2video.geometry.basis import FaceBasis, fit_pose, interocular
from motion2video.geometry.retarget import PortraitFace
from motion2video.network.autoencoder import Autoencoder
from motion2video.network.denoiser import FACTOR
from motion2video.portrait.mouth import Mouth
from scripts.data.dataset import Clip, clips, stills
from scripts.data.hires import Hires, Picture, held_out, number_of
from scripts.data.renderer_pairs import (
    calm_frame,
    compressed,
    eyes_at_rest,
    lively_frames,
    similarity,
    variation,
)

NAMES = ["condition", "target", "latents", "sharpness", "kind"]
KINDS = ["hires clip", "still", "couple", "clip"]
_OTHER = {"mouth": "mouth", "right eye": "left eye", "left eye": "right eye"}  # in a mirror
_MOST_DEGREES = 30.0
_OPEN = 0.08  # inner-lip gap over mouth width of a still that shows teeth
_STILLS = 0.6  # of them are taken
_FEW = 0.75  # of the windows of eyes are left out
_SHARD = 300  # windows a file
_ROUND = 100  # files at most of a round
_UNTOLD, _ALIGNED = 0.3, 0.3  # shares of drawn mouths: see drawn_mouth


@dataclass(frozen=True)
class Pairs:
    """Windows of one kind: `condition` [N, h, w, 8] and `target` [N, h, w, 3] uint8, `latents`
    [N, 1 + W, c, 20, 20] float16 of the target and of the photo's windows (in the corner of what
    is larger than they are), `sharpness` [N], `kind` [N] (place in KINDS).
    """

    condition: np.ndarray
    target: np.ndarray
    latents: np.ndarray
    sharpness: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.sharpness)


@dataclass(frozen=True)
class Job:
    """A photo, what it shall become, with the eyes as in the photo in `open_eyes`; `hidden`: the
    answer is the photo itself, whose mouth is not to be seen.
    """

    kind: str
    photo: Picture
    wanted: Picture
    open_eyes: np.ndarray
    hidden: bool


@dataclass(frozen=True, eq=False)
class Cut:
    """A window: `name`, `condition`, `target`, the photo's windows (`seen`), `sharpness`."""

    name: str
    condition: np.ndarray
    target: np.ndarray
    seen: dict[str, np.ndarray]
    sharpness: float


Made = Callable[[], Iterator[Job]]


def hires_jobs(hires: Hires, people: set[str], test: bool, rng: np.random.Generator) -> list[Made]:
    """Stills, clips, and London's couples; `people` are London's that may be used."""
    groups, made = defaultdict(list), list[Made]()
    for i, row in enumerate(hires.rows):
        groups[row["group"]].append(i)
    for name, members in groups.items():
        kind = hires.rows[members[0]]["kind"]
        if kind == "generated" and (number_of(name, 10) == 0) == test:
            some = [i for i in members if hires.open_ratio(i) > _OPEN and rng.random() < _STILLS]
            made += [partial(_of_still, hires, i) for i in some]
        elif kind == "clip" and held_out(name) == test and len(members) > 1:
            made.append(partial(_of_group, hires, members, rng))
    for number, both in hires.couples().items():
        if number in people and len(both) == 2:
            each = 1 if test else 4
            made.append(partial(_of_couple, hires, both["neutral"], both["smiling"], each))
            if not test:
                made.append(partial(_of_couple, hires, both["smiling"], both["neutral"], 1))
    return made


def _of_still(hires: Hires, i: int) -> Iterator[Job]:
    one = hires.picture(i)
    yield Job("still", one, one, one.landmarks, True)


def _of_group(hires: Hires, members: list[int], rng: np.random.Generator) -> Iterator[Job]:
    calm = sorted(
        members,
        key=lambda i: hires.open_ratio(i) + np.abs(np.degrees(hires.rotation(i))).max() / 90,
    )
    photos = {i: hires.picture(i) for i in calm[:3]}
    for k in members:
        i = int(rng.choice(list(photos)))
        if i != k and _apart(hires, i, k) < _MOST_DEGREES:
            laid = laid_over(hires.picture(k), photos[i])
            yield Job("hires clip", photos[i], laid, rested(photos[i], laid), False)


def _apart(hires: Hires, i: int, k: int) -> float:
    return float(np.degrees(np.abs(hires.rotation(i) - hires.rotation(k))).max())


def _of_couple(hires: Hires, one: int, other: int, count: int) -> Iterator[Job]:
    photo = hires.picture(one)
    laid = laid_over(hires.picture(other), photo)
    for _ in range(count):
        yield Job("couple", photo, laid, laid.landmarks, False)


def clip_jobs(data: Path, test: bool, rng: np.random.Generator) -> list[Made]:
    """The talking clips, some of every person."""
    people, made = defaultdict(list), list[Made]()
    for clip in clips(data):
        if clip.filmed and (clip.split == "test" if test else clip.split == "train"):
            people[clip.identity].append(clip)
    for ones in people.values():
        for n in rng.choice(len(ones), min(len(ones), 4 if test else 20), replace=False):
            made.append(partial(_of_clip, ones[n], 2 if test else 3, rng))
    return made


def _of_clip(clip: Clip, count: int, rng: np.random.Generator) -> Iterator[Job]:
    pictures, track, motion = clip.pictures(), clip.track(), clip.motion()
    marks = track["landmarks"][: len(pictures)]
    if abs(len(pictures) - len(track["landmarks"])) > 1 or len(marks) < 10:
        return
    source = calm_frame(marks, motion, rng)
    targets = lively_frames(marks, motion, source, count, rng)
    pose = fit_pose(marks, FaceBasis.load().canonical)
    rest = eyes_at_rest(marks, pose, source, targets)
    photo = Picture(_even(pictures[source]), marks[source], track["expression"][source])
    for k, eyes in zip(targets, rest, strict=True):
        wanted = Picture(_even(pictures[k]), marks[k], track["expression"][k])
        yield Job("clip", photo, wanted, eyes, False)


def _even(image: np.ndarray) -> np.ndarray:
    height, width = (n // 2 * 2 for n in image.shape[:2])
    return np.ascontiguousarray(image[:height, :width])


def laid_over(one: Picture, other: Picture) -> Picture:
    """A picture moved so that its face lies where the other's does, in a picture of that size."""
    matrix = similarity(one.landmarks[:, :2], other.landmarks[:, :2])
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    height, width = other.image.shape[:2]
    image = cv2.warpAffine(
        one.image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    marks = one.landmarks.copy()
    marks[:, :2] = marks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    marks[:, 2] *= scale
    return Picture(np.asarray(image, np.uint8), marks, one.scores)


def rested(photo: Picture, wanted: Picture) -> np.ndarray:
    """The wanted landmarks with the photo's eyes."""
    basis = FaceBasis.load()
    both = np.stack([photo.landmarks, wanted.landmarks])
    return eyes_at_rest(both, fit_pose(both, basis.canonical), 0, np.array([1]))[0]


def _plain_mouth(job: Job, face: PortraitFace) -> Mouth:
    """As the renderer draws it, who sees no more than the photo."""
    photo = job.photo
    return Mouth.fit(photo.image, photo.landmarks, face.neutral, own_teeth=not job.hidden)


def drawn_mouth(job: Job, face: PortraitFace, rng: np.random.Generator) -> Mouth:
    """The drawn mouth of a pair. Often its teeth hang where the wanted picture's do, or are that
    picture's own: the painter shall trust the drawing's layout, which moves with the head, and
    take light and colour from the photo.
    """
    mode, wanted = rng.random(), job.wanted
    plain = _plain_mouth(job, face)
    if mode < _UNTOLD:
        return plain
    own = Mouth.fit(wanted.image, wanted.landmarks, face.neutral)
    if mode < _UNTOLD + _ALIGNED:
        lower = plain.strips[-1].points[0, 1] - own.strips[-1].points[0, 1]
        return plain.hung(float(lower))
    return own.lit(rng.uniform(0.75, 1.2) * rng.uniform(0.9, 1.1, 3))


@functools.lru_cache(maxsize=4)
def warp_of(photo: Picture) -> FaceWarp:
    """The photo, made ready to be moved."""
    return FaceWarp(photo.image, photo.landmarks, FaceBasis.load().triangles)


def windows_of(job: Job, basis: FaceBasis, rng: np.random.Generator, vary: bool) -> Iterator[Cut]:
    """The windows of a job; if they `vary`, in a mirror half of the time, and few of the eyes."""
    photo, wanted = job.photo, job.wanted
    face = PortraitFace.fit(photo.landmarks, photo.scores, basis)
    mouth = drawn_mouth(job, face, rng) if vary else _plain_mouth(job, face)
    shown, frame = photo.image, photo.image
    if not job.hidden:
        frame = warp_of(photo).warp(wanted.landmarks, job.open_eyes)
    else:
        shown = shown.copy()
        inner = np.round(photo.landmarks[INNER_LIPS, :2] * 16).astype(np.int32)
        cv2.fillPoly(shown, [inner], mouth.dark.tolist(), cv2.LINE_AA, 4)
    reference = {name: Place.of(name, photo.landmarks).cut(shown) for name in WINDOWS}
    unit = float(interocular(photo.landmarks))
    change = variation(rng) if vary else (lambda image: image)
    reference = {name: change(one) for name, one in reference.items()}
    mirrored = vary and rng.random() < 0.5
    if mirrored:
        reference = {_OTHER[name]: one[:, ::-1] for name, one in reference.items()}
    for name in WINDOWS:
        if name != "mouth" and (job.hidden or (vary and rng.random() < _FEW)):
            continue
        place = Place.of(name, wanted.landmarks)
        known = describe(Inside(mouth), wanted.landmarks, name, place)
        condition = condition_of(place.cut(frame), known)
        image = condition[..., :3]
        if vary and rng.random() < 0.2:
            image = np.where(condition[..., 3:4] > 0, compressed(image, rng), image)
        planes = np.concatenate([change(image), condition[..., 3:]], -1)
        target, sharpness = change(place.cut(wanted.image)), min(1.0, unit / UNIT)
        if mirrored:
            name, planes, target = _OTHER[name], planes[:, ::-1], target[:, ::-1]
        yield Cut(name, planes, target, reference, sharpness)


class Store:
    """Windows as they come, by name."""

    def __init__(self, autoencoder: Autoencoder, first: int = 0) -> None:
        self._autoencoder = autoencoder
        self._shards = {"mouth": first, "eyes": first}
        self._seen: dict[str, np.ndarray] = {}
        self._latents: dict[str, np.ndarray] = {}
        self.found: dict[str, list[tuple[np.ndarray, ...]]] = {"mouth": [], "eyes": []}

    def add(self, cut: Cut, kind: int) -> None:
        """One window; the eyes' share a list. Its own reference comes first."""
        if cut.seen is not self._seen:
            self._seen = cut.seen
            self._latents = {key: self._encode(image) for key, image in cut.seen.items()}
        order = [cut.name, *[key for key in WINDOWS if key != cut.name]]
        parts = [self._encode(cut.target), *[self._latents[key] for key in order]]
        latents = np.zeros((len(parts), 16, 20, 20), np.float16)
        for k, part in enumerate(parts):
            latents[k, :, : part.shape[1], : part.shape[2]] = part
        numbers = np.array(cut.sharpness, np.float32), np.array(kind)
        row = (cut.condition, cut.target, latents, *numbers)
        self.found["mouth" if cut.name == "mouth" else "eyes"].append(row)

    @torch.inference_mode()
    def _encode(self, image: np.ndarray) -> np.ndarray:
        plane = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
        return self._autoencoder.encode(plane)[0].numpy()

    def save(self, folder: Path, least: int) -> None:
        """DIR/mouth and DIR/eyes, a shard of each that has so many windows."""
        for name, rows in self.found.items():
            if len(rows) < least:
                continue
            place = folder / name / f"{self._shards[name]:04d}"
            (place.parent / "new").mkdir(parents=True, exist_ok=True)
            for field, values in zip(NAMES, zip(*rows, strict=True), strict=True):
                np.save(place.parent / "new" / f"{field}.npy", np.stack(values))
            (place.parent / "new").rename(place)
            self._shards[name] += 1
            rows.clear()


def load_windows(folder: Path) -> dict[str, Pairs]:
    """What `main` has made so far."""
    found = {}
    for name in ("mouth", "eyes"):
        shards = sorted(p for p in (folder / name).iterdir() if p.name != "new")
        parts = [[np.load(p / f"{field}.npy") for p in shards] for field in NAMES]
        found[name] = Pairs(*map(np.concatenate, parts))
    return found


def made_up(autoencoder: Autoencoder, count: int = 12, seed: int = 0) -> dict[str, Pairs]:
    """Blobs with a hole at the mouth: enough to see that the network learns."""
    rng, found = np.random.default_rng(seed), {}
    for name, window in (("mouth", "mouth"), ("eyes", "right eye")):
        width, height = (FACTOR * n for n in WINDOWS[window])
        noise = rng.integers(0, 256, (count, 10, 10, 3), dtype=np.uint8)
        target = np.stack(
            [cv2.resize(n, (width, height), interpolation=cv2.INTER_CUBIC) for n in noise]
        )
        known = np.full((count, height, width, 1), 255, np.uint8)
        known[:, height // 3 : -height // 3, width // 4 : -width // 4] = 0
        condition = np.concatenate([target * (known > 0), known, *[255 - known] * 4], -1)
        latents = np.zeros((count, 4, 16, 20, 20), np.float16)
        with torch.inference_mode():
            planes = torch.from_numpy(target.astype(np.float32) / 255).permute(0, 3, 1, 2)
            code = autoencoder.encode(planes).numpy()
        latents[:, :2, :, : height // FACTOR, : width // FACTOR] = code[:, None]
        kind = np.zeros(count, np.int64)
        found[name] = Pairs(condition, target, latents, np.ones(count, np.float32), kind)
    return found


def main() -> None:
    """Parse the command line, make the pairs of both sides of the split."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", choices=["train", "held_out"])
    parser.add_argument("--first", type=int, default=0, help="number of the first file; and a seed")
    parser.add_argument(
        "--rounds", type=int, default=2, help="of the training pairs, each with other chances"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    autoencoder, basis, hires = Autoencoder.load(), FaceBasis.load(), Hires(options.pack)
    london = defaultdict(set)
    for still in stills(options.data):
        if still.name[:3].isdigit():
            london[still.split].add(still.name[:3])
    for test in (True, False):
        side = "held_out" if test else "train"
        if options.side not in (None, side):
            continue
        people = london["test"] | london["val"] if test else london["train"]
        for turn in range(1 if test else options.rounds):
            first = options.first + _ROUND * turn
            rng, store = np.random.default_rng((int(test), first)), Store(autoencoder, first)
            made = hires_jobs(hires, people, test, rng) + clip_jobs(options.data, test, rng)
            for i in rng.permutation(len(made)).tolist():
                for job in made[i]():
                    for window in windows_of(job, basis, rng, not test):
                        store.add(window, KINDS.index(job.kind))
                    store.save(options.out / side, _SHARD)
            store.save(options.out / side, 1)


if __name__ == "__main__":
    main()
