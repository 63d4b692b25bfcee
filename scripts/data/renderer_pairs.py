"""Training pairs of the renderer: a photo warped to another frame's keypoints, and that frame.

Sources are mostly frames with a closed mouth and open eyes (as portraits are), targets mostly
open mouths and blinks. Of stills, a person's picture with a closed mouth is warped to the one
with an open mouth; those without a second picture are asked to paint their own mouth back, without
a reference. Half of all pairs is mirrored; colour, light, compression and resolution vary. Pairs
are kept as memory-mapped arrays, so a run starts at once the next time.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from motion2video.drawing.warp import (
    CROP_SIZE,
    LEFT_EYE,
    OUTER_LIPS,
    RIGHT_EYE,
    Crop,
    FaceWarp,
    Warped,
)
from motion2video.geometry.basis import FaceBasis, HeadPose, fit_pose, interocular
from motion2video.motion import Motion
from motion2video.network.autoencoder import Autoencoder
from scripts.data.dataset import Clip, Still, clips, stills

EYES = sorted(RIGHT_EYE + LEFT_EYE)
Recolour = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pairs:
    """`condition` [N, 256, 256, 8], `target` and `reference` [N, 256, 256, 3] (all uint8, the
    reference 0 where there is none), `latents` [N, 2, 16, 32, 32] of target and reference,
    `mouth` and `eyes` [N, 2] centres in crop pixels, `sharpness` [N] the resolution of the target
    over that of the crop, at most 1.
    """

    condition: np.ndarray
    target: np.ndarray
    reference: np.ndarray
    latents: np.ndarray
    mouth: np.ndarray
    eyes: np.ndarray
    sharpness: np.ndarray

    def __len__(self) -> int:
        return len(self.mouth)


@dataclass(frozen=True)
class _Pair:
    warped: Warped
    target: np.ndarray
    reference: np.ndarray | None
    points: np.ndarray
    sharpness: float


@dataclass(frozen=True)
class Couple:
    """Two pictures of one person."""

    calm: Still
    lively: Still


def load_pairs(
    data: Path, folder: Path, autoencoder: Autoencoder, held_out: bool, seed: int = 0
) -> Pairs:
    """The pairs of the train split, or of the others; made on first use and kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["condition", "target", "reference", "latents", "mouth", "eyes", "sharpness"]
    files = {name: folder / f"{name}.npy" for name in names}
    if not files["sharpness"].is_file():
        _make(data, folder, autoencoder, held_out, seed)
    return Pairs(**{name: np.load(file, mmap_mode="r") for name, file in files.items()})


def _make(data: Path, folder: Path, autoencoder: Autoencoder, held_out: bool, seed: int) -> None:
    rng = np.random.default_rng((seed, held_out))
    chosen, count = _choose(data, held_out, rng)
    shape = (count, CROP_SIZE, CROP_SIZE)

    def array(name: str, channels: int) -> np.ndarray:
        path = folder / f"{name}.npy"
        return np.lib.format.open_memmap(path, "w+", np.uint8, (*shape, channels))

    condition, target, reference = array("condition", 8), array("target", 3), array("reference", 3)
    mouth, eyes = np.zeros((count, 2), np.float32), np.zeros((count, 2), np.float32)
    sharpness = np.zeros(count, np.float32)
    n = 0
    for pair in _pairs(chosen, rng):
        vary = (lambda image: image) if held_out else _variation(rng)
        mirror = slice(None, None, -1) if not held_out and rng.random() < 0.5 else slice(None)
        planes = (pair.warped.known[..., None], pair.warped.features)
        image = vary(pair.warped.image) * (pair.warped.known > 0)[..., None]
        if not held_out and rng.random() < 0.25:  # a compressed photo, a clean answer
            image = _compressed(image, rng) * (pair.warped.known > 0)[..., None]
        condition[n] = np.concatenate([image, *planes], -1)[:, mirror]
        target[n] = vary(pair.target)[:, mirror]
        reference[n] = 0 if pair.reference is None else vary(pair.reference)[:, mirror]
        mouth[n], eyes[n] = pair.points[OUTER_LIPS].mean(0), pair.points[EYES].mean(0)
        if mirror.step == -1:
            mouth[n, 0], eyes[n, 0] = CROP_SIZE - 1 - mouth[n, 0], CROP_SIZE - 1 - eyes[n, 0]
        sharpness[n] = pair.sharpness
        n += 1
        if n == count:
            break
    latents = np.zeros((n, 2, autoencoder.config.latent_channels, 32, 32), np.float16)
    for i in range(0, n, 32):
        part = slice(i, min(n, i + 32))
        for k, images in enumerate((target, reference)):
            latents[part, k] = _encode(autoencoder, images[part])
    np.save(folder / "latents.npy", latents)
    np.save(folder / "mouth.npy", mouth[:n])
    np.save(folder / "eyes.npy", eyes[:n])
    np.save(folder / "sharpness.npy", sharpness[:n])


