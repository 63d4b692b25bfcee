"""How near the renderer's frames of held-out people come to the true ones, and its laws.

    python -m scripts.evaluate.renderer --data DATA [--split test] [--rows warp 1 2 4 8 default]
        [--regression FILE] [--identity FILE] [--laws] [--worst FILE] [--json]

For every clip one calm frame is the photo and others, mostly with an open mouth, are to be
painted from their keypoints alone. Rows: warp only, one pass of a network trained without noise
(`--regression`), n diffusion steps in fp32, and qualities in int8, of which `default` is standard.
Figures: PSNR, SSIM and LPIPS of the face (the network's 256 px square) and of the mouth (its lips
and a quarter more on every side); the error of re-tracked mouth and eye landmarks in percent of
the interocular distance; the identity similarity with the photo. `true frame` says what a perfect
renderer would get.

`--laws`: other people's motion on held-out photos; shut mouths and eyes; flicker; seams.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import cv2
import numpy as np
import torch
from skimage.metrics import structural_similarity

from app.quality.perceptual import Lpips
from motion2video.drawing.places import LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from motion2video.drawing.stage import draw
from motion2video.drawing.warp import CROP_SIZE, Crop
from motion2video.faces.tracker import Face, FaceTracker
from motion2video.geometry.basis import FaceBasis, fit_pose, interocular
from motion2video.motion import Motion, channel_index
from motion2video.network.choices import Quality
from motion2video.network.compute import ComputeConfig
from motion2video.network.denoiser import Denoiser
from motion2video.portrait.portrait import Portrait
from motion2video.renderer import PreparedPortrait, RenderConfig, Renderer
from scripts.data.dataset import clips, stills
from scripts.data.renderer_pairs import calm_frame, eyes_at_rest, lively_frames
from scripts.evaluate.identity import Identity
from weights.errors import DependencyError

FEATURES = {"mouth": OUTER_LIPS, "eyes": RIGHT_EYE + LEFT_EYE}
ROWS = ["warp", "1", "2", "4", "8", "live", "best", "default"]
_LIDS = ((159, 145), (386, 374))
_WORST = 8
Figures = dict[str, float]


@dataclass(frozen=True)
class Case:
    """A photo, the frames that it shall become, and their landmarks: as they are, and with the
    eyes as in the photo.
    """

    identity: str
    portrait: Portrait
    frames: list[np.ndarray]
    landmarks: np.ndarray
    open_eyes: np.ndarray


@dataclass(frozen=True)
class Shown:
    """Photo, true and painted frame (squares), and the figures of the painted one."""

    pictures: tuple[np.ndarray, np.ndarray, np.ndarray]
    figures: Figures


@dataclass(frozen=True)
class Judge:
    """What figures are made with; without `lpips` or `identity` theirs are left out."""

    tracker: FaceTracker
    lpips: Lpips | None
    identity: Identity | None

    def landmarks(self, frame: np.ndarray, wanted: np.ndarray) -> Figures:
        """See landmark_error."""
        return landmark_error(frame, wanted, self.tracker)

    def alike(self, photo: Portrait, frame: np.ndarray, marks: np.ndarray) -> Figures:
        """Identity similarity of a frame with the photo."""
        if self.identity is None:
            return {}
        one = self.identity.embed(photo.image, photo.face.landmarks)
        return {"identity": float(one @ self.identity.embed(frame, marks))}

    def pictures(self, square: np.ndarray, truth: np.ndarray, points: np.ndarray) -> Figures:
        """PSNR, SSIM and LPIPS of face and mouth; `points` [478, 2] in the square."""
        box = mouth_box(points)
        figures = {}
        for name, a, b in (("face", square, truth), ("mouth", square[box], truth[box])):
            figures[f"{name} PSNR"] = psnr(a, b)
            figures[f"{name} SSIM"] = ssim(a, b)
            if self.lpips is not None:
                one, two = (torch.from_numpy(x).permute(2, 0, 1)[None] / 255 for x in (a, b))
                with torch.inference_mode():
                    figures[f"{name} LPIPS"] = float(self.lpips(one, two))
        return figures


def cases(data: Path, split: str, clips_each: int, targets: int) -> Iterator[Case]:
    """At most `clips_each` clips an identity of the split, `targets` frames each."""
    seen: dict[str, int] = {}
    rng, basis = np.random.default_rng(0), FaceBasis.load()
    for clip in clips(data, split):
        seen[clip.identity] = seen.get(clip.identity, 0) + 1
        if not clip.filmed or seen[clip.identity] > clips_each:
            continue
        pictures, marks, motion = clip.pictures(), clip.track()["landmarks"], clip.motion()
        if abs(len(pictures) - len(marks)) > 1 or len(marks) < 10:
            continue
        marks = marks[: len(pictures)]
        source = calm_frame(marks, motion, rng)
        picks = lively_frames(marks, motion, source, targets, rng)
        picks = picks[[_still_there(marks[k], marks[source]) for k in picks]]
        height, width = (side // 2 * 2 for side in pictures[source].shape[:2])
        photo = np.ascontiguousarray(pictures[source][:height, :width])
        face = Face(marks[source], np.zeros(52, np.float32), (0.0, 0.0, 0.0, 0.0), (width, height))
        open_eyes = eyes_at_rest(marks, fit_pose(marks, basis.canonical), source, picks)
        frames = [np.ascontiguousarray(pictures[k][:height, :width]) for k in picks]
        yield Case(clip.identity, Portrait(photo, face), frames, marks[picks], open_eyes)


def _still_there(marks: np.ndarray, source: np.ndarray) -> bool:
    """Whether a face is inside the square around the photo's: clips with a cut or a moving camera
    have frames that no square can show.
    """
    points = Crop.around(source).to_crop(marks[:, :2])
    return bool(points.min() >= 0 and points.max() <= CROP_SIZE)


def mouth_box(points: np.ndarray) -> tuple[slice, slice]:
    """The lips of landmarks [478, 2] and a quarter of their width more on every side, at least
    32 px, inside the square.
    """
    low, high = points[OUTER_LIPS].min(0), points[OUTER_LIPS].max(0)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2 + 0.25 * (high - low)[0], 16)
    low = np.clip(centre - half, 0, CROP_SIZE - 32).astype(int)
    high = np.maximum(np.clip(centre + half, 0, CROP_SIZE).astype(int), low + 32)
    return np.s_[low[1] : high[1], low[0] : high[0]]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures."""
    return float(-10 * np.log10(max(((a / 255.0 - b / 255.0) ** 2).mean(), 1e-9)))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two uint8 pictures."""
    similarity: Any = structural_similarity(a, b, channel_axis=-1)  # its return type is untyped
    return float(similarity)


def landmark_error(frame: np.ndarray, wanted: np.ndarray, tracker: FaceTracker) -> Figures:
    """Mean distance of re-tracked landmarks, percent of the interocular distance.

    `found` is 0, and there are no distances, when no face is where it should be (others may be
    in the picture).
    """
    unit = float(interocular(wanted))
    all_away = [
        np.linalg.norm(face.landmarks[:, :2] - wanted[:, :2], axis=1) / unit
        for face in tracker.detect(frame)
    ]
    away = min(all_away, key=np.mean, default=None)
    if away is None or away.mean() > 0.5:
        return {"found": 0.0}
    return {"found": 1.0, **{k: float(away[v].mean() * 100) for k, v in FEATURES.items()}}


def renderer_of(row: str, regression: Path | None = None) -> Renderer:
    """The renderer of a row of the table."""
    if row == "default":
        return Renderer.load(RenderConfig(), ComputeConfig(device="cpu"))
    if row in get_args(Quality):
        return Renderer.load(RenderConfig(cast(Quality, row)), ComputeConfig(device="cpu"))
    compute = ComputeConfig(device="cpu", backend="torch", precision="fp32")
    if row != "regression":
        return Renderer.load(RenderConfig(steps=0 if row == "warp" else int(row)), compute)
    if regression is None:
        raise ValueError("the row `regression` needs the file of a network trained without noise")
    config = RenderConfig(steps=1, temperature=0.0)
    embedded = Renderer.load(config, compute)
    denoiser = Denoiser.load(regression)
    return Renderer(config, compute, embedded.basis, embedded.autoencoder, denoiser)


def evaluate(
    chosen: list[Case], renderers: dict[str, Renderer], judge: Judge
) -> dict[str, list[Shown]]:
    """What every renderer made of every frame, and the true frames."""
    shown: dict[str, list[Shown]] = {name: [] for name in [*renderers, "true frame"]}
    for case in chosen:
        crop = Crop.around(case.portrait.face.landmarks)
        prepared = {n: r.init_state(case.portrait).prepared for n, r in renderers.items()}
        photo = crop.cut(case.portrait.image)
        for frame, marks, before in zip(case.frames, case.landmarks, case.open_eyes, strict=True):
            truth, points = crop.cut(frame), crop.to_crop(marks[:, :2])
            for name, own in prepared.items():
                painted = draw(own.stage, marks[None], before[None])[0]
                square = crop.cut(painted)
                figures = judge.pictures(square, truth, points)
                figures |= judge.landmarks(painted, marks)
                figures |= judge.alike(case.portrait, painted, marks)
                shown[name].append(Shown((photo, truth, square), figures))
            figures = judge.landmarks(frame, marks) | judge.alike(case.portrait, frame, marks)
            shown["true frame"].append(Shown((photo, truth, truth), figures))
    return shown


def control(chosen: list[Case], judge: Judge) -> Figures:
    """What the identity similarity is for another person's photo: the floor of that figure."""
    if judge.identity is None:
        return {}
    embed = judge.identity.embed
    photos = [(c.identity, embed(c.portrait.image, c.portrait.face.landmarks)) for c in chosen]
    others = [float(a @ b) for i, a in photos for k, b in photos if i < k]
    return {"identity": round(float(np.mean(others)), 3)} if others else {}


