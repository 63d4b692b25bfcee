"""What is measured of a finished video, with real parts and an embedder that sees mean colours."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.render import measuring
from app.render.measuring import LOOKS, Measuring, identity
from app.render.pipeline import Avatar
from app.studio.screens.markup import figures
from audio2motion.hearing.audio import SAMPLE_RATE
from audio2motion.voice.synthesis import synthesize
from motion2video.faces import insight
from motion2video.faces.insight import IdentityEmbedder
from motion2video.motion import Motion
from motion2video.portrait.portrait import Portrait
from tests.app.serving import small_avatar
from weights import load_manifest

pytestmark = pytest.mark.weights("face_landmarker", "face_basis", "autoencoder", "denoiser")


class Colours:
    """In the place of ArcFace's network: what the crop looks like at 4 x 4 pixels."""

    def get_feat(self, crop: np.ndarray) -> np.ndarray:
        small = crop.reshape(4, 28, 4, 28, 3).mean((1, 3))
        return small - small.mean()


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return replace(small_avatar(), embedder=IdentityEmbedder(Colours()))


@pytest.mark.slow
def test_the_result_says_how_lips_and_face_are(avatar: Avatar, portrait: Path, tmp_path: Path):
    """The motion is made of the voice's loudness, 3 frames late: that is what is measured."""
    from app.quality.loudness import loudness
    from motion2video.motion import MOTION_DIM, channel_index

    said = synthesize("I could talk about this for a very long time, but maybe you know better.")
    values = np.zeros((said.frames, MOTION_DIM), np.float32)
    values[:, channel_index("jawOpen")] = np.roll(loudness(said, said.frames, 25.0), 3) / 60
    result = avatar.animate(
        portrait=portrait,
        agent_audio=said,
        motion=Motion(values, 25.0),
        size=96,
        out=tmp_path / "late.mp4",
    )
    told = json.loads(json.dumps(result.to_json()))
    assert told["sync_offset_ms"] == pytest.approx(120.0, abs=60)
    assert 0.8 < told["identity"] <= 1.0
    report = told["report"]
    assert report["format"] == "visavis-report-1" and report["level"] == "red"
    rows = {row["name"]: row for row in report["checks"]}
    assert rows["lips behind the voice"]["level"] == "red"  # a frame late is green, three are not
    assert rows["length beside what was planned"]["level"] == "green"
    assert rows["nods while listening"]["value"] is None  # nobody listens for ten seconds
    shown = figures(result)
    assert "lips behind the voice" in shown and "v-red" in shown


def test_what_is_not_known_is_left_out(avatar: Avatar, portrait: Path, tmp_path: Path):
    result = replace(avatar, embedder=None).animate(
        portrait=portrait, motion=Motion.neutral(3), size=96, out=tmp_path / "still.mp4"
    )
    assert result.sync_offset_ms is None and result.identity is None
    assert result.report is not None
    assert "too little is said to tell" in figures(result)
    assert "v-report" not in figures(replace(result, report=None))


def test_another_face_is_less_alike(avatar: Avatar, portrait: Path):
    other = portrait.with_name("man_1.jpg")
    one, two = (Portrait.load(path, avatar.tracker, size=256) for path in (portrait, other))
    assert avatar.embedder is not None

    def alike(frame: np.ndarray) -> float | None:
        return identity(one, [frame], avatar.tracker, avatar.embedder)

    same, strange = alike(one.image), alike(two.image)
    assert same is not None and strange is not None
    assert same > 0.98 > strange + 0.1
    assert alike(np.full_like(one.image, 127)) is None  # nobody is there


def test_a_few_frames_are_kept_of_a_long_video(avatar: Avatar):
    measuring = Measuring(avatar.renderer.basis, 1000)
    row = np.zeros(90, np.float32)
    for k in range(1000):
        measuring.see(row, np.full((2, 2, 3), k % 251, np.uint8))
    assert [int(frame[0, 0, 0]) for frame in measuring.frames] == [125, 375 - 251, 625 - 502, 122]
    assert len(measuring.frames) == LOOKS
    assert measuring.flicker == 0


def test_models_that_are_not_there_are_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path))
    assert IdentityEmbedder.load_if_there() is None


def test_it_costs_little(avatar: Avatar):
    """Ten seconds of lips and voice, many times below a second."""
    import time

    measuring = Measuring(avatar.renderer.basis, 250)
    voice = synthesize("I could talk about this for a very long time. " * 4)
    frame = np.zeros((512, 512, 3), np.uint8)
    started = time.process_time()
    for _ in range(250):
        measuring.see(np.zeros(90, np.float32), frame)
    report = measuring.report(voice, 0.9, 10.0, Path("shown.zip"))
    assert time.process_time() - started < 2.0
    assert report.seconds < 2.0 and report["identity"].level == "green"
    assert report["length beside what was planned"].value is None  # there is no such file
    assert voice.sample_rate == SAMPLE_RATE


def test_it_is_less_than_a_tenth_of_the_work(avatar: Avatar, portrait: Path, tmp_path: Path):
    """Of two seconds in the least quality; the longer and the better, the less it is."""
    import time

    def make(name: str) -> tuple[float, float]:
        started = time.process_time()
        result = avatar.animate(
            portrait=portrait,
            agent_audio=synthesize("Nice to meet you, how are you today?"),
            size=256,
            quality="draft",
            out=tmp_path / name,
        )
        assert result.report is not None
        return result.report.seconds, time.process_time() - started

    make("first.mp4")  # loads the judges
    spent, whole = make("second.mp4")
    assert 0.01 < spent < 0.1 * whole


def test_weights_without_judges_are_measured_by_the_rest(
    avatar: Avatar, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As the files that scripts/train/all --only-free makes are."""
    manifest = load_manifest()
    roles = {n: r for n, r in manifest.roles.items() if n not in ("lip_sync", "identity")}
    monkeypatch.setattr(measuring, "load_manifest", lambda: replace(manifest, roles=roles))
    monkeypatch.setattr(insight, "load_manifest", lambda: replace(manifest, roles={}))
    assert IdentityEmbedder.load_if_there() is None
    result = replace(avatar, embedder=None).animate(
        portrait=portrait, motion=Motion.neutral(9), size=96, out=tmp_path / "still.mp4"
    )
    assert result.report is not None
    notes = {check.name: check.note for check in result.report.checks}
    assert notes["lips and voice agree"] == "the manifest has no weights called lip_sync"
    assert notes["identity"] == "the manifest has no weights called identity"
    assert result.identity is None and result.sync_offset_ms is None
