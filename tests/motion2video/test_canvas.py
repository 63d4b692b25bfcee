"""The GPU's way to paste a frame gives what the CPU's gives; it runs on any device."""

from pathlib import Path

import numpy as np
import pytest
import torch

from motion2video.canvas import Canvas, sample
from motion2video.compute import ComputeConfig
from motion2video.motion import Motion, channel_index
from motion2video.portrait import Portrait
from motion2video.renderer import RenderConfig, Renderer

PHOTO = Path(__file__).parents[2] / "app" / "assets" / "portraits" / "default.jpg"
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [200, 384])
def test_a_canvas_pastes_what_the_cpu_pastes(device: str, size: int) -> None:
    portrait = Portrait.load(PHOTO, size=size)
    renderer = Renderer.load(RenderConfig(), ComputeConfig(device="cpu"))
    prepared = renderer.init_state(portrait).prepared
    motion = Motion.neutral(3)
    motion.values[:, channel_index("jawOpen")] = [0.0, 0.3, 0.7]
    motion.values[:, 53] = [0.0, 0.1, -0.2]  # turns the head
    marks, eyes = prepared.face.keypoints(motion)
    crops = renderer.warp(prepared, marks, eyes)
    renderer.diffuse(prepared, crops)
    alphas = [np.maximum(c.areas["mouth"], c.areas["eyes"]) for c in crops]
    got = Canvas(prepared.warp, torch.device(device)).paste(
        [c.warped for c in crops], [c.painted for c in crops], alphas
    )
    for wanted, frame in zip(renderer.paste(prepared, crops), got, strict=True):
        assert frame.shape == wanted.shape and frame.dtype == np.uint8
        away = np.abs(frame.astype(int) - wanted)
        assert away.mean() < 0.3 and np.quantile(away, 0.999) <= 6


def test_sampling_follows_pixels_and_keeps_the_edge() -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    grid = torch.tensor([[[[0.0, 0.0], [1.5, 1.0], [9.0, 2.0], [-3.0, -3.0]]]])
    assert sample(image, grid).flatten().tolist() == pytest.approx([0.0, 5.5, 11.0, 0.0], abs=1e-5)


def test_batches_are_filled_up_and_their_filling_is_dropped() -> None:
    """On a GPU several frames go together; the last few alone give the same frames."""
    portrait = Portrait.load(PHOTO, size=200)
    renderer = Renderer.load(
        RenderConfig(steps=1), ComputeConfig(device="cpu", backend="torch", precision="fp32")
    )
    motion = Motion.neutral(3)
    motion.values[:, channel_index("jawOpen")] = [0.2, 0.4, 0.6]
    one_by_one = list(renderer.stream(portrait, [motion]))
    renderer.batch = 4
    together = list(renderer.stream(portrait, [motion]))
    assert len(together) == 3
    for a, b in zip(one_by_one, together, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1