def laws(data: Path, split: str, judge: Judge, photos: int = 16) -> dict[str, Figures]:
    """Figures of what must hold for any photo: stills of the split, sharp ones and small ones,
    with the default renderer.

    `other people's motion`: landmarks and identity with clips of the split's other people.
    `shut`: gap of lips and of lids, percent of the interocular distance, in the re-tracked frame,
    for a neutral mouth and for shut eyes; open lids for comparison. `held`: mean difference of
    successive frames, in grey levels, of a held pose, and with noise of a tracker (std 0.003).
    `seams`: greatest difference of any pixel between motion in one piece and in pieces.
    """
    renderer = renderer_of("default")
    drivers = [c.motion().values[:25:4] for c in clips(data, split) if c.filmed]
    rng = np.random.default_rng(0)
    album = sorted(stills(data, split), key=lambda s: -float(interocular(s.landmarks)))
    sharpest = range(min(photos // 2, len(album)))
    spread = np.linspace(0, max(len(album) - 1, 0), photos - len(sharpest)).round().astype(int)
    out: dict[str, list[Figures]] = {"other people's motion": [], "shut": [], "held": []}
    out["seams"] = []
    for still in [album[i] for i in sorted({*sharpest, *spread.tolist()}) if album]:
        picture = still.picture()
        height, width = (side // 2 * 2 for side in picture.shape[:2])
        faces = judge.tracker.detect(picture[:height, :width])
        if not faces:
            continue
        photo = Portrait(np.ascontiguousarray(picture[:height, :width]), faces[0])
        prepared = renderer.init_state(photo).prepared

        driven = Motion(drivers[rng.integers(len(drivers))])
        for frame, marks in _painted(prepared, driven):
            found = judge.landmarks(frame, marks) | judge.alike(photo, frame, marks)
            out["other people's motion"].append(found)

        states = Motion.neutral(2)
        states.values[1, [channel_index("eyeBlinkLeft"), channel_index("eyeBlinkRight")]] = 1
        neutral, shut = (frame for frame, _ in _painted(prepared, states))
        seen = [judge.tracker.detect(frame) for frame in (neutral, shut)]
        if all(seen):
            (rest, *_), (blink, *_) = seen
            gaps = {"lips": _gap(rest.landmarks, 13, 14)}
            for name, face in (("open lids", rest), ("shut lids", blink)):
                gaps[name] = float(np.mean([_gap(face.landmarks, a, b) for a, b in _LIDS]))
            out["shut"].append(gaps)

        pose = driven.values[len(driven) // 2]
        trembling = pose + rng.normal(0, 0.003, (6, len(pose))).astype(np.float32)
        held = {
            name: _flicker(list(renderer.stream(photo, [Motion(values)])))
            for name, values in (("still", np.repeat(pose[None], 6, 0)), ("noisy", trembling))
        }
        out["held"].append(held)
        whole = np.stack(list(renderer.stream(photo, [driven])))
        parts = [Motion(driven.values[:1]), Motion(driven.values[1:4]), Motion(driven.values[4:])]
        cut = np.stack(list(renderer.stream(photo, parts)))
        out["seams"].append({"difference": float(np.abs(whole.astype(int) - cut).max())})
    return {name: summary(rows) for name, rows in out.items()}


def _painted(prepared: PreparedPortrait, motion: Motion) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    marks, open_eyes = prepared.face.keypoints(motion)
    for k in range(len(marks)):
        yield draw(prepared.stage, marks[k : k + 1], open_eyes[k : k + 1])[0], marks[k]


def _gap(marks: np.ndarray, a: int, b: int) -> float:
    return float(np.linalg.norm(marks[a, :2] - marks[b, :2]) / interocular(marks) * 100)


def _flicker(frames: list[np.ndarray]) -> float:
    return float(np.abs(np.diff(np.stack(frames).astype(np.int16), axis=0)).mean())


def summary(rows: list[Figures]) -> Figures:
    """Means, and the least identity similarity."""
    keys = dict.fromkeys(k for row in rows for k in row)
    means = {k: round(float(np.mean([row[k] for row in rows if k in row])), 3) for k in keys}
    if "identity" in means:
        means["least identity"] = round(min(row["identity"] for row in rows), 3)
    return {"frames": float(len(rows)), **means}


def draw_worst(shown: list[Shown], file: Path) -> None:
    """A picture of the frames with the worst mouths, eyes and identity: photo, true, painted."""
    orders: list[tuple[str, Callable[[Shown], float]]] = [
        ("mouth", lambda s: -s.figures.get("mouth", 1e3)),
        ("eyes", lambda s: -s.figures.get("eyes", 1e3)),
        ("identity", lambda s: s.figures.get("identity", 1.0)),
        ("mouth LPIPS", lambda s: -s.figures.get("mouth LPIPS", 0.0)),
    ]
    columns = []
    for name, order in orders:
        rows = []
        for one in sorted(shown, key=order)[:_WORST]:
            row = np.concatenate(one.pictures, 1)
            text = f"{name} {one.figures.get(name, float('nan')):.3f}"
            rows.append(cv2.putText(row.copy(), text, (4, 14), 0, 0.45, (255, 255, 0), 1))
        columns.append(np.concatenate(rows))
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.concatenate(columns, 1)[..., ::-1])


def _lpips() -> Lpips | None:
    try:
        return Lpips()
    except DependencyError as error:
        print(f"no LPIPS: {error}")
        return None


def main() -> None:
    """Parse the command line, evaluate, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--rows", nargs="*", default=ROWS, choices=ROWS, help="default: all")
    parser.add_argument("--regression", type=Path, help="a network trained without noise")
    parser.add_argument(
        "--identity", type=Path, help="MobileFaceNet.tflite, see scripts.evaluate.identity"
    )
    parser.add_argument("--clips-each", type=int, default=6)
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--laws", action="store_true", help="after the table")
    parser.add_argument("--worst", type=Path, help="picture of the last row's worst frames")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    judge = Judge(FaceTracker.load(), _lpips(), Identity(a.identity) if a.identity else None)
    names = [*(["regression"] if a.regression else []), *a.rows]
    table: dict[str, Figures] = {}
    if names:
        chosen = list(cases(a.data, a.split, a.clips_each, a.targets))
        renderers = {name: renderer_of(name, a.regression) for name in names}
        shown = evaluate(chosen, renderers, judge)
        table = {name: summary([one.figures for one in rows]) for name, rows in shown.items()}
        if judge.identity:
            table["another person"] = control(chosen, judge)
        if a.worst:
            draw_worst(shown[names[-1]], a.worst)
    if a.laws:
        table |= laws(a.data, a.split, judge)
    if a.json:
        print(json.dumps(table))
        return
    for name, row in table.items():
        print(f"{name}: " + "  ".join(f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
