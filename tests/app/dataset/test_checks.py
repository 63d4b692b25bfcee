"""Splits that keep people apart, checks that find what is wrong, a page to look at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.dataset.checks import check
from app.dataset.layout import Dataset, Report, face_code
from app.dataset.page import chosen, show
from app.dataset.splits import look_alikes, split
from tests.app.dataset.made import draft, face_vector, sample, voice_of, written
from weights.errors import InputError


def people(count: int, **more: object) -> list:
    return [
        draft(sample(f"r{n:02d}-0", f"p{n:02d}", recording=f"r{n:02d}", **more), n)
        for n in range(count)
    ]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.create(tmp_path / "data")


def test_everybody_has_one_split_and_keeps_it(dataset: Dataset) -> None:
    written(dataset, people(20))
    first = split(dataset, 0.2, 0.2)
    assert first.people == {"train": 12, "val": 4, "test": 4} and not first.notices
    before = dataset.splits()
    written(dataset, people(40))
    second = split(dataset, 0.2, 0.2)
    assert all(dataset.splits()[person] == name for person, name in before.items())
    assert second.people["test"] == 8 and Dataset.open(dataset.address).splits() == dataset.splits()
    split(dataset, 0.2, 0.2, seed=1, again=True)
    assert dataset.splits() != before


def test_who_talks_together_stays_together(dataset: Dataset) -> None:
    drafts = people(12)
    for a, b in ((0, 1), (1, 2), (4, 5)):
        for n, other in ((a, b), (b, a)):
            one = replace(
                drafts[n].sample,
                key=f"c{a}{b}-{n}",
                recording=f"c{a}{b}",
                conversation=f"c{a}{b}",
                partner=f"c{a}{b}-{other}",
            )
            drafts.append(draft(one, 50 + n))
    written(dataset, drafts)
    split(dataset, 0.3, 0.3)
    of = dataset.splits()
    assert of["p00"] == of["p01"] == of["p02"] and of["p04"] == of["p05"]
    dataset.write_splits(of | {"p00": "test", "p02": "train"})
    with pytest.raises(InputError, match="belong together"):
        split(dataset)
    assert any("of two splits" in line for line in check(dataset).problems)


def test_two_names_of_one_face_stay_together(dataset: Dataset) -> None:
    drafts = people(6)
    drafts[1] = draft(replace(drafts[1].sample, face=face_code(face_vector(1, 0.1))), 1)
    drafts[4] = draft(replace(drafts[4].sample, face=face_code(face_vector(1, 0.2))), 4)
    drafts[5] = draft(replace(drafts[5].sample, face=face_code(face_vector(0, 0, 1))), 5)
    written(dataset, drafts)
    ((a, b, near),) = look_alikes(dataset.samples(), 0.55)
    assert (a, b) == ("p01", "p04") and near > 0.99
    split(dataset, 0.3, 0.3)
    assert dataset.splits()["p01"] == dataset.splits()["p04"]
    dataset.write_splits(dataset.splits() | {"p01": "test", "p04": "train"})
    assert any("look like one person" in line for line in check(dataset).problems)


def test_shares_that_cannot_be(dataset: Dataset) -> None:
    with pytest.raises(InputError, match="no samples"):
        split(dataset)
    written(dataset, people(1))
    with pytest.raises(InputError, match="shares"):
        split(dataset, 0.6, 0.6)
    assert "test is empty" in split(dataset).notices[0]
    (dataset.folder / "people.csv").write_text("person,split\np00,some\n")
    with pytest.raises(InputError, match="wanted train, val or test"):
        Dataset.open(dataset.address).splits()


def test_a_good_dataset_has_no_problems(dataset: Dataset) -> None:
    known = {"licence": "CC0", "consent": "signed", "motion": "video", "voice": "own", "valid": 50}
    written(dataset, people(12, sync_ms=0.0, sync_r=0.8, speech=((0.0, 1.0),), **known))
    split(dataset, 0.2, 0.2)
    found = check(dataset)
    assert found.problems == ()
    figures = found.figures
    assert figures["samples"] == figures["people"] == 12 and figures["seconds"] == 24.0
    assert figures["speech_seconds"] == 12.0 and figures["sync_ms_median"] == 0
    assert figures["seen"] == 1.0 and figures["licence"] == {"CC0": 12}


def test_what_is_wrong_is_told(dataset: Dataset) -> None:
    drafts = people(6, motion="video", voice="own")
    late = replace(drafts[0].sample, sync_ms=-160.0, sync_r=0.05, valid=20)
    drafts[0] = replace(drafts[0], sample=late)
    drafts[2] = draft(drafts[2].sample, 1)  # as the one before
    quiet = voice_of(np.full(50, 0.0))
    drafts[3] = replace(drafts[3], voice=quiet)
    drafts[4] = replace(drafts[4], motion=drafts[4].motion[:40])
    drafts[5] = replace(drafts[5], motion=None, track=None, voice=None)
    written(dataset, drafts)
    dataset.write(Report("gone", "gone.mp4", "s", failed="it is empty"), [])
    text = "\n".join(check(dataset).problems)
    for part in (
        "the face of r00-0 is seen in 40%",
        "lips of r00-0 were -160 ms",
        "lips of r00-0 do not go",
        "r01-0 and r02-0 are the same, byte for byte",
        "r03-0 has a silent voice",
        "r04-0 has 40 frames of motion; wanted 50",
        "r05-0 has neither motion nor a voice",
        "6 samples say nothing of their licence",
        "6 samples say nothing of their consent",
        "nobody has a split",
        "gone.mp4 gave nothing: it is empty",
    ):
        assert part in text, part


def test_a_copy_in_another_coding_is_found(dataset: Dataset) -> None:
    level = 0.05 + 0.1 * np.random.default_rng(5).random(50)
    drafts = people(3)
    drafts[0] = replace(drafts[0], voice=voice_of(level, 1), motion=None)
    drafts[2] = replace(drafts[2], voice=voice_of(0.5 * level, 1), motion=None)
    written(dataset, drafts)
    assert "r00-0 and r02-0 have one sound" in "\n".join(check(dataset).problems)


@pytest.mark.weights("face_basis")
def test_the_page_needs_nothing_else(dataset: Dataset, tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    drafts = people(5, speech=((0.2, 0.9),), doubt=((1.0, 1.5),))
    drafts[0] = replace(drafts[0], sample=replace(drafts[0].sample, person=name))
    drafts[1] = replace(drafts[1], motion=None, track=None)
    written(dataset, drafts)
    shown = show(dataset, tmp_path / "page.html", count=4)
    text = (tmp_path / "page.html").read_text()
    assert len(shown) == 4 and text.count("<section>") == 4 and text.count("<audio") == 4
    assert "<script" not in text and "&lt;script" in text
    assert "http://" not in text and "https://" not in text
    assert "gap of the lips" in text and "hello" in text and "points of the face" in text
    with pytest.raises(InputError, match="in val"):
        show(dataset, tmp_path / "none.html", split="val")


def test_partners_are_shown_side_by_side() -> None:
    samples = [sample(f"c{n // 2}-{n % 2}", partner=f"c{n // 2}-{1 - n % 2}") for n in range(40)]
    shown = [s.key for s in chosen(samples, 6)]
    assert len(shown) == 6 and all(f"{k[:-1]}{1 - int(k[-1])}" in shown for k in shown)
    assert chosen([], 3) == []
