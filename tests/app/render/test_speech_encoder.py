"""`--speech-encoder`: a model of the user's in place of the embedded encoder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers.utils.logging

import audio2motion.network.borrowed_speech as borrowed_speech
from app.cli.commands import main
from app.render.pipeline import Avatar
from app.render.request import RenderRequest
from audio2motion.network.speech_map import practice_speech
from motion2video.motion import Motion


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny untrained HuBERT."""
    torch.manual_seed(0)
    config = transformers.HubertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    transformers.utils.logging.disable_progress_bar()
    transformers.HubertModel(config).save_pretrained(tmp_path / "hubert")
    return tmp_path / "hubert"


@pytest.mark.slow
@pytest.mark.weights("speech_encoder", "motion_generator")
def test_motion_through_a_model_of_the_users(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    short = [[group[0][:80_000]] for group in practice_speech()]
    monkeypatch.setattr(borrowed_speech, "practice_speech", lambda: short)
    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path / "cache"))
    words = ["motion", "--text", "Hi.", "--device", "cpu", "--json"]
    chosen = ["--speech-encoder", f"hubert:{folder}"]
    assert main([*words, "--out", str(tmp_path / "a.npz")]) == 0
    capfd.readouterr()
    assert main([*words, *chosen, "--out", str(tmp_path / "b.npz")]) == 0
    told = capfd.readouterr()
    assert json.loads(told.out)["frames"] == len(Motion.load(tmp_path / "a.npz"))
    assert "once: this may take minutes" in told.err and "r = " in told.err
    assert main([*words, *chosen, "--out", str(tmp_path / "c.npz")]) == 0
    assert "once" not in capfd.readouterr().err
    a, b, c = (Motion.load(tmp_path / f"{name}.npz").values for name in "abc")
    assert np.array_equal(b, c) and not np.array_equal(a, b)


@pytest.mark.parametrize("command", ["motion", "render"])
def test_no_model_there(command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [command, "--text", "Hi.", "--out", str(tmp_path / "x.mp4")]
    if command == "motion":
        words[-1] = str(tmp_path / "x.npz")
    else:
        words += ["--portrait", "app/assets/portraits/man_1.jpg"]
    assert main([*words, "--speech-encoder", "whisper:/nowhere"]) == 2
    assert "there is no model of transformers in /nowhere" in capfd.readouterr().err
    assert not Path(words[words.index("--out") + 1]).exists()


@pytest.mark.weights("face_landmarker", "autoencoder", "denoiser", "motion_generator")
def test_results_say_what_heard(avatar: Avatar, tmp_path: Path) -> None:
    request = RenderRequest(text="Hi.", portrait="app/assets/portraits/man_1.jpg", size=128)
    result = avatar.render(request, tmp_path / "hi.mp4")
    assert result.settings["speech_encoder"] == "embedded"
