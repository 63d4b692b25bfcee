"""Fine-tuning to one person: who and what it takes, and what it says of the result."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from audio2motion.network.model import MotionNetwork
from motion2video.motion import FPS, MOTION_DIM
from scripts.data.motion_items import Take
from scripts.train.motion import lips_times
from scripts.train.person import (
    HELD,
    compared,
    export,
    in_training,
    main,
    network_of,
    pieces_of,
    seconds,
    the_person,
)
from tests.app.dataset.made import draft, sample, written
from weights import find
from weights.errors import InputError


def take(length_s: float) -> Take:
    frames = round(length_s * FPS)
    values = np.arange(frames, dtype=np.float32)[:, None] * np.ones((1, MOTION_DIM), np.float32)
    return Take(np.zeros(frames * 640, np.float32), values, np.ones_like(values), 1.0)


def test_the_last_pieces_are_held_out_and_none_is_in_both() -> None:
    found = pieces_of("ann", [take(100), take(5), take(3)])
    assert seconds(found.held) >= 10 and seconds(found.train) >= 60
    assert seconds([*found.train, *found.held]) == pytest.approx(101), "short ends are left out"
    assert HELD * 101 <= seconds(found.held) < HELD * 101 + 12
    starts = [float(piece.values[0, 0]) for piece in found.train]
    assert starts == sorted(starts) and found.held[-1].values[0, 0] == 0, "of the second take"


def test_too_little_is_refused_in_a_sentence() -> None:
    with pytest.raises(
        InputError, match=r"^ann is seen and heard for 48 s .* 60 s are needed .*: import"
    ):
        pieces_of("ann", [take(48), take(2)])


@pytest.fixture
def two_people(tmp_path: Path) -> Path:
    from app.dataset.layout import Dataset

    ways = {"motion": "video", "voice": "own", "frames": 150}
    people = [sample(f"{who}-0", who, recording=who, **ways) for who in ("ann", "bob")]
    written(Dataset.create(tmp_path / "data"), [draft(p, n) for n, p in enumerate(people)])
    return tmp_path / "data"


def test_one_of_several_people_is_to_be_named(
    two_people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(two_people), "--out", str(tmp_path / "run")]
    assert main(words) == 1
    assert "named by --person: the data has ann (6 s), bob (6 s)" in capsys.readouterr().err
    assert main([*words, "--person", "eve"]) == 1
    assert "no voice of 'eve'" in capsys.readouterr().err
    assert main([*words, "--person", "ann"]) == 1
    assert "ann is seen and heard for 6 s" in capsys.readouterr().err
    with pytest.raises(InputError, match="nobody who is seen"):
        the_person([], None)


def test_a_change_is_told_from_chance_or_not() -> None:
    dice = np.random.default_rng(0)
    still = dice.normal(size=40)
    table = compared(
        {"loss": still, "lips follow": still, "swing off by": still},
        {
            "loss": still - 0.5 + 0.1 * dice.normal(size=40),
            "lips follow": still + dice.normal(size=40),
            "swing off by": still + 0.5 + 0.1 * dice.normal(size=40),
        },
    )
    verdicts = {name: row["verdict"] for name, row in table.items()}
    assert verdicts == {"loss": "better", "lips follow": "not told apart", "swing off by": "worse"}
    assert table["loss"]["after"] - table["loss"]["before"] == pytest.approx(-0.5, abs=0.1)


def test_the_embedded_network_is_taken_and_given_back_as_it_is(tmp_path: Path) -> None:
    plain, header = network_of(find("motion_generator"))
    trained = in_training(plain, header)
    export(tmp_path / "again", trained.state_dict(), header)
    again, same = network_of(tmp_path / "again")
    assert same == header
    for name, value in plain.state_dict().items():
        assert torch.allclose(again.state_dict()[name], value, rtol=2e-3, atol=1e-6), name
    twice = lips_times(plain.state_dict(), 2.0)
    moved = {n for n, v in plain.state_dict().items() if not torch.equal(v, twice[n])}
    assert moved == {"leave.weight", "leave.bias", "direct.weight", "direct.bias"}


@pytest.mark.slow
@pytest.mark.endurance
def test_a_tiny_run_tells_before_and_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    words = ["--tiny", "--steps", "6", "--learning-rate", "3e-3", "--out", str(tmp_path)]
    assert main(words) == 0
    told = json.loads((tmp_path / "person.json").read_text())
    assert told["person"] == "nobody" and len(told["style"]) == 15
    assert told["figures"]["loss"]["verdict"] == "better"
    assert "loss" in capsys.readouterr().out
    network, header = network_of(tmp_path / "motion_generator.safetensors")
    assert isinstance(network, MotionNetwork) and header["trained"]["steps"] == 6
