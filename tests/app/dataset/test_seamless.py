"""Seamless Interaction's files: names, shapes and every trap that is known of them, made up."""

from pathlib import Path

import fsspec
import numpy as np
import pytest

from app.dataset.config import ImportConfig
from app.dataset.importing import import_recordings
from app.dataset.layout import Dataset, Sample
from app.dataset.seamless import (
    import_interaction,
    on_clock,
    read_features,
    read_metadata,
    stretches_of,
    words_of,
)
from app.dataset.seamless_files import interactions_of, person_of
from app.dataset.seamless_motion import UNITS, movement_motion, unit_matrix
from app.dataset.wholebody import keypoint_motion
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import ROTATION, channel_index
from tests.app.dataset.made import (
    features,
    json_bytes,
    keypoints_of,
    nodding,
    npz_bytes,
    put_tar,
    tools,
    wav_bytes,
)
from weights.errors import InputError, MediaError

pytestmark = pytest.mark.weights("face_basis")
SECONDS = 6.0
N = 178  # not 30 a second: 29.67
JAW = channel_index("jawOpen")


@pytest.fixture(scope="module")
def basis() -> FaceBasis:
    return FaceBasis.load()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, basis: FaceBasis) -> Path:
    """Real names and shapes; each interaction has traps of its own."""
    root = tmp_path_factory.mktemp("seamless")
    speech = [(0.4, 1.2), (3.0, 4.0)]

    def files(name: str, movement: str, seed: int, **change: bytes) -> dict[str, bytes]:
        made = {
            "wav": wav_bytes(SECONDS, seed),
            "npz": npz_bytes(features(nodding(N, seed), basis, movement), packed=seed % 2 == 0),
            "json": json_bytes(name, speech, lines=seed % 2 == 1),
        }
        return {f"{name}.{ending}": data for ending, data in (made | change).items()}

    improvised = root / "improvised"
    # One vendor with movement, its partners in different tars, a gap in the numbers.
    one = files("V00_S0001_I00000129_P0001", "yes", 0)
    put_tar(improvised / "train" / "0000" / "0000.tar", one)
    put_tar(improvised / "dev" / "0003" / "0017.tar", files("V00_S0001_I00000129_P0002", "no", 1))
    # The same numbers of another vendor: other people. A video that is a placeholder.
    more = files("V01_S0001_I00000129_P0001", "no", 2, mp4=b"\0" * 261)
    put_tar(improvised / "train" / "0001" / "0000.tar", more)
    # All of movement invalid, an A at the end, in folders; the partner's wav is a placeholder.
    folder = root / "naturalistic" / "test" / "0000" / "0001"
    folder.mkdir(parents=True)
    loose = files("V00_S0002_I00000007_P0005A", "invalid", 3)
    loose |= files("V00_S0002_I00000007_P0006", "no", 4, wav=b"\0" * 58)
    # No frames in the features; no speech said; words of no use.
    empty = {k: v[:0] for k, v in features(nodding(N), basis, "yes").items()}
    no_speech = json_bytes("V02_S0003_I00000001_P0009", [])
    loose |= files(
        "V02_S0003_I00000001_P0009", "no", 5, npz=npz_bytes(empty, packed=False), json=no_speech
    )
    # Nothing but placeholders.
    loose["V03_S0004_I00000002_P0010.wav"] = b"\0" * 58
    loose["V03_S0004_I00000002_P0010.npz"] = b"\0" * 1981
    for name, data in loose.items():
        (folder / name).write_bytes(data)
    (folder / "filelist.csv").write_text("file_id\n")
    (improvised / "train" / "0001" / "0001.tar").write_bytes(b"not a tar" * 200)
    return root


def imported(
    root: str, out: Path, **settings: str
) -> tuple[dict[str, list[Sample]], dict, Dataset]:
    """Samples by recording, sentences by recording, and the dataset."""
    found = {
        "seamless": lambda one, _, tick: import_interaction(one, tools(work=out, **settings), tick)
    }
    config = ImportConfig("seamless", workers=0)
    import_recordings(root, out, config, importers=found)  # pyrefly: ignore[bad-argument-type]
    dataset = Dataset.open(out)
    reports = {r.recording: r for r in dataset.reports()}
    by_recording: dict[str, list[Sample]] = {name: [] for name in reports}
    for sample in dataset.samples():
        by_recording[sample.recording].append(sample)
    return by_recording, {k: (*r.skipped, r.failed) for k, r in reports.items()}, dataset


