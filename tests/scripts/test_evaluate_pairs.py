"""A model and a split in, the table out, by one command."""

import json
import sys
from pathlib import Path

import pytest

from app.dataset.layout import Dataset
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from scripts.evaluate import pairs
from tests.app.dataset.made import draft, sample, written
from tests.audio2motion.small import small_encoder, small_network

FRAMES = 120


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A conversation and somebody alone of the split `test`; one of `train`; one who is short."""
    common = {"frames": FRAMES, "voice": "own", "motion": "video"}
    samples = [
        sample("c-0", "ann", partner="c-1", conversation="c", **common),
        sample("c-1", "bob", partner="c-0", conversation="c", **common),
        sample("t-0", "cem", recording="t", **common),
        sample("u-0", "dan", recording="u", **common),
        sample("v-0", "cem", recording="v", **{**common, "frames": 30}),
    ]
    dataset = Dataset.create(tmp_path / "data")
    written(dataset, [draft(one, k) for k, one in enumerate(samples[:2])])
    for k, one in enumerate(samples[2:]):
        written(dataset, [draft(one, k + 2)])
    dataset.write_splits({"ann": "test", "bob": "test", "cem": "test", "dan": "train"})
    return tmp_path / "data"


def test_takes_are_those_of_the_split_with_their_partners(data: Path) -> None:
    found = {take.name: take for take in pairs.takes_of(data, "test", 4.0)}
    assert set(found) == {"ann__c-0", "bob__c-1", "cem__t-0"}
    other = found["ann__c-0"].partner
    assert other is not None and other.name == "bob__c-1" and other.motion.seconds == FRAMES / 25
    assert found["cem__t-0"].partner is None
    assert [take.name for take in pairs.takes_of(data, "train", 4.0)] == ["dan__u-0"]


@pytest.mark.weights("face_basis", "lip_sync")
def test_a_model_and_a_split_make_a_table(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = MotionGenerator(small_encoder(), small_network(), GeneratorConfig(steps=2))
    monkeypatch.setattr(MotionGenerator, "load", lambda config, weights=None: small)
    out, html = tmp_path / "pairs", tmp_path / "t.html"
    words = ["pairs", "--data", str(data), "--out", str(out), "--html", str(html), "--json"]
    monkeypatch.setattr(sys, "argv", words)
    pairs.main()
    told = json.loads(capsys.readouterr().out)
    assert (told["pairs"], told["people"]) == (3, 3)
    assert told["systems"] == ["generated", "another seed"]
    rows = {row["figure"]: row for row in told["rows"] if row["role"] == "all"}
    assert rows["FD pose"]["made"]["count"] == 3 and rows["FD pose"]["difference"]["count"] == 3
    assert rows["P-FD pose"]["made"]["count"] == 2  # of who has a partner
    assert any("directed gain" in note for note in told["notes"])  # five seconds are too few
    assert sorted(path.name for path in out.iterdir()) == ["made", "other", "partner", "real"]
    assert html.is_file()
