"""The renderer's training scripts on made-up data: they learn, resume, and leave usable weights."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from motion2video.autoencoder import Autoencoder, AutoencoderConfig
from motion2video.denoiser import Denoiser, DenoiserConfig, time_embedding
from weights.tensors import read_safetensors

ROOT = Path(__file__).parents[2]


def train(script: str, out: Path, *options: str) -> str:
    command = [sys.executable, "-m", f"scripts.{script}", "--tiny", "--out", str(out), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_tiny_autoencoder_learns_and_loads(tmp_path: Path) -> None:
    text = train("train_autoencoder", tmp_path)
    log = losses(tmp_path)
    assert log[-1] < 0.6 * log[0]
    assert "PSNR on held-out people" in text
    tensors, config = read_safetensors(tmp_path / "autoencoder.safetensors")
    model = Autoencoder(AutoencoderConfig(**config)).eval()
    model.load_state_dict({k: torch.from_numpy(v).float() for k, v in tensors.items()})
    with torch.inference_mode():
        latent = model.encode(torch.rand(1, 3, 64, 96))
        assert latent.shape == (1, 16, 8, 12)
        assert model.decode(latent).shape == (1, 3, 64, 96)


@pytest.mark.slow
def test_tiny_denoiser_learns_and_loads(tmp_path: Path) -> None:
    train("train_renderer", tmp_path)
    log = losses(tmp_path)
    assert log[-1] < 0.9 * log[0]
    tensors, config = read_safetensors(tmp_path / "denoiser.safetensors")
    model = Denoiser(DenoiserConfig.from_dict(config)).eval()
    model.load_state_dict({k: torch.from_numpy(v).float() for k, v in tensors.items()})
    again = train("train_renderer", tmp_path)
    assert "step 80" in again and losses(tmp_path) == log, "a finished run has nothing to do"


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
    from weights.tensors import load_safetensors

    tensors, config = load_safetensors("autoencoder")
    model = Autoencoder(AutoencoderConfig(**config)).eval()
    model.load_state_dict({k: torch.from_numpy(v).float() for k, v in tensors.items()})
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    image = torch.stack([0.3 + 0.4 * x, 0.2 + 0.5 * y, 0.5 - 0.3 * x * y])[None]
    with torch.inference_mode():
        latent = model.encode(image)
        back = model.decode(latent)
    assert float((back - image).abs().mean()) < 0.02
