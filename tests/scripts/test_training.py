"""The renderer's training scripts on made-up data: they learn, resume, and leave usable weights."""

import copy
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scripts.data.window_pairs as window_pairs
import scripts.train.renderer as train_renderer
from motion2video.faces.identity import IdentityConfig, IdentityNetwork
from motion2video.network.autoencoder import Autoencoder
from motion2video.network.denoiser import Denoiser, DenoiserConfig, time_embedding
from scripts.train.loop import Ahead, Held, LoopConfig, run
from tests.unchecked import unchecked
from weights.tensors import read_safetensors

ROOT = Path(__file__).parents[2]
ON_CPU = {**os.environ, "ACCELERATE_USE_CPU": "true"}


def command(script: str, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", f"scripts.{script}", "--tiny", "--out", str(out), *options]


def train(script: str, out: Path, *options: str) -> str:
    done = subprocess.run(
        command(script, out, *options),
        cwd=ROOT,
        env=ON_CPU,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.endurance
def test_tiny_autoencoder_learns_and_loads(tmp_path: Path) -> None:
    text = train("train_autoencoder", tmp_path)  # its name of old
    log = losses(tmp_path)
    assert log[-1] < 0.6 * log[0]
    assert "PSNR on held-out people" in text
    sheet = cv2.imread(str(tmp_path / "samples" / "000060.png"))
    assert sheet is not None and sheet.shape == (512, 6 * 256, 3), "true and seen, six pictures"
    model = Autoencoder.load(tmp_path / "autoencoder.safetensors")
    with torch.inference_mode():
        latent = model.encode(torch.rand(1, 3, 64, 96))
        picture = model.decode(latent)
    assert latent.shape == (1, 16, 8, 12) and picture.shape == (1, 3, 64, 96)
    assert float(picture.min()) > -0.5 and float(picture.max()) < 1.5


@pytest.mark.slow
@pytest.mark.usefixtures("on_cpu")
def test_tiny_denoiser_learns_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: to start another and load torch again takes longer than to train."""
    monkeypatch.setattr(sys, "argv", ["renderer", "--tiny", "--out", str(tmp_path)])
    with unchecked():
        train_renderer.main()
    log = losses(tmp_path)
    assert log[-1] < 0.9 * log[0]
    model = Denoiser.load(tmp_path / "denoiser.safetensors")
    assert model.config.widths == (16, 24, 32)
    sheet = cv2.imread(str(tmp_path / "samples" / "000080.png"))
    assert sheet is not None and sheet.shape == (5 * 96, 160, 3), "drawing, truth, 1, 2, 4 steps"
    assert sheet.std() > 10


class Distance:
    """In place of LPIPS, whose weights a test run may not have."""

    def __init__(self, device: torch.device | None = None) -> None:
        del device

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().mean()


def polished(
    objective: train_renderer.Polish, steps: range, optimizer: torch.optim.Optimizer
) -> list[dict[str, float]]:
    """Train on one batch over and over; what the loss said of its parts."""
    log = []
    for step in steps:
        torch.manual_seed(step)
        loss, parts = objective(104)  # a mouth, with everything in its loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        log.append(parts)
    return log


@pytest.mark.slow
@pytest.mark.parametrize("regression", [False, True])
def test_the_second_stage_learns_a_picture_and_keeps_its_judge(
    monkeypatch: pytest.MonkeyPatch, regression: bool
) -> None:
    monkeypatch.setattr(train_renderer, "Lpips", Distance)
    autoencoder = Autoencoder.load()
    pairs = window_pairs.made_up(autoencoder, 2)

    def made() -> train_renderer.Polish:
        model = Denoiser(DenoiserConfig(widths=(16, 24, 32), blocks=1))
        cpu = torch.device("cpu")
        config = train_renderer.PolishConfig(regression, 2)
        return train_renderer.Polish(model, autoencoder, pairs, config, cpu)

    objective = made()
    fresh = copy.deepcopy(objective.judge.state_dict())
    optimizer = torch.optim.Adam(objective.model.parameters(), 3e-3)
    log = polished(objective, range(12), optimizer)
    first, last = (np.mean([entry["pixels"] for entry in part]) for part in (log[:3], log[-3:]))
    assert last < 0.8 * first
    taught = objective.judge.state_dict()
    changed = [not torch.equal(taught[name], value) for name, value in fresh.items()]
    assert any(changed) is not regression, "only a flow has a judge to fool"
    assert ("fooled" in log[-1]) is not regression
    assert all(p.grad is None for p in objective.autoencoder.parameters()), "it stays as it is"

    resumed = made()
    resumed.model.load_state_dict(objective.model.state_dict())
    resumed.load_state_dict(copy.deepcopy(objective.state_dict()))
    still = [torch.optim.SGD(o.model.parameters(), 0.0) for o in (objective, resumed)]
    wanted, found = (
        polished(o, range(12, 14), s) for o, s in zip((objective, resumed), still, strict=True)
    )
    assert wanted == found, "a judge with its optimizer goes on where it was"


TRAINERS = [
    pytest.param("train.renderer", "denoiser", marks=pytest.mark.endurance),
    pytest.param("train.autoencoder", "autoencoder", marks=pytest.mark.endurance),
    pytest.param("train.identity", "identity", marks=pytest.mark.endurance),
    pytest.param("train.speech", "speech_encoder", marks=pytest.mark.endurance),
    pytest.param("train.motion", "motion_generator", marks=pytest.mark.endurance),
    pytest.param("train.person", "motion_generator", marks=pytest.mark.endurance),
]


@pytest.mark.parametrize(("script", "role"), TRAINERS)
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path, script: str, role: str) -> None:
    """Killed for good (SIGKILL), at whatever it was doing."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(script, whole, "--steps", "12")
    words = command(script, killed, "--steps", "12", "--save-minutes", "0")
    with subprocess.Popen(words, cwd=ROOT, env=ON_CPU, stdout=subprocess.DEVNULL) as process:
        seen = _wait_for(killed / "checkpoint.pt", 3, process)
        process.kill()
    assert 0 < seen < 12, "killed midway"
    script = script.replace("train.renderer", "train_renderer")  # its name of old
    train(script, killed, "--steps", "12")
    assert torch.load(killed / "checkpoint.pt", weights_only=True)["step"] == 12
    wanted, _ = read_safetensors(whole / f"{role}.safetensors")
    found, _ = read_safetensors(killed / f"{role}.safetensors")
    assert all(np.array_equal(wanted[name], found[name]) for name in wanted)
    assert losses(killed) == losses(whole)


def _wait_for(checkpoint: Path, steps: int, process: subprocess.Popen) -> int:
    """Until a checkpoint of so many steps or more is there; how many it has."""
    for _ in range(2000):
        assert process.poll() is None, "it ended before it could be killed"
        if checkpoint.is_file():
            found = torch.load(checkpoint, weights_only=True)["step"]
            if found >= steps:
                return found
        time.sleep(0.05)
    raise AssertionError("no checkpoint came")


class Rival:
    """Something that a loss trains on the side."""

    def __init__(self) -> None:
        self.net = nn.Linear(2, 1)
        nn.init.ones_(self.net.weight)
        nn.init.zeros_(self.net.bias)
        self.optimizer = torch.optim.SGD(self.net.parameters(), 0.1, momentum=0.9)

    def state_dict(self) -> dict[str, dict]:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, dict]) -> None:
        self.net.load_state_dict(state_dict["net"])
        self.optimizer.load_state_dict(state_dict["optimizer"])


