"""Manifests of tiny videos, and a batch of them."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.batch.batch import Batch, EngineOptions
from app.batch.work import AvatarSettings
from app.render.demo import DEFAULT_PORTRAIT
from motion2video.motion import Motion, channel_index
from tests.app.batch.tiny import FACTORY, TinyAvatar, load

ROOT = Path(__file__).resolve().parents[3]
FRAMES = 3


@pytest.fixture(scope="session")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo whose face has been found already, in a folder with what was found."""
    folder = tmp_path_factory.mktemp("tiny")
    with Image.open(DEFAULT_PORTRAIT) as image:
        image.resize((192, 192)).save(folder / "portrait.png")
    before = os.environ.get("TINY_FOLDER")
    os.environ["TINY_FOLDER"] = str(folder)
    try:
        avatar = load(AvatarSettings(threads=1))
        list(avatar.frames(portrait=folder / "portrait.png", motion=Motion.neutral(1), size=64))
    finally:
        os.environ.pop("TINY_FOLDER") if before is None else os.environ.update(TINY_FOLDER=before)
    return folder


@pytest.fixture
def tiny(remembered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$TINY_FOLDER of this test alone: faults are asked for by files in it."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for path in remembered.iterdir():
        (folder / path.name).symlink_to(path)
    monkeypatch.setenv("TINY_FOLDER", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


@pytest.fixture
def tiny_avatar(tiny: Path) -> TinyAvatar:
    """In this process."""
    avatar = load(AvatarSettings(threads=1))
    assert isinstance(avatar, TinyAvatar)
    return avatar


def make_rows(folder: Path, count: int, frames: int = FRAMES) -> list[dict[str, Any]]:
    """Rows for `count` different videos, `frames` long, and their motion files in `folder`."""
    rows = []
    for i in range(count):
        motion = Motion.neutral(frames)
        motion.values[:, channel_index("jawOpen")] = 0.5 * i / count
        motion.save(folder / f"motion{i}.npz")
        rows.append({"portrait": "portrait.png", "motion": f"motion{i}.npz", "seed": i})
    return rows


def write_manifest(path: Path, rows: list[dict[str, Any]]) -> Path:
    """As JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def make_batch(tiny: Path, tmp_path: Path) -> Callable[..., Batch]:
    """A batch of tiny videos; keywords replace its fields."""
    (tmp_path / "portrait.png").symlink_to(tiny / "portrait.png")

    def make(rows: int | list[dict[str, Any]] = 4, workers: int = 0, **changes: Any) -> Batch:
        made = make_rows(tmp_path, rows) if isinstance(rows, int) else rows
        manifest = write_manifest(tmp_path / "manifest.jsonl", made)
        batch = Batch(
            str(manifest),
            str(tmp_path / "out"),
            {"size": 64},
            AvatarSettings(FACTORY, threads=1),
            EngineOptions(workers=workers),
        )
        return replace(batch, **changes)

    return make
