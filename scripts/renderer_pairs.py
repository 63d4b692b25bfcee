"""Training pairs of the renderer: a photo warped to another frame's keypoints, and that frame.

Sources are mostly frames with a closed mouth and open eyes (as portraits are), targets mostly
open mouths and blinks. Stills have no second frame: they are asked to paint their own mouth back,
without a reference. Pairs are kept as memory-mapped arrays, so a run starts at once the next time.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from motion2video.autoencoder import Autoencoder
from motion2video.geometry import FaceBasis, HeadPose, fit_pose, interocular
from motion2video.motion import Motion
from motion2video.warp import CROP_SIZE, LEFT_EYE, OUTER_LIPS, RIGHT_EYE, FaceWarp, Warped
from scripts.dataset import Clip, Still, clips, stills

EYES = sorted(RIGHT_EYE + LEFT_EYE)
Recolour = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pairs:
    """`condition` [N, 256, 256, 8], `target` and `reference` [N, 256, 256, 3] (all uint8, the
    reference 0 where there is none), `latents` [N, 2, 16, 32, 32] of target and reference,
    `mouth` and `eyes` [N, 2] centres in crop pixels.
    """

    condition: np.ndarray
    target: np.ndarray
    reference: np.ndarray
    latents: np.ndarray
    mouth: np.ndarray
    eyes: np.ndarray

    def __len__(self) -> int:
        return len(self.mouth)


@dataclass(frozen=True)
class _Pair:
    warped: Warped
    target: np.ndarray
    reference: np.ndarray | None
    points: np.ndarray


def load_pairs(
    data: Path, folder: Path, autoencoder: Autoencoder, held_out: bool, seed: int = 0
) -> Pairs:
    """The pairs of the train split, or of the others; made on first use and kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["condition", "target", "reference", "latents", "mouth", "eyes"]
    files = {name: folder / f"{name}.npy" for name in names}
    if not files["eyes"].is_file():
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
    n = 0
    for pair in _pairs(chosen, rng):
        recolour = _recolour(rng) if not held_out else (lambda image: image)
        planes = (pair.warped.known[..., None], pair.warped.features)
        image = recolour(pair.warped.image) * (pair.warped.known > 0)[..., None]
        condition[n] = np.concatenate([image, *planes], -1)
        target[n] = recolour(pair.target)
        reference[n] = 0 if pair.reference is None else recolour(pair.reference)
        mouth[n], eyes[n] = pair.points[OUTER_LIPS].mean(0), pair.points[EYES].mean(0)
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


def _choose(
    data: Path, held_out: bool, rng: np.random.Generator
) -> tuple[list[tuple[Clip | Still, int]], int]:
    """Clips (70 an identity, 8 targets each; held out 12 and 4) and stills with an open mouth."""
    clips_each, targets = (12, 4) if held_out else (70, 8)
    people = defaultdict(list)
    for clip in clips(data):
        if clip.video is not None and (clip.split == "train") != held_out:
            people[clip.identity].append(clip)
    chosen: list[tuple[Clip | Still, int]] = []
    for one in people.values():
        picks = rng.choice(len(one), min(len(one), clips_each), replace=False)
        chosen += [(one[i], targets) for i in picks]
    for still in stills(data):
        marks = still.landmarks
        gap = np.linalg.norm(marks[13] - marks[14]) / interocular(marks)
        if (still.split == "train") != held_out and gap > 0.05:
            chosen.append((still, 1))
    return chosen, sum(count for _, count in chosen)


def _pairs(chosen: list[tuple[Clip | Still, int]], rng: np.random.Generator) -> Iterator[_Pair]:
    basis = FaceBasis.load()
    for item, count in chosen:
        if isinstance(item, Still):
            warp = FaceWarp(item.picture(), item.landmarks, basis.triangles)
            points = warp.crop.to_crop(item.landmarks[:, :2])
            yield _Pair(warp.warp(item.landmarks), warp.crop_image, None, points)
        else:
            yield from _of_clip(item, count, basis, rng)


def _of_clip(clip: Clip, count: int, basis: FaceBasis, rng: np.random.Generator) -> Iterator[_Pair]:
    pictures, marks, motion = clip.pictures(), clip.track()["landmarks"], clip.motion()
    if abs(len(pictures) - len(marks)) > 1 or len(marks) < 10:
        return  # the video has another rate than the track
    marks = marks[: len(pictures)]
    source = calm_frame(marks, motion, rng)
    targets = lively_frames(marks, motion, source, count, rng)
    warp = FaceWarp(pictures[source], marks[source], basis.triangles)
    pose = fit_pose(marks, basis.canonical)
    rest = _at(pose, source).unproject(marks[source : source + 1])
    for k in targets:
        below = marks[k].copy()
        below[EYES] = _at(pose, k).project(rest)[0][EYES]
        target = warp.crop.cut(pictures[k])
        points = warp.crop.to_crop(marks[k][:, :2])
        yield _Pair(warp.warp(marks[k], below), target, warp.crop_image, points)


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


def _recolour(rng: np.random.Generator) -> Recolour:
    """One change of light and colour for all pictures of a pair; none for three in ten."""
    if rng.random() < 0.3:
        return lambda image: image
    gain, bias = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3), rng.uniform(-25, 25)
    gamma = rng.uniform(0.75, 1.3)
    saturation = rng.uniform(0.0 if rng.random() < 0.15 else 0.6, 1.3)

    def change(image: np.ndarray) -> np.ndarray:
        x = image.astype(np.float32)
        grey = x.mean(-1, keepdims=True)
        x = 255 * (np.clip(grey + (x - grey) * saturation, 0, 255) / 255) ** gamma
        return np.clip((x - 128) * gain + 128 + bias, 0, 255).astype(np.uint8)

    return change


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
    return Pairs(condition, target, target, latents.astype(np.float16), mouth, eyes)