def _choose(
    data: Path, held_out: bool, rng: np.random.Generator
) -> tuple[list[tuple[Clip | Still | Couple, int]], int]:
    """Clips (60 an identity, 7 targets each; held out 12 and 4), persons with two stills, and
    stills with an open mouth."""
    clips_each, targets = (12, 4) if held_out else (60, 7)
    people, albums = defaultdict(list), defaultdict(list)
    for clip in clips(data):
        if clip.video is not None and (clip.split == "train") != held_out:
            people[clip.identity].append(clip)
    chosen: list[tuple[Clip | Still | Couple, int]] = []
    for one in people.values():
        picks = rng.choice(len(one), min(len(one), clips_each), replace=False)
        chosen += [(one[i], targets) for i in picks]
    for still in stills(data):
        if (still.split == "train") != held_out:
            albums[still.identity].append(still)
    for album in albums.values():
        sharp = Crop.around(album[0].landmarks).side >= CROP_SIZE  # few, and the only sharp teeth
        for still in album:
            if _gap(still) > 0.05:
                chosen.append((still, 6 if sharp and not held_out else 1))
                calm = min(album, key=_gap)
                if sharp and _gap(calm) < 0.03:
                    chosen.append((Couple(calm, still), 1 if held_out else 16))
    return chosen, sum(count for _, count in chosen)


def _gap(still: Still) -> float:
    marks = still.landmarks
    return float(np.linalg.norm(marks[13] - marks[14]) / interocular(marks))


def _pairs(
    chosen: list[tuple[Clip | Still | Couple, int]], rng: np.random.Generator
) -> Iterator[_Pair]:
    basis = FaceBasis.load()
    for item, count in chosen:
        if isinstance(item, Clip):
            yield from _of_clip(item, count, basis, rng)
            continue
        alone = isinstance(item, Still)
        couple = Couple(item, item) if isinstance(item, Still) else item
        for _ in range(count):
            yield _of_couple(couple, basis, rng, alone=alone, vary=count > 1)


def _of_couple(
    couple: Couple, basis: FaceBasis, rng: np.random.Generator, alone: bool, vary: bool
) -> _Pair:
    """The calm picture warped to the other's keypoints; both turned, and coarser, at random."""
    marks = couple.calm.landmarks
    turn = _similarity(marks[:, :2], marks[:, :2])
    unit = float(interocular(marks))
    if vary:
        centre = marks[:, :2].mean(0)
        angle, scale = rng.uniform(-12, 12), min(1.0, rng.uniform(0.3, 1.6))
        scale = max(scale, 24 / unit)
        turn = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), angle, scale)
        turn[:, 2] += (scale - 1) * centre  # the picture shrinks towards its corner
    calm, calm_marks = _turned(couple.calm, turn)
    to_calm = np.vstack([turn, [0, 0, 1]]) @ np.vstack(
        [_similarity(couple.lively.landmarks[:, :2], marks[:, :2]), [0, 0, 1]]
    )
    lively, lively_marks = _turned(couple.lively, to_calm[:2])
    warp = FaceWarp(calm, calm_marks, basis.triangles)
    points = warp.crop.to_crop(lively_marks[:, :2])
    sharpness = min(1.0, warp.crop.side / CROP_SIZE)
    reference = None if alone else warp.crop_image
    return _Pair(warp.warp(lively_marks), warp.crop.cut(lively), reference, points, sharpness)