@pytest.fixture(scope="module")
def made(tree: Path, tmp_path_factory: pytest.TempPathFactory):
    return imported(str(tree), tmp_path_factory.mktemp("made") / "data")


def test_partners_in_different_tars_are_one_conversation(made) -> None:
    samples, _, dataset = made
    a, b = samples["V00_S0001_I00000129"]
    assert (a.person, b.person) == ("V00_P0001", "V00_P0002")
    assert a.partner == b.key and a.frames == b.frames == round(SECONDS * 25)
    assert (a.motion, b.motion) == ("movement", "keypoints") and a.voice == b.voice == "own"
    assert a.speech == b.speech == ((0.4, 1.2), (3.0, 4.0)), "as its metadata says"
    assert dataset.words(a) == [("yes", 0.5, 0.8)], "words without a time are left out"
    assert a.fps == pytest.approx(N / SECONDS) and a.origin_split == "train"
    assert len(dataset.conversations()) == 1


def test_numbers_of_another_vendor_are_other_people(made) -> None:
    samples, told, _ = made
    (alone,) = samples["V01_S0001_I00000129"]
    assert alone.person == "V01_P0001" and not alone.conversation and alone.motion == "keypoints"
    assert any("placeholder of 261 bytes" in line for line in told["V01_S0001_I00000129"])
    assert any("without a partner" in line for line in told["V01_S0001_I00000129"])


def test_an_a_at_the_end_is_part_of_the_name_and_not_of_the_person(made) -> None:
    samples, told, _ = made
    (one,) = samples["V00_S0002_I00000007"]
    assert one.person == person_of("V00_S0002_I00000007_P0005") == "V00_P0005"
    assert one.motion == "keypoints", "all of its movement is invalid"
    assert any("P0006.wav is a placeholder of 58" in line for line in told["V00_S0002_I00000007"])
    assert any("no sound" in line for line in told["V00_S0002_I00000007"])


def test_what_is_broken_is_told_and_left_out(made) -> None:
    samples, told, _ = made
    (voice,) = samples["V02_S0003_I00000001"]
    assert voice.motion == "" and voice.voice == "own", "heard only: its features have no frames"
    assert any("has no frames" in line for line in told["V02_S0003_I00000001"])
    assert samples["V03_S0004_I00000002"] == [] and told["V03_S0004_I00000002"][-1]
    (broken,) = [v for k, v in told.items() if "0001-0001-tar" in k]
    assert "download it again" in broken[-1]


def test_motion_is_on_the_clock_of_the_sound_and_masked(made) -> None:
    samples, _, dataset = made
    one = samples["V00_S0001_I00000129"][0]
    motion = dataset.motion(one)
    assert motion is not None
    first = int(60 / N * SECONDS * 25)
    assert not motion.mask[: first - 1].any() and motion.mask[first + 2 :].all()
    at = (np.arange(one.frames) + 0.5) / 25 * N / SECONDS - 0.5
    true = 0.10 * np.sin(2 * np.pi * 0.7 * at / 30)
    nod = motion.rotation[motion.mask, 0]
    assert np.corrcoef(nod, true[motion.mask])[0, 1] > 0.999
    wrong = 0.10 * np.sin(2 * np.pi * 0.7 * np.arange(one.frames) / 25)
    assert np.abs(nod - true[motion.mask]).std() < 0.5 * np.abs(nod - wrong[motion.mask]).std()


