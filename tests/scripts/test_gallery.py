"""The gallery: a page, figures for every cell, and a reason for every photo that is refused."""

import json
from pathlib import Path

import cv2
import numpy as np

from app.render.demo import DEFAULT_PORTRAIT
from motion2video.motion import ROTATION, channel_index
from scripts.evaluate.gallery import COLUMNS, Photo, altered, make, poses


def test_a_small_gallery(tmp_path: Path) -> None:
    rows = [
        Photo("portrait", "embedded", DEFAULT_PORTRAIT),
        Photo("<wall>", "yours", np.full((300, 300, 3), 90, np.uint8)),
    ]
    out = tmp_path / "new" / "gallery"
    data = make(out, iter(rows), ["neutral", "ah"], size=256, side=128)
    assert json.loads((out / "gallery.json").read_text()) == json.loads(json.dumps(data))
    (row,) = data["rows"]
    assert all(f["found"] == 1 and 0 < f["mouth"] < 5 for f in row["figures"].values())
    picture = cv2.imread(str(out / row["file"]))
    assert picture is not None and picture.shape == (128, 3 * 128, 3)
    assert "face" in data["refused"]["<wall>"]
    page = (out / "index.html").read_text()
    assert row["file"] in page and "&lt;wall&gt;" in page and "<wall>" not in page


def test_poses_are_what_their_names_say() -> None:
    motion = poses(list(COLUMNS))
    names = list(COLUMNS)
    assert not motion.values[names.index("neutral")].any()
    assert motion.values[names.index("yaw +20"), ROTATION][1] == np.float32(np.radians(20))
    shut = motion.values[names.index("eyes shut")]
    assert shut[channel_index("eyeBlinkLeft")] == shut[channel_index("eyeBlinkRight")] == 1
    assert motion.values[names.index("ah"), channel_index("jawOpen")] == np.float32(0.6)


def test_kinds_of_pictures_differ() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    kinds = dict(altered(picture))
    assert len(kinds) == 8 and all(p.dtype == np.uint8 and p.ndim == 3 for p in kinds.values())
    assert kinds["large"].shape == (180, 150, 3) and kinds["low light"].mean() < 60