def _similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The matrix [2, 3] that turns, scales and moves one face's rigid points onto another's."""
    rigid = [33, 133, 263, 362, 168, 6, 197, 1]
    a, b = source[rigid].astype(np.float64), target[rigid].astype(np.float64)
    a_0, b_0 = a - a.mean(0), b - b.mean(0)
    z = ((a_0 @ [1, -1j]) * (b_0 @ [1, 1j])).sum() / (a_0**2).sum()
    matrix = np.array([[z.real, -z.imag], [z.imag, z.real]])
    return np.column_stack([matrix, b.mean(0) - matrix @ a.mean(0)])


def _turned(still: Still, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture and its landmarks [478, 3] under a similarity, anti-aliased."""
    picture, scale = still.picture(), float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.8:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.35 / scale)
    height, width = picture.shape[:2]
    picture = cv2.warpAffine(
        picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    marks = still.landmarks.copy()
    marks[:, :2] = marks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    marks[:, 2] *= scale
    return picture, marks


def _of_clip(clip: Clip, count: int, basis: FaceBasis, rng: np.random.Generator) -> Iterator[_Pair]:
    pictures, marks, motion = clip.pictures(), clip.track()["landmarks"], clip.motion()
    if abs(len(pictures) - len(marks)) > 1 or len(marks) < 10:
        return  # the video has another rate than the track
    marks = marks[: len(pictures)]
    source = calm_frame(marks, motion, rng)
    targets = lively_frames(marks, motion, source, count, rng)
    warp = FaceWarp(pictures[source], marks[source], basis.triangles)
    rest = eyes_at_rest(marks, fit_pose(marks, basis.canonical), source, targets)
    for k, open_eyes in zip(targets, rest, strict=True):
        target = warp.crop.cut(pictures[k])
        points = warp.crop.to_crop(marks[k][:, :2])
        sharpness = min(1.0, warp.crop.side / CROP_SIZE)
        yield _Pair(warp.warp(marks[k], open_eyes), target, warp.crop_image, points, sharpness)


def eyes_at_rest(marks: np.ndarray, pose: HeadPose, source: int, targets: np.ndarray) -> np.ndarray:
    """Landmarks [n, 478, 3] of the target frames, with the eyes as they are in the source frame."""
    out = marks[targets].copy()
    rest = _at(pose, source).unproject(marks[source : source + 1])
    for face, k in zip(out, targets, strict=True):
        face[EYES] = _at(pose, k).project(rest)[0][EYES]
    return out


def _state(marks: np.ndarray, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Lip gap in interocular distances, and blink, of every frame."""
    gap = np.linalg.norm(marks[:, 13] - marks[:, 14], axis=-1) / interocular(marks)
    blink = (motion.channel("eyeBlinkLeft") + motion.channel("eyeBlinkRight")) / 2
    return gap, blink[: len(marks)]


def calm_frame(marks: np.ndarray, motion: Motion, rng: np.random.Generator) -> int:
    """A frame that could be a portrait: most likely with closed lips and open eyes."""
    gap, blink = _state(marks, motion)
    calm = _share(np.exp(-25 * gap - 3 * blink))
    return int(rng.choice(len(marks), p=0.8 * calm + 0.2 / len(marks)))


def lively_frames(
    marks: np.ndarray, motion: Motion, source: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Frames other than `source`, most of them with an open mouth or a blink."""
    gap, blink = _state(marks, motion)
    lively = 0.3 / len(marks) + 0.5 * _share(gap + 0.01) + 0.2 * _share(blink + 0.02)
    lively[source] = 0
    return rng.choice(len(marks), min(count, len(marks) - 1), replace=False, p=_share(lively))


def _at(pose: HeadPose, k: int) -> HeadPose:
    return HeadPose(pose.rotation[k : k + 1], pose.offset[k : k + 1], pose.scale[k : k + 1])


def _share(x: np.ndarray) -> np.ndarray:
    return x / x.sum()


def _variation(rng: np.random.Generator) -> Recolour:
    """One change of light and colour for all pictures of a pair; none for three in ten."""
    if rng.random() < 0.3:
        return lambda image: image
    gain, bias = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3), rng.uniform(-25, 25)
    gamma = rng.uniform(0.75, 1.3) * (1.6 if rng.random() < 0.1 else 1.0)
    saturation = rng.uniform(0.0 if rng.random() < 0.15 else 0.6, 1.3)
    ramp = np.linspace(-1, 1, CROP_SIZE, dtype=np.float32)
    slope = rng.normal(0, 0.12, 2)  # light from one side
    light = (1 + slope[0] * ramp[:, None] + slope[1] * ramp[None])[..., None].astype(np.float32)

    def change(image: np.ndarray) -> np.ndarray:
        x = image.astype(np.float32) * light
        grey = x.mean(-1, keepdims=True)
        x = 255 * (np.clip(grey + (x - grey) * saturation, 0, 255) / 255) ** gamma
        return np.clip((x - 128) * gain + 128 + bias, 0, 255).astype(np.uint8)

    return change


def _compressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blocks and rings of a JPEG file, or grain."""
    if rng.random() < 0.3:
        grain = rng.normal(0, rng.uniform(2, 8), image.shape)
        return np.clip(image + grain, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 85))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _encode(autoencoder: Autoencoder, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        planes = torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2)
        latents = autoencoder.encode(planes.contiguous(memory_format=torch.channels_last))
        latents[planes.flatten(1).amax(1) == 0] = 0
    return latents.numpy()


def made_up(folder: Path, autoencoder: Autoencoder, count: int = 12, seed: int = 0) -> Pairs:
    """Blobs with a hole at the mouth: enough to see that the network learns."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (count, 10, 10, 3), dtype=np.uint8)
    size = (CROP_SIZE, CROP_SIZE)
    target = np.stack([cv2.resize(n, size, interpolation=cv2.INTER_CUBIC) for n in noise])
    known = np.full((count, *size, 1), 255, np.uint8)
    known[:, 150:190, 96:160] = 0
    features = np.repeat(255 - known, 4, -1)
    condition = np.concatenate([target * (known > 0), known, features], -1)
    latents = np.stack([_encode(autoencoder, target), _encode(autoencoder, target)], 1)
    mouth, eyes = np.full((count, 2), 128.0), np.full((count, 2), 100.0)
    sharpness = np.ones(count, np.float32)
    return Pairs(condition, target, target, latents.astype(np.float16), mouth, eyes, sharpness)