def test_a_store_gives_the_same_as_the_folder(tree: Path, made, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.put(str(tree / "improvised"), "/seamless/improvised", recursive=True)
    samples, _, dataset = imported("memory://seamless", tmp_path / "data")
    here, there = made[0]["V00_S0001_I00000129"], samples["V00_S0001_I00000129"]
    assert [s.key for s in here] == [s.key for s in there]
    a, b = made[2].motion(here[1]), dataset.motion(there[1])
    assert a is not None and b is not None and np.array_equal(a.values, b.values)


def test_one_way_to_motion_may_be_asked_for(tree: Path, tmp_path: Path) -> None:
    samples, _, _ = imported(str(tree / "improvised"), tmp_path / "data", motion="keypoints")
    assert {s.motion for s in samples["V00_S0001_I00000129"]} == {"keypoints"}


def test_tars_are_listed_once(tree: Path, tmp_path: Path) -> None:
    first = interactions_of(str(tree), tmp_path)
    kept = (tmp_path / ".seamless.json").read_text()
    assert "V00_S0001_I00000129_P0001" in kept
    changed = kept.replace('"wav", ', '"wav", 1')  # another place than the tar says
    (tmp_path / ".seamless.json").write_text(changed)
    assert interactions_of(str(tree), tmp_path) != first, "the list was believed"
    (tmp_path / ".seamless.json").write_text("not JSON")
    assert interactions_of(str(tree), tmp_path) == first
    with pytest.raises(InputError, match="nothing of Seamless"):
        interactions_of(str(tmp_path), tmp_path)


def test_keypoints_give_turns_and_the_jaw(basis: FaceBasis) -> None:
    values = nodding(240)
    found = keypoint_motion(keypoints_of(values, basis), np.ones(240, bool), basis)
    assert found is not None
    motion, valid = found
    assert valid.all()
    wrong = np.degrees(np.abs(motion[:, ROTATION] - values[:, ROTATION]).mean(0))
    assert wrong.max() < 3
    assert np.corrcoef(motion[:, JAW], values[:, JAW])[0, 1] > 0.97
    nothing = keypoints_of(values, basis)
    nothing[..., 2] = 0
    assert keypoint_motion(nothing, np.ones(240, bool), basis) is None


def test_signs_of_the_axes_are_checked_against_the_keypoints(basis: FaceBasis) -> None:
    values = nodding(240)
    for flip in (1.0, -1.0):
        arrays = features(values, basis, "yes", flip)
        units, turns = arrays["movement:FAUValue"], arrays["movement:alignment_head_rotation"]
        valid = arrays["movement:is_valid"][:, 0] > 0.5
        seen = keypoint_motion(keypoints_of(values, basis), np.ones(240, bool), basis)
        motion, mask = movement_motion(units, turns, valid, seen)
        assert not motion[~mask].any(), "zero-filled blocks stay nothing"
        for axis in range(ROTATION.start, ROTATION.stop):
            assert np.corrcoef(motion[mask, axis], values[mask, axis])[0, 1] > 0.97
        assert np.corrcoef(motion[mask, JAW], values[mask, JAW])[0, 1] > 0.99


def test_every_unit_has_its_channels() -> None:
    matrix, names = unit_matrix(), [name for name, _ in UNITS]
    assert len(names) == 24 and names[20] == "JawDrop" and names[23] == "EyesClosed"
    silent = [names[n] for n in np.flatnonzero(~matrix.any(1))]
    assert silent == ["JawSideways"]
    assert matrix[8, channel_index("mouthSmileLeft")] == matrix[8, channel_index("mouthSmileRight")]


def test_rows_go_to_the_clock() -> None:
    ramp = np.arange(60, dtype=np.float32)[:, None]
    valid = np.ones(60, bool)
    valid[30] = False
    values, mask = on_clock(ramp, valid, 50, 2.0)
    assert np.allclose(values[5:45, 0], (np.arange(5, 45) + 0.5) * 60 / 50 - 0.5, atol=1e-4)
    assert 1 <= (~mask).sum() <= 2 and not mask[25]


def test_metadata_of_any_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(json_bytes("a", [(2.0, 3.0), (0.5, 1.0)], lines=True))
    told = read_metadata(path)
    assert stretches_of(told) == ((0.5, 1.0), (2.0, 3.0))
    assert stretches_of({"metadata:vad": []}) is None and stretches_of({}) is None
    assert words_of({"metadata:transcript": [{"words": [{"word": "a"}]}, None]}) == ()
    for text in ("[1, 2]", "{", "3"):
        path.write_text(text)
        with pytest.raises(MediaError, match="not JSON"):
            read_metadata(path)


def test_features_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"\0" * 3000)
    with pytest.raises(MediaError, match="cannot be read"):
        read_features(path)
    path.write_bytes(
        npz_bytes({"smplh:is_valid": np.ones(5, bool), "movement:is_valid": np.ones((6, 1), "f4")})
    )
    with pytest.raises(MediaError, match="one length"):
        read_features(path)
