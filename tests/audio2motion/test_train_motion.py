"""The training scripts, small: the loss falls, a stopped run goes on exactly, the result runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from audio2motion.audio import Dyad, Waveform
from audio2motion.condition import CONTROL_DIM, LOOK_AHEAD
from audio2motion.generator import GeneratorConfig, MotionGenerator
from audio2motion.model import ModelConfig, MotionNetwork
from audio2motion.speech import SpeechConfig, SpeechEncoder, SpeechFeatures, load_strictly
from motion2video.motion import MOTION_DIM
from scripts.motion_items import Item
from scripts.train_motion import RIDGE, Ridge, cut, fit_reader
from weights.tensors import read_safetensors

ROOT = Path(__file__).resolve().parents[2]


def train(script: str, out: Path, steps: int, *more: str) -> list[dict[str, float]]:
    command = [sys.executable, str(ROOT / "scripts" / script), "--tiny", "--out", str(out)]
    command += ["--steps", str(steps), "--batch", "4", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    subprocess.run(command, check=True, env=environment, cwd=out.parent, timeout=280)
    lines = (out / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_motion_training_makes_a_generator_that_runs(tmp_path: Path) -> None:
    log = train("train_motion.py", tmp_path / "run", 60)
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
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


@pytest.mark.slow
def test_stopped_training_goes_on_exactly(tmp_path: Path) -> None:
    train("train_motion.py", tmp_path / "whole", 12)
    train("train_motion.py", tmp_path / "parts", 12, "--stop", "5")
    stopped, header = read_safetensors(tmp_path / "parts" / "motion_generator.safetensors")
    assert header["trained"]["steps"] == 5
    train("train_motion.py", tmp_path / "parts", 12)
    whole, _ = read_safetensors(tmp_path / "whole" / "motion_generator.safetensors")
    parts, _ = read_safetensors(tmp_path / "parts" / "motion_generator.safetensors")
    assert all(np.array_equal(whole[k], parts[k]) for k in whole)
    assert not all(np.array_equal(whole[k], stopped[k]) for k in whole)


@pytest.mark.slow
def test_speech_training_lowers_the_loss(tmp_path: Path) -> None:
    log = train("train_speech.py", tmp_path / "run", 40)
    assert log[-1]["lips"] < 0.9 * log[0]["lips"]
    tensors, header = read_safetensors(tmp_path / "run" / "speech_encoder.safetensors")
    load_strictly(SpeechEncoder(SpeechConfig.from_header(header["speech"])), tensors, "encoder")


def test_a_ridge_finds_the_map_and_leaves_out_what_has_no_weight() -> None:
    torch.manual_seed(0)
    x = torch.randn(600, 4)
    y = x @ torch.tensor([[1.0], [-2.0], [0.0], [0.5]]) + 3
    wrong = torch.rand(600, 1) < 0.3
    ridge = Ridge(5, 1)
    for part in torch.arange(600).split(150):
        given = torch.where(wrong[part], torch.full_like(y[part], 100.0), y[part])
        ridge.add(x[part], given, (~wrong[part]).float())
    found = ridge.solve()[:, 0]
    kept = 1 / (1 + RIDGE)
    expected = torch.tensor([kept, -2 * kept, 0, 0.5 * kept])
    assert torch.allclose(found[:4], expected, atol=0.1)
    assert abs(float(found[4]) - 3) < 0.1
    assert not Ridge(5, 1).solve().any()


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
