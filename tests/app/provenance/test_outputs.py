"""Every way a video leaves: marked, signed, in the log, and known again by every way to ask."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.provenance.credentials import sidecar_of
from app.provenance.detector import detect
from app.provenance.origin import OFF, Provenance
from app.provenance.record import Log
from app.render.pipeline import Avatar
from app.render.reading import HERE
from app.render.verifying import verify
from motion2video.media.video import read_video
from tests.app.provenance.making import SIDE, made
from tests.app.serving import small_avatar

pytest.importorskip("c2pa", reason="the extra `provenance` is not installed")
pytestmark = pytest.mark.weights("face_landmarker", "face_basis", "autoencoder", "denoiser")


def heard(_: str) -> None:
    """Notices that do not matter here."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Provenance:
    return Provenance(folder=tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def maker(place: Provenance) -> Avatar:
    return replace(small_avatar(), provenance=place)


@pytest.mark.parametrize("suffix", [".mov", ".webm", ".mkv", ".gif", ".webp", ".zip"])
def test_every_kind_of_file_is_marked_and_signed(
    maker: Avatar, place: Provenance, portrait: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"a{suffix}"
    told = made(maker, portrait, out)["provenance"]
    beside = sidecar_of(out)
    assert told["signed"] == ("sidecar" if suffix in (".webm", ".mkv", ".zip") else "embedded")
    assert beside.is_file() == (told["signed"] == "sidecar")
    data = beside.read_bytes() if beside.is_file() else None
    found = verify(out, place, HERE, heard, data)
    assert found.verdict == "untouched" and found.credentials is not None
    assert (found.credentials.state, found.credentials.id) == ("trusted", told["id"])
    assert found.credentials.synthetic
    if suffix not in (".gif", ".webp"):  # previews, too small and too coarse to keep it surely
        assert found.mark is not None and f"{found.mark.payload:012x}" == told["id"]


def test_the_log_has_a_line_a_video_and_no_words(
    maker: Avatar, place: Provenance, portrait: Path, tmp_path: Path
) -> None:
    before = (place.place / "made.jsonl").read_bytes() if place.place.is_dir() else b""
    said = "Nobody reads these words in any log"
    made(maker, portrait, tmp_path / "a.mp4", text=said, motion=None, voice="en")
    after = (place.place / "made.jsonl").read_bytes()
    assert after.startswith(before) and after.count(b"\n") == before.count(b"\n") + 1
    line = after[len(before) :].decode()
    assert said not in line and "words" not in line
    entry = json.loads(line)
    assert entry["kind"] == "video" and entry["seed"] == 0 and entry["provenance"] is True
    assert {"portrait", "text"} <= set(entry["inputs"]) and entry["weights"] and entry["version"]


def test_off_is_told_by_the_result_its_notices_and_the_log(
    maker: Avatar, place: Provenance, portrait: Path, tmp_path: Path
) -> None:
    plain = replace(maker, provenance=replace(place, enabled=False))
    out = tmp_path / "a.mp4"
    told = made(plain, portrait, out)
    assert told["provenance"]["watermark"] is False and told["provenance"]["signed"] is None
    assert OFF in told["notices"]
    assert next(Log(place.place).entries())["provenance"] is False
    with read_video(out) as frames:
        assert detect(list(frames)) is None


def test_a_label_stands_in_every_frame_and_nothing_else_changes(
    maker: Avatar, portrait: Path, tmp_path: Path
) -> None:
    plain = replace(maker, provenance=Provenance(enabled=False, folder=tmp_path))
    for name, label in (("with", "made with AI"), ("without", None)):
        made(plain, portrait, tmp_path / f"{name}.zip", label=label)
    pairs = zip(*(HERE.pictures(tmp_path / f"{n}.zip") for n in ("with", "without")), strict=True)
    seen = 0
    for one, two in pairs:
        rows, _ = np.nonzero((one.astype(int) - two).any(-1))
        assert len(rows) > 50 and rows.max() < 0.25 * SIDE
        seen += 1
    assert seen
