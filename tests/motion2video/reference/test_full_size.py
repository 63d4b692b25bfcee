"""One step of AniPortrait's networks at their full size, with random weights, at 256 pixels.

Minutes and 6 GB: `python -m pytest -s -m endurance tests/motion2video/reference/test_full_size.py`.
"""

import resource
from pathlib import Path

import pytest
import torch

from motion2video.reference.attention import Reference
from motion2video.reference.families import ANIPORTRAIT
from motion2video.reference.guiders import make_guider
from motion2video.reference.unets import make_denoising_unet, make_reference_unet

pytestmark = [pytest.mark.slow, pytest.mark.endurance, pytest.mark.timeout(1800)]
SHAPES, SIDE, FRAMES = ANIPORTRAIT.shapes, 256, 2
NEEDED_GB = 10


def available_gb() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1e6


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


@torch.inference_mode()
def test_one_step_at_full_size() -> None:
    if available_gb() < NEEDED_GB:
        pytest.skip(f"needs {NEEDED_GB} GB of memory")
    torch.manual_seed(0)
    latent, token = torch.randn(1, 4, SIDE // 8, SIDE // 8), torch.randn(1, 1, 768)
    sight = make_reference_unet(SHAPES.unet).eval()(latent, token)
    assert len(sight.tokens) == 16
    print(f"\nreference U-Net: peak {peak_gb():.2f} GB")
    pose = make_guider(SHAPES.guider, SHAPES.unet).eval()(torch.rand(FRAMES, 3, SIDE, SIDE) * 2 - 1)
    unet = make_denoising_unet(SHAPES.unet).eval()
    frames = torch.randn(1, 4, FRAMES, SIDE // 8, SIDE // 8)
    made = unet(frames, 999, token, pose, Reference(sight, FRAMES))
    print(f"a step of {FRAMES} frames at {SIDE} px: peak {peak_gb():.2f} GB")
    assert made.shape == frames.shape and torch.isfinite(made).all()
