"""Train the embedded identity network (role identity) to see faces as a larger network does.

    python -m scripts.train.identity --data DATA --teacher MobileFaceNet.tflite --out DIR
    python -m scripts.train.identity --tiny --out DIR        made-up faces, seconds

DATA is in the layout of scripts/data/dataset.py: its stills, and some frames of its clips, of the
split `train`. The teacher (scripts/evaluate/identity.py) gives each face a vector; the network
learns the vectors and how alike two faces are (Park et al. 2019, arXiv 1904.05068). Prints on
people of the other splits the share of pairs that the best threshold sorts into one person and
two, the network's and the teacher's, and the mean cosine of either kind.
"""

import argparse
import itertools
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from motion2video.faces.identity import IdentityConfig, IdentityNetwork
from motion2video.faces.insight import MESH_POINTS, align
from scripts.data.dataset import clips, stills
from scripts.evaluate.identity import Identity
from scripts.train.loop import Ahead, Held, LoopConfig, batch_workers, run
from weights.saving import writing_whole
from weights.tensors import save_safetensors

FRAMES_EACH = 3
BATCH = 64
_KINDS = 3.0  # weight of how alike two faces are, beside the vectors themselves


@dataclass(frozen=True, eq=False)
class Faces:
    """`pictures` [n, 112, 112, 3] uint8, aligned; the teacher's `vectors` [n, d]; `people` [n]."""

    pictures: np.ndarray
    vectors: np.ndarray
    people: np.ndarray

    def __len__(self) -> int:
        return len(self.people)

    @cached_property
    def shares(self) -> np.ndarray:
        """[n] how often to draw each: people with many pictures come no oftener than with the
        square root of their number.
        """
        _, who, counts = np.unique(self.people, return_inverse=True, return_counts=True)
        share = 1 / np.sqrt(counts[who])
        return share / share.sum()


def gather(data: Path, teacher: Identity, kept: Path, held_out: bool) -> Faces:
    """The faces of the split `train`, or the stills of the others; kept in a file."""
    if not kept.is_file():
        pictures, vectors, people = [], [], []

        def add(image: np.ndarray, landmarks: np.ndarray, person: str) -> None:
            pictures.append(align(image, landmarks[MESH_POINTS, :2]))
            vectors.append(teacher.embed(image, landmarks))
            people.append(person)

        for still in stills(data):
            if (still.split == "train") != held_out:
                add(still.picture(), still.landmarks, still.identity)
        for clip in clips(data):
            if not clip.filmed or held_out or clip.split != "train":
                continue
            frames, marks = clip.pictures(), clip.track()["landmarks"]
            count = min(len(frames), len(marks))
            for k in np.linspace(0, count - 1, FRAMES_EACH).astype(int):
                add(frames[k], marks[k], clip.identity)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with writing_whole(kept, "the faces") as file:  # another process may write it, too
            np.savez(file, np.stack(pictures), np.stack(vectors), np.array(people))
    with np.load(kept) as found:
        return Faces(*(found[name] for name in found.files))


def made_up(count: int = 48, seed: int = 0) -> Faces:
    """Noise whose colour is the person."""
    rng = np.random.default_rng(seed)
    people = rng.integers(0, 6, count)
    colours = np.random.default_rng(9).integers(40, 216, (6, 3))
    noise = rng.integers(-30, 30, (count, 112, 112, 3))
    vectors = np.random.default_rng(8).normal(size=(6, 192))[people]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pictures = (colours[people][:, None, None] + noise).astype(np.uint8)
    return Faces(pictures, vectors.astype(np.float32), people.astype(str))


