"""The training scripts, small: the loss falls, a stopped run goes on exactly, the result runs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import scripts.train.motion as train_motion
import scripts.train.speech as train_speech
from audio2motion.hearing.audio import Dyad, Waveform
from audio2motion.hearing.speech import SpeechConfig, SpeechEncoder, SpeechFeatures, load_strictly
from audio2motion.network.condition import (
    CONTROL_DIM,
    LOOK_AHEAD,
    SEEN_DIM,
    Condition,
    ConditionEmbedding,
    agent_window,
)
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from audio2motion.network.model import ModelConfig, MotionNetwork
from motion2video.motion import DETAIL, EXPRESSION, MOTION_DIM, ROTATION
from scripts.data.motion_items import Item
from scripts.train.carry_hearing import carry, fit
from scripts.train.lip_features import choose
from scripts.train.lip_reader import Ridge, Taught, learn_lips, surroundings
from scripts.train.motion import returning, shaking
from scripts.train.motion_batches import FRAMES, cut
from scripts.train.motion_statistics import EYES, MOST_OF_FACE, MOST_OF_HEAD, fit_reader, set_most
from tests.unchecked import unchecked
from weights.errors import InputError
from weights.tensors import read_safetensors

ROOT = Path(__file__).resolve().parents[2]


def train(script: str, out: Path, steps: int, *more: str) -> list[dict[str, float]]:
    command = [sys.executable, str(ROOT / "scripts" / script), "--tiny", "--out", str(out)]
    command += ["--steps", str(steps), "--batch", "4", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    subprocess.run(command, check=True, env=environment, cwd=out.parent, timeout=280)
    lines = (out / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def train_here(
    monkeypatch: pytest.MonkeyPatch, script: ModuleType, out: Path, steps: int
) -> list[dict[str, float]]:
    """The same in this process: to load torch in another takes longer than to train."""
    words = ["--tiny", "--out", str(out), "--steps", str(steps), "--batch", "4"]
    monkeypatch.setattr(sys, "argv", [script.__name__, *words])
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    with unchecked():
        script.main()
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_motion_training_makes_a_generator_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = train_here(monkeypatch, train_motion, tmp_path / "run", 60)
    assert log[-1]["loss"] < 0.9 * log[0]["loss"]
    assert log[-1]["stir"] < log[0]["stir"] - 0.3, "how large innovations are is learned first"
    tensors, header = read_safetensors(tmp_path / "run" / "motion_generator.safetensors")
    network = MotionNetwork(ModelConfig.from_header(header["model"]))
    load_strictly(network, tensors, "motion generator")
    tensors, header = read_safetensors(tmp_path / "run" / "speech_encoder.safetensors")
    encoder = SpeechEncoder(SpeechConfig.from_header(header["speech"]))
    load_strictly(encoder, tensors, "speech encoder")
    noise = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1
    generator = MotionGenerator(encoder, network, GeneratorConfig())
    motion = generator.generate(Dyad(Waveform(noise)))
    assert len(motion) == 25


@pytest.mark.endurance
def test_stopped_training_goes_on_exactly(tmp_path: Path) -> None:
    train("train/motion.py", tmp_path / "whole", 12)
    train("train/motion.py", tmp_path / "parts", 12, "--stop", "5")
    stopped, header = read_safetensors(tmp_path / "parts" / "motion_generator.safetensors")
    assert header["trained"]["steps"] == 5
    train("train/motion.py", tmp_path / "parts", 12)
    whole, _ = read_safetensors(tmp_path / "whole" / "motion_generator.safetensors")
    parts, _ = read_safetensors(tmp_path / "parts" / "motion_generator.safetensors")
    assert all(np.array_equal(whole[k], parts[k]) for k in whole)
    assert not all(np.array_equal(whole[k], stopped[k]) for k in whole)


@pytest.mark.slow
def test_speech_training_lowers_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = train_here(monkeypatch, train_speech, tmp_path / "run", 40)
    assert log[-1]["lips"] < 0.9 * log[0]["lips"]
    tensors, header = read_safetensors(tmp_path / "run" / "speech_encoder.safetensors")
    load_strictly(SpeechEncoder(SpeechConfig.from_header(header["speech"])), tensors, "encoder")


def test_a_ridge_finds_the_map_and_leaves_out_what_is_not_chosen() -> None:
    torch.manual_seed(0)
    x = torch.randn(600, 4)
    y = x @ torch.tensor([[1.0], [-2.0], [0.0], [0.5]]) + 3
    wrong = torch.rand(600) < 0.3
    ridge = Ridge(4, 1, 0.5)
    for part in torch.arange(600).split(150):
        given = torch.where(wrong[part, None], 100.0, y[part])
        ridge.add(x[part], given, ~wrong[part])
    found = ridge.solve()[:, 0]
    kept = 1 / (1 + 0.5)
    expected = torch.tensor([kept, -2 * kept, 0, 0.5 * kept])
    assert torch.allclose(found[:4], expected, atol=0.1)
    assert abs(float(found[4]) - 3) < 0.15
    assert not Ridge(4, 1, 0.5).solve().any()


def test_a_ridge_looks_within_the_clips() -> None:
    """Whose face lies lower in all of a clip says nothing of what lips do in it."""
    torch.manual_seed(0)
    people = torch.randn(30, 1).repeat_interleave(20, 0)
    x = torch.randn(600, 2) + people
    y = 2 * x[:, :1] - 9 * people + 1
    every = torch.ones(600, dtype=torch.bool)
    within, across = Ridge(2, 1, 1e-3), Ridge(2, 1, 1e-3)
    within.add(x, y, every, [20] * 30)
    across.add(x, y, every)
    assert torch.allclose(within.solve()[:2, 0], torch.tensor([2.0, 0.0]), atol=0.02)
    assert float(across.solve()[0, 0]) < 0
    assert torch.allclose(x.mean(0) @ within.solve()[:2] + within.solve()[2], y.mean(0), atol=1e-3)


def test_the_reader_learns_when_lips_are_shut() -> None:
    """From a voice without a face whose features tell a closure."""
    torch.manual_seed(0)
    network = MotionNetwork(ModelConfig(width=32, layers=1, heads=2, hidden=32, speech_features=8))
    frames = 400
    shut = (torch.rand(frames) < 0.2).float()
    features = 0.1 * torch.randn(frames + LOOK_AHEAD, 8)
    features[LOOK_AHEAD:, 0] += shut
    heard = SpeechFeatures(features, torch.zeros(len(features)), torch.ones(len(features)))
    silent = torch.zeros(frames, MOTION_DIM)
    item = Item(heard, None, silent, silent, None, torch.zeros(CONTROL_DIM), shut)
    fit_reader(network, [item])
    lips, closed = network.read_lips(cut(item, 0, frames, network).condition)
    assert closed[0][shut > 0].mean() > 0.9 and closed[0][shut == 0].mean() < 0.1
    assert not lips.any(), "nothing was seen of a face"


def test_lips_are_learned_of_what_the_teacher_says_of_them() -> None:
    """The tracked lips are noisy; what the teacher hears of them is not."""
    rng = torch.Generator().manual_seed(0)
    inputs, taught, lips = 6, 8, len(SPEECH_CHANNELS)
    says, means = torch.randn(inputs, lips, generator=rng), torch.randn(inputs, 8, generator=rng)

    def clip() -> Taught:
        agent = torch.randn(60, inputs, generator=rng)
        teacher = agent @ means
        noise = torch.randn(60, lips, generator=rng)
        every = torch.ones(60, dtype=torch.bool)
        return Taught(agent, agent, every, teacher[:, :taught], agent @ says + noise, [40, 20])

    clips = [clip() for _ in range(20)]
    reader = learn_lips(clips)
    assert reader.shape == (inputs + 1, lips)
    unseen = clip()
    found, wanted = unseen.agent @ reader[:-1] + reader[-1], unseen.agent @ says
    assert torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1] > 0.9
    with pytest.raises(InputError, match="no tracked clip"):
        learn_lips([])


def test_features_are_chosen_for_what_lips_need() -> None:
    """Half of what the lips follow is none of the features: afterwards they are all there, and what
    the features said is said as before.
    """
    rng = torch.Generator().manual_seed(0)
    numbers, features, lips = 60, 30, len(SPEECH_CHANNELS)
    old = torch.randn(features, numbers, generator=rng) * (torch.arange(numbers) < 30)
    says = torch.zeros(numbers, lips)
    says[10], says[40] = torch.randn(2, lips, generator=rng).unbind(0)
    clips = []
    for _ in range(20):
        sound = torch.randn(60 + LOOK_AHEAD, numbers, generator=rng)
        curves = torch.zeros(len(sound))
        whole = agent_window(sound, curves, curves)
        seen = sound[3 : 3 + len(whole)] @ says
        agent = agent_window(sound @ old.T, curves, curves)
        every = torch.ones(len(whole), dtype=torch.bool)
        clips.append(Taught(agent, whole, every, seen, seen, [len(whole)]))
    weight, bias, shares = choose(clips, old, torch.ones(lips))
    assert weight.shape == old.shape and shares["reader"] > 0.95
    sound = torch.randn(500, numbers, generator=rng)
    new = sound @ weight.T + bias
    assert new.std() == pytest.approx(1, abs=0.1)
    given = torch.linalg.lstsq(torch.cat([new, torch.ones(500, 1)], 1), sound @ says).solution
    missed = torch.cat([new, torch.ones(500, 1)], 1) @ given - sound @ says
    assert missed.square().mean() < 0.02 * (sound @ says).square().mean()
    kept = torch.linalg.lstsq(torch.cat([new, torch.ones(500, 1)], 1), sound @ old.T)
    away = torch.cat([new, torch.ones(500, 1)], 1) @ kept.solution - sound @ old.T
    share = 1 - float(away.square().sum() / (sound @ old.T).square().sum())
    assert share == pytest.approx(shares["features"], abs=0.1)


def test_surroundings_keep_the_length_and_the_edges() -> None:
    features = np.arange(5, dtype=np.float16)[:, None]
    near = surroundings(features, 6)
    assert near.shape == (6, 7)
    assert near[0].tolist() == [0, 0, 0, 0, 1, 2, 3] and near[5].tolist() == [2, 3, 4] + 4 * [4]


def test_hearing_is_carried_over_to_other_features() -> None:
    """Old features are a linear map of the new ones: the network then says the same."""
    torch.manual_seed(0)
    size, width = 8, 12
    old_map, shift = torch.randn(size, size), torch.randn(size)
    new = [torch.randn(80, size) for _ in range(30)]
    old = [x @ old_map + shift for x in new]
    weight, bias, share = fit(new, old)
    assert share > 0.99
    embedding = ConditionEmbedding(size, width)
    state = embedding.state_dict()
    tensors = {f"condition.{name}": value.numpy().copy() for name, value in state.items()}
    carry(tensors, weight, bias)
    carried = ConditionEmbedding(size, width)
    carried.load_state_dict(
        {n.removeprefix("condition."): torch.from_numpy(v) for n, v in tensors.items()}
    )
    curves = torch.rand(80)

    def heard_by(module: ConditionEmbedding, features: torch.Tensor) -> torch.Tensor:
        agent = agent_window(features, curves, curves)
        count = len(agent)
        other = torch.cat([features, curves[:, None], curves[:, None]], 1)[:count]
        nothing = torch.zeros(1, count, SEEN_DIM), torch.zeros(1, count, CONTROL_DIM)
        condition = Condition(agent[None], other[None], *nothing, torch.ones(1, count, 4))
        with torch.inference_mode():
            return module(condition)

    before, after = heard_by(embedding, old[0]), heard_by(carried, new[0])
    assert float((before - after).abs().max()) < 0.05 * float(before.std())


def test_heads_that_begin_aside_come_back() -> None:
    torch.manual_seed(0)
    aside = returning(torch.zeros(200, FRAMES, MOTION_DIM))
    assert not aside[..., EXPRESSION].any() and not aside[..., DETAIL].any()
    far = aside[:, 0, ROTATION].abs().mean(-1) > 0
    assert 0.4 < far.float().mean() < 0.8, "some begin where they are"
    left = aside[far][:, -1, ROTATION] / aside[far][:, 0, ROTATION]
    assert torch.allclose(left, torch.full_like(left, left[0, 0].item()))
    assert 0.3 < left[0, 0] < 0.45


def test_of_wild_heads_only_how_they_calm_is_learned() -> None:
    torch.manual_seed(0)
    wave, calm = shaking(torch.zeros(300, FRAMES, MOTION_DIM))
    assert not wave[..., EXPRESSION].any() and not wave[..., DETAIL].any()
    head = wave[..., ROTATION].abs().amax(-1)
    wild = head.amax(1) > 0
    assert 0.1 < wild.float().mean() < 0.3, "few are"
    assert head[wild].amax(1).max() > 2, "as wild as tokens go"
    assert calm[~wild].all() and calm[..., EXPRESSION].all()
    learned = calm[wild][..., ROTATION].amin(-1)
    assert not learned[:, 0].any() and learned[:, -1].all()
    assert (head[wild] * learned)[:, -25:].max() < 0.06, "at rest soon"


def test_innovations_are_bounded_by_peoples_but_for_blinks_and_glances() -> None:
    """A network of which nothing is fitted yet: what is new in a chunk are its values."""
    torch.manual_seed(0)
    network = MotionNetwork(ModelConfig(width=16, layers=1, heads=1, hidden=16, speech_features=4))
    frames = 10_000
    values = torch.randn(frames, MOTION_DIM)
    features, curve = torch.zeros(frames + LOOK_AHEAD, 4), torch.zeros(frames + LOOK_AHEAD)
    heard = SpeechFeatures(features, curve, curve)
    weight = torch.ones_like(values)
    weight[:, 5] = 0
    set_most(network, [Item(heard, None, values, weight, None, torch.zeros(CONTROL_DIM))])
    for channel, share in ((MOTION_DIM - 1, MOST_OF_FACE), (ROTATION.start, MOST_OF_HEAD)):
        wanted = float(values[5:, channel].abs().quantile(share))
        assert float(network.most[channel]) == pytest.approx(wanted, rel=1e-4)
    assert float(network.most[[5, *EYES]].min()) > 1e3, "nothing is known of them, or they burst"