def toy(out: Path, stop: int | None = None) -> dict[str, Tensor]:
    """A line that runs after its rival for eight steps; its weights at the end."""
    module, rival = nn.Linear(2, 1), Rival()
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    kept: dict[str, Tensor] = {}

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        x = torch.randn(4, 2)
        away = rival.net(x).square().mean()
        rival.optimizer.zero_grad()
        away.backward()
        rival.optimizer.step()
        return (module(x) - rival.net(x).detach()).square().mean(), {"away": away.item()}

    def export(values: dict[str, Tensor], step: int, minutes: float) -> Held:
        kept.update(values)
        return Held({"weight": float(values["weight"].sum())}, np.full((4, 6, 3), step, np.uint8))

    config = LoopConfig(8, 0.1, warmup=1, log_every=2, stop=stop)
    run(module, loss, export, config, out, also={"rival": rival})
    return kept


@pytest.mark.usefixtures("on_cpu")
def test_what_trains_on_the_side_resumes_too(tmp_path: Path) -> None:
    whole = toy(tmp_path / "whole")
    toy(tmp_path / "parts", stop=3)
    parts = toy(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    toy(tmp_path / "parts")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole"), "a run that is done is done"


@pytest.mark.usefixtures("on_cpu")
def test_tensorboard_has_losses_figures_and_samples(tmp_path: Path, capsys) -> None:
    if find_spec("tensorboard") is None:
        toy(tmp_path)
        assert "pip install tensorboard" in capsys.readouterr().out
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    toy(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    tags: dict[str, Any] = events.Tags()
    assert {"train/loss", "train/away", "train/rate", "held out/weight"} <= set(tags["scalars"])
    assert [e.step for e in events.Scalars("train/loss")] == [0, 2, 4, 6, 7]
    assert tags["images"] == ["samples"]


@pytest.mark.slow
def test_the_loss_runs_in_the_precision_that_accelerate_is_told(tmp_path: Path) -> None:
    """In a process of its own: accelerate's choice holds for the whole process."""
    program = (
        "import torch; from pathlib import Path; from scripts.train.loop import *\n"
        "net = torch.nn.Linear(2, 2)\n"
        "def loss(step):\n"
        "    y = net(torch.ones(1, 2)); print('dtype', y.dtype); return y.square().mean(), {}\n"
        "def export(values, *_): print('kept', {v.dtype for v in values.values()})\n"
        f"run(net, loss, export, LoopConfig(1, 0.1), Path({str(tmp_path)!r}))"
    )
    environment = {**ON_CPU, "ACCELERATE_MIXED_PRECISION": "bf16"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "dtype torch.bfloat16" in done.stdout and "kept {torch.float32}" in done.stdout


def test_a_window_sees_what_the_whole_crop_sees() -> None:
    """Positions do not attend to each other and no norm is global: away from its border a window
    gives the crop's own values."""
    torch.manual_seed(0)
    model = Denoiser(DenoiserConfig(widths=(8, 8, 8), blocks=1, condition_blocks=1)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x, condition = torch.randn(1, 16, 64, 64), torch.rand(1, 8, 512, 512)
    reference, t = torch.randn(1, 16, 64, 64), torch.tensor([0.5])
    with torch.inference_mode():
        portrait = model.embed_portrait(reference[:, :, :32, :32])
        sharpness = torch.ones(1)
        whole = model(x, t, model.embed_condition(condition, reference), portrait, sharpness)
        part = np.s_[:, :, 4:60, 4:60]
        pixels = np.s_[:, :, 32:480, 32:480]
        features = model.embed_condition(condition[pixels], reference[part])
        window = model(x[part], t, features, portrait, sharpness)
    middle = np.s_[:, :, 24:32, 24:32]
    assert torch.allclose(whole[part][middle], window[middle], atol=1e-4)


def test_time_embedding_tells_times_apart() -> None:
    codes = time_embedding(torch.linspace(0, 1, 9), 32)
    assert codes.shape == (9, 32)
    assert float(torch.cdist(codes, codes).fill_diagonal_(9).min()) > 0.3


def test_unknown_config_keys_are_an_error() -> None:
    values = {**DenoiserConfig().to_dict(), "depth": 3}
    with pytest.raises(TypeError, match="depth"):
        DenoiserConfig.from_dict(values)


def test_autoencoder_keeps_a_face_crop() -> None:
    """The embedded weights: a smooth picture comes back within a few grey levels."""
    model = Autoencoder.load()
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    image = torch.stack([0.3 + 0.4 * x, 0.2 + 0.5 * y, 0.5 - 0.3 * x * y])[None]
    with torch.inference_mode():
        latent = model.encode(image)
        back = model.decode(latent)
    assert float((back - image).abs().mean()) < 0.02


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_drawn_ahead_are_those_of_their_steps(workers: int) -> None:
    ahead = Ahead(_drawn, workers)
    steps = [3, 4, 5, 20, 21]  # a run that is resumed begins anywhere
    assert [int(ahead(step)[0]) for step in steps] == steps
    assert all(torch.equal(ahead(step), _drawn(step)) for step in (22, 23))


def _drawn(step: int) -> torch.Tensor:
    return torch.cat([torch.tensor([float(step)]), torch.from_numpy(_noise(step))])


def _noise(step: int) -> np.ndarray:
    return np.random.default_rng(step).random(3, np.float32)


@pytest.mark.slow
@pytest.mark.endurance
def test_the_identity_network_learns_to_tell_people(tmp_path: Path) -> None:
    told = train("train.identity", tmp_path)
    assert "faces of 6 people" in told
    log = losses(tmp_path)
    assert log[-1] < 0.8 * log[0]
    tensors, header = read_safetensors(tmp_path / "identity.safetensors")
    network = IdentityNetwork(IdentityConfig.from_header(header))
    network.load_state_dict({k: torch.from_numpy(v).float() for k, v in tensors.items()})
    found = network(torch.rand(2, 3, 112, 112))
    assert found.shape == (2, 192) and torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-4)