def varied(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another light, camera and file of the same face."""
    angle, scale = rng.uniform(-6, 6), rng.uniform(0.94, 1.06)
    matrix = cv2.getRotationMatrix2D((56, 56), angle, scale)
    matrix[:, 2] += rng.uniform(-3, 3, 2)
    picture = cv2.warpAffine(picture, matrix, (112, 112), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    x = picture.astype(np.float32)
    grey = x.mean(-1, keepdims=True)
    x = grey + (x - grey) * rng.uniform(0.5, 1.3)
    x = x * rng.uniform(0.7, 1.3) * rng.uniform(0.93, 1.07, 3) + rng.uniform(-20, 20)
    if rng.random() < 0.4:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.8))
    x = np.clip(x + rng.normal(0, rng.uniform(0, 6), x.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        _, data = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])
        x = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return x


def draw(faces: Faces, size: int, step: int) -> tuple[Tensor, Tensor]:
    """Pictures [b, 3, 112, 112] in 0..1 and vectors [b, d] of a step."""
    rng = np.random.default_rng((1, step))
    picks = rng.choice(len(faces), size, p=faces.shares)
    pictures = np.stack([varied(faces.pictures[i], rng) for i in picks])
    planes = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).float() / 255
    return planes, torch.from_numpy(faces.vectors[picks])


def loss_of(model: IdentityNetwork, given: tuple[Tensor, Tensor]) -> tuple[Tensor, dict]:
    """How far the vectors, and their products with each other, are from the teacher's."""
    device = model.leave.weight.device
    pictures, wanted = (x.to(device) for x in given)
    found = model(pictures.contiguous(memory_format=torch.channels_last))
    away = 1 - (found * wanted).sum(1).mean()
    kinds = F.mse_loss(found @ found.T, wanted @ wanted.T)
    return away + _KINDS * kinds, {"away": away.item(), "kinds": kinds.item()}


def sorted_pairs(vectors: np.ndarray, people: np.ndarray) -> tuple[float, float, float]:
    """Of as many pairs of one person as there are and as many of two: the share that the best
    threshold sorts rightly, and the mean cosines of either kind.
    """
    albums = defaultdict(list)
    for i, person in enumerate(people.tolist()):
        albums[person].append(i)
    same = [(a, b) for album in albums.values() for a, b in itertools.pairwise(album)]
    rng = np.random.default_rng(0)
    other = []
    while len(other) < len(same):
        a, b = rng.integers(0, len(people), 2).tolist()
        if people[a] != people[b]:
            other.append((a, b))
    one, two = (
        np.array([float(vectors[a] @ vectors[b]) for a, b in pairs]) for pairs in (same, other)
    )
    edges = np.linspace(-0.2, 1, 121)
    best = max(((one >= e).mean() + (two < e).mean()) / 2 for e in edges)
    return float(best), float(one.mean()), float(two.mean())


def main() -> None:
    """Parse the command line, train, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument(
        "--teacher", type=Path, help="MobileFaceNet.tflite, see scripts.evaluate.identity"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="6000; 40 with --tiny")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, help="processes that draw batches")
    parser.add_argument("--save-minutes", type=float, default=LoopConfig.save_minutes)
    parser.add_argument("--tiny", action="store_true")
    a = parser.parse_args()
    if not a.tiny and (a.data is None or a.teacher is None):
        parser.error("give --data and --teacher, or --tiny for made-up faces")
    torch.manual_seed(0)
    if a.tiny:
        faces, held = made_up(), made_up(24, seed=1)
    else:
        teacher = Identity(a.teacher)
        faces = gather(a.data, teacher, a.out / "faces_train.npz", held_out=False)
        held = gather(a.data, teacher, a.out / "faces_held_out.npz", held_out=True)
    print(f"{len(faces)} faces of {len(set(faces.people.tolist()))} people", flush=True)
    model = IdentityNetwork(IdentityConfig())
    model.to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]
    steps, size = a.steps or (40 if a.tiny else 6000), 16 if a.tiny else BATCH
    ahead = Ahead(partial(draw, faces, size), batch_workers(a.workers))
    theirs = sorted_pairs(held.vectors, held.people)

    def export(values: dict[str, Tensor], step: int, minutes: float) -> Held:
        averaged = IdentityNetwork(model.config)
        averaged.load_state_dict(values)
        averaged.eval()
        planes = torch.from_numpy(held.pictures.transpose(0, 3, 1, 2).copy()).float() / 255
        with torch.inference_mode():
            found = torch.cat([averaged(part) for part in planes.split(64)]).numpy()
        state = {k: v.half().numpy() for k, v in values.items()}
        save_safetensors(a.out / "identity.safetensors", state, model.config.to_dict())
        right, one, two = sorted_pairs(found, held.people)
        print(
            f"step {step}, {minutes:.1f} min: {right:.3f} of held-out pairs (teacher "
            f"{theirs[0]:.3f}), cosine {one:.3f} of one person, {two:.3f} of two",
            flush=True,
        )
        return Held({"right": right, "same": one, "other": two}, held.pictures[0])

    config = LoopConfig(
        steps,
        a.learning_rate,
        a.minutes,
        warmup=min(100, steps // 4),
        save_minutes=a.save_minutes,
    )
    run(model, lambda step: loss_of(model, ahead(step)), export, config, a.out)


if __name__ == "__main__":
    main()
