"""Every way a video leaves: marked, signed, in the log, and known again by every way to ask."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.provenance.authority import own_identity
from app.provenance.credentials import sidecar_of
from app.provenance.detector import detect
from app.provenance.origin import OFF, Provenance, digest_of
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


def test_the_manifest_says_what_a_video_is_made_of(
    maker: Avatar, portrait: Path, tmp_path: Path
) -> None:
    """Consent word by word, settings as they are, files as hashes, and weights and version."""
    import c2pa

    out = tmp_path / "a.mp4"
    told = made(maker, portrait, out, consent="I am the person shown", seed=7)["provenance"]
    with out.open("rb") as file, c2pa.Reader("video/mp4", file) as reader:
        manifest = reader.get_active_manifest()
    assert manifest is not None
    said = {one["label"]: one["data"] for one in manifest["assertions"]}
    recipe = said["org.visavis.recipe"]
    assert recipe["consent"] == "I am the person shown" and recipe["seed"] == 7
    assert recipe["inputs"]["portrait"] == digest_of(portrait)
    assert recipe["settings"]["size"] == SIDE and recipe["weights"] and recipe["version"]
    assert said["c2pa.soft-binding"]["blocks"][0]["value"] == told["id"]
    (action,) = said["c2pa.actions.v2"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")


def test_a_certificate_of_ones_own_signs(
    maker: Avatar, place: Provenance, portrait: Path, tmp_path: Path
) -> None:
    own_identity(tmp_path / "own")
    chain, key = tmp_path / "own" / "certificate.pem", tmp_path / "own" / "key.pem"
    given = replace(place, certificate=chain, private_key=key)
    out = tmp_path / "a.mp4"
    made(replace(maker, provenance=given), portrait, out)
    for provenance, state in ((place, "valid"), (replace(place, trusts=chain), "trusted")):
        found = verify(out, provenance, HERE, heard).credentials
        assert found is not None and found.state == state


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
