"""What is written is what is read: samples, shards, index, and what is refused."""

import json
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from app.dataset.layout import Dataset, Draft, Report, Sample, face_code, key_of
from tests.app.dataset.made import FRAMES, draft, face_vector, sample, written
from weights.errors import InputError, MediaError, MotionError


def test_a_sample_comes_back_as_it_was_written(tmp_path: Path) -> None:
    dataset = Dataset.create(tmp_path / "data", {"licence": "CC0"})
    made = draft(sample("rec-0", speech=((0.1, 0.9),), licence="CC0", size=(800, 600)))
    written(dataset, [made])
    again = Dataset.open(tmp_path / "data")
    (one,) = again.samples()
    assert again.info["licence"] == "CC0" and one.speech == ((0.1, 0.9),) and one.size == (800, 600)
    motion, track, voice = again.motion(one), again.track(one), again.voice(one)
    assert motion is not None and track is not None and voice is not None
    assert made.motion is not None and made.track is not None and made.voice is not None
    assert np.array_equal(motion.values, made.motion.values)
    assert np.abs(track.landmarks - made.track.landmarks).max() < 0.02, "pixels"
    assert np.abs(voice.samples - made.voice.samples).max() < 1e-4 and voice.frames == FRAMES
    assert again.words(one) == [("hello", 0.1, 0.5)]
    assert again.read(one, "faces.mp4") is None


def test_a_shard_is_a_tar_as_webdataset_reads_it(tmp_path: Path) -> None:
    dataset = Dataset.create(tmp_path / "data")
    written(dataset, [draft(sample("rec-0")), draft(sample("rec-1"), 1)])
    with tarfile.open(tmp_path / "data" / "shards" / "rec.tar") as tar:
        names = [info.name for info in tar]
    assert names[:5] == [
        f"rec-0.{m}" for m in ("json", "motion.npz", "track.npz", "wav", "words.json")
    ]
    assert [n.partition(".")[0] for n in names] == ["rec-0"] * 5 + ["rec-1"] * 5


def test_a_dataset_is_read_from_where_it_was_copied(tmp_path: Path) -> None:
    dataset = Dataset.create(tmp_path / "data")
    written(dataset, [draft(sample("rec-0"))])
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "data"), "/copy-of-data", recursive=True)
    there = Dataset.open("memory://copy-of-data")
    motion = there.motion(there.samples()[0])
    assert motion is not None and len(motion) == FRAMES
    with pytest.raises(InputError, match="can only be read"):
        there.reindex()


def test_conversations_are_pairs_of_one_name(tmp_path: Path) -> None:
    dataset = Dataset.create(tmp_path / "data")
    two = [sample(f"rec-{n}", f"p{n}", conversation="c", partner=f"rec-{1 - n}") for n in range(2)]
    alone = sample("rec-2", "p2", conversation="left over")
    written(dataset, [draft(s) for s in (*two, alone)])
    ((a, b),) = dataset.conversations()
    assert (a.person, b.person) == ("p0", "p1")
    dataset.write_splits({"p0": "test", "p1": "test", "p2": "train"})
    assert len(dataset.samples("test")) == 2 and not dataset.samples("val")
    assert dataset.conversations("train") == []


def test_an_embedding_is_kept_to_a_degree() -> None:
    vector = face_vector(*np.random.default_rng(0).normal(size=16))
    kept = sample("rec-0", face=face_code(vector)).embedding
    assert kept is not None and float(kept @ vector) > 0.999
    assert sample("rec-0").embedding is None


def test_names_become_keys() -> None:
    assert key_of("a b/ç.mp4") == "a-b-mp4" and key_of("...") == "unnamed"
    assert len(key_of("x" * 500)) == 60


@pytest.mark.parametrize(
    "change",
    [
        {"recording": "../../secret"},
        {"key": "a/b"},
        {"frames": -1},
        {"frames": 10**9},
        {"members": {"wav": [-5, 10]}},
        {"members": ["wav"]},
        {"speech": [["a", "b"]]},
    ],
)
def test_a_line_that_points_elsewhere_is_refused(tmp_path: Path, change: dict) -> None:
    Dataset.create(tmp_path / "data")
    line = {"key": "k", "person": "p", "recording": "r", "source": "s", "frames": 5} | change
    (tmp_path / "data" / "index.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=r"line 1 of .*index\.jsonl"):
        Dataset.open(tmp_path / "data").samples()


def test_what_is_no_dataset_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="visavis data import"):
        Dataset.open(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="empty or new folder"):
        Dataset.create(tmp_path)
    with pytest.raises(InputError, match="written to a folder"):
        Dataset.create("s3://bucket/data")
    Dataset.create(tmp_path / "data")
    info = tmp_path / "data" / "dataset.json"
    info.write_text(json.dumps({"format": "visavis-dataset", "version": 99}))
    with pytest.raises(InputError, match="wanted visavis-dataset 1"):
        Dataset.open(tmp_path / "data")
    info.write_text("[]")
    with pytest.raises(InputError, match="not what"):
        Dataset.open(tmp_path / "data")


def test_a_shard_that_was_cut_off_is_told(tmp_path: Path) -> None:
    dataset = Dataset.create(tmp_path / "data")
    written(dataset, [draft(sample("rec-0"))])
    (one,) = dataset.samples()
    shard = tmp_path / "data" / "shards" / "rec.tar"
    shard.write_bytes(shard.read_bytes()[: one.members["track.npz"][0] + 100])
    with pytest.raises(MediaError, match="cut off"):
        dataset.track(one)
    shard.write_bytes(b"\0" * 10**6)
    with pytest.raises(MotionError):
        dataset.track(one)
    with pytest.raises(MediaError):
        dataset.voice(one)


def test_a_recording_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """The report is what counts, and it comes last."""
    dataset = Dataset.create(tmp_path / "data")
    made = dataset.write(Report("rec", "rec.mp4", "stamp"), [draft(sample("rec-0"))])
    assert made.samples[0].members["wav"][1] == 44 + 2 * 640 * FRAMES
    assert [r.recording for r in dataset.reports()] == ["rec"]
    dataset.write(Report("none", "none.mp4", "stamp", failed="it is empty"), [])
    assert not (tmp_path / "data" / "shards" / "none.tar").exists()
    assert len(dataset.reindex()) == 1
    assert isinstance(Draft(Sample("k", "p", "r", "s", 5)).members()["json"], bytes)
