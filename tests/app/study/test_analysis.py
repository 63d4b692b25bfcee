"""Strengths that were put in come out, and files that do not belong are refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.study.analysis import analyse, bradley_terry
from app.study.dimensions import DIMENSIONS
from weights.errors import InputError


def test_two_systems_have_the_log_odds():
    wins = np.array([[0.0, 30.0], [10.0, 0.0]])
    one, two = bradley_terry(wins)
    assert one - two == pytest.approx(np.log(3)) and one + two == pytest.approx(0)


def test_strengths_of_three_come_out_of_expected_wins():
    strengths = np.array([0.7, 0.1, -0.8])
    odds = 1 / (1 + np.exp(strengths[None] - strengths[:, None]))
    np.testing.assert_allclose(bradley_terry(50 * odds * (1 - np.eye(3))), strengths, atol=1e-6)


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, list[Path]]:
    """24 raters of 10 pairs, who find `good` better in 8 of 10, but cannot tell the pictures."""
    rng, trials, files = np.random.default_rng(0), {}, []
    for rater in range(24):
        answers = []
        for number in range(10):
            trial, turned = f"{rater}-{number}", bool(number % 2)
            left, right = ("good", "bad") if turned else ("bad", "good")
            trials[trial] = {"clip": "a", "left": left, "right": right}
            better = (rng.random() < 0.8) == turned
            told = dict.fromkeys(DIMENSIONS, "left" if better else "right") | {"picture": "equal"}
            answers.append({"trial": trial, "answers": told, "ms": 1})
        said = {"format": "visavis-answers-1", "study": "s", "rater": rater, "answers": answers}
        files.append(tmp_path / f"{rater}.json")
        files[-1].write_text(json.dumps(said))
    key = {"format": "visavis-study-1", "study": "s", "systems": ["good", "bad"], "trials": trials}
    (tmp_path / "key.json").write_text(json.dumps(key))
    return tmp_path / "key.json", files


def test_outcome(study: tuple[Path, list[Path]]):
    outcome = analyse(*study)
    found = {(s.dimension, s.system): s for s in outcome.strengths}
    good, picture = found["overall", "good"], found["picture", "good"]
    assert 2 * good.strength == pytest.approx(np.log(4), abs=0.5) and good.low > 0
    assert picture.strength == pytest.approx(0) and picture.low <= 0 <= picture.high
    assert good.trials == 240 and outcome.raters == 24 and outcome.answers == 240 * 10
    assert 0.4 < outcome.left_share < 0.6
    assert json.loads(json.dumps(outcome.to_json()))["raters"] == 24


def test_what_does_not_belong(study: tuple[Path, list[Path]], tmp_path: Path):
    key, files = study
    with pytest.raises(InputError, match="same rater"):
        analyse(key, [files[0], files[0]])
    told = json.loads(files[0].read_text())
    other = tmp_path / "other.json"
    for change, message in (
        ({"study": "t"}, "another study"),
        ({"format": "x"}, "not a file of the format"),
        ({"answers": [{"trial": "no", "answers": {}}]}, "does not know"),
        ({"answers": [{**told["answers"][0], "answers": {"overall": "left"}}]}, "wanted"),
    ):
        other.write_text(json.dumps(told | change))
        with pytest.raises(InputError, match=message):
            analyse(key, [other])
    other.write_text("{")
    with pytest.raises(InputError, match="cannot read"):
        analyse(key, [other])
    with pytest.raises(InputError, match="no files of answers"):
        analyse(key, [])
