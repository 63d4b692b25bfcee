"""The schedule is the checkpoints' own, and windows leave no seam."""

from typing import Any

import pytest
import torch
from torch import Tensor

from motion2video.reference.families import ANIMATE_ANYONE, ANIPORTRAIT
from motion2video.reference.sampler import Carried, denoise, make_scheduler, timesteps
from motion2video.reference.settings import ReferenceConfig, Sampling, Scheduler, working_size
from weights.errors import InputError


def sampling(**chosen: Any) -> Sampling:
    values: dict[str, Any] = {"window": 6, "overlap": 2, **chosen}
    return ReferenceConfig(**values).sampling(ANIPORTRAIT)


def test_25_steps_are_those_of_the_authors() -> None:
    steps = timesteps(ReferenceConfig().sampling(ANIPORTRAIT))
    assert steps == list(range(999, 0, -40)) and len(steps) == 25


def test_there_is_no_signal_at_the_first_step() -> None:
    scheduler = make_scheduler("ddim")
    assert scheduler.alphas_cumprod[999] == 0
    assert float(scheduler.betas[0]) == pytest.approx(0.00085, rel=1e-3)


@pytest.mark.parametrize("kind", ["ddim", "dpm", "lcm"])
def test_a_true_velocity_leads_to_the_picture(kind: Scheduler) -> None:
    """v = sqrt(a) noise - sqrt(1 - a) x_0 at every step, of an x_0 that is known."""
    chosen = sampling(scheduler=kind, steps=6)
    truth = torch.randn(6, 4, 2, 2, generator=torch.Generator().manual_seed(1))
    latents, _ = denoise(noises(6), exact(truth), chosen, None)
    assert torch.allclose(latents, truth, atol=2e-3)


def noises(frames: int, start: int = 0):
    def noise(step: int) -> Tensor:
        keyed = [torch.Generator().manual_seed(1000 * step + start + i) for i in range(frames)]
        return torch.stack([torch.randn(4, 2, 2, generator=one) for one in keyed])

    return noise


def exact(truth: Tensor):
    """Predicts what leads to `truth`, from wherever the latents are."""
    alphas = make_scheduler("ddim").alphas_cumprod.double()

    def predict(latents: Tensor, t: int, windows: list[slice], guided: bool) -> list[Tensor]:
        a = alphas[t]
        noise = (latents.double() - a.sqrt() * truth) / (1 - a).sqrt().clamp(min=1e-9)
        velocity = (a.sqrt() * noise - (1 - a).sqrt() * truth).float()
        return [velocity[window] for window in windows]

    return predict


def in_groups(frames: int, chosen: Sampling, truth: Tensor, predicts=exact) -> Tensor:
    """As the renderer does it."""
    carried: Carried | None = None
    start, drawn, windows = 0, list[Tensor](), chosen.windows
    while start < frames and (start == 0 or start + windows.overlap < frames):
        count = min(windows.span, frames - start)
        latents, carried = denoise(
            noises(count, start), predicts(truth[start : start + count]), chosen, carried
        )
        last = start + count == frames
        drawn.append(latents if last else latents[: windows.fresh])
        start += windows.fresh
    return torch.cat(drawn)


@pytest.mark.parametrize("together", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 3, 6, 7, 14, 23])
def test_a_constant_input_gives_a_constant_output_across_seams(together: int, frames: int) -> None:
    truth = torch.full((frames, 4, 2, 2), 0.3)
    found = in_groups(frames, sampling(steps=4, together=together), truth)
    assert found.shape == truth.shape
    torch.testing.assert_close(found, truth, atol=1e-3, rtol=0)


def test_where_windows_differ_the_step_between_them_is_spread_over_the_overlap() -> None:
    """Every window wants another level; frames go from one to the next without a jump."""
    chosen = ReferenceConfig(window=8, overlap=4, steps=4, together=3).sampling(ANIPORTRAIT)
    alphas = make_scheduler("ddim").alphas_cumprod

    def predict(latents: Tensor, t: int, windows: list[slice], guided: bool) -> list[Tensor]:
        a = alphas[t]
        one = []
        for level, window in enumerate(windows):
            x = latents[window]
            noise = (x - a.sqrt() * level) / (1 - a).sqrt().clamp(min=1e-6)
            one.append(a.sqrt() * noise - (1 - a).sqrt() * level)
        return one

    latents, _ = denoise(noises(16), predict, chosen, None)
    level = latents.mean((1, 2, 3))
    assert level[:4].abs().max() < 0.01 and level[-4:].sub(2).abs().max() < 0.01
    assert level.diff().abs().max() < 0.41, "a fifth of a level a frame, and twice between overlaps"


def test_no_window_goes_back_to_the_first_frames() -> None:
    windows = ReferenceConfig(window=16, overlap=4, together=100).sampling(ANIPORTRAIT).windows
    assert windows.of(60) == [slice(s, min(s + 16, 60)) for s in (0, 12, 24, 36, 48)]


def test_weights_of_overlapping_windows_add_up_to_one() -> None:
    windows = sampling().windows
    weights = windows.weights(6)
    assert [a + b for a, b in zip(weights[-2:], weights[:2], strict=True)] == pytest.approx([1, 1])


def test_guidance_is_done_on_a_part_of_the_steps() -> None:
    chosen = sampling(steps=10, guidance=3.0, guidance_interval=(0.2, 0.6))
    assert [step for step in range(10) if chosen.guided(step)] == [2, 3, 4, 5]
    assert chosen.passes == 14
    assert not any(map(sampling(guidance=1.0).guided, range(25)))
    asked = list[bool]()
    predict = exact(torch.zeros(6, 4, 2, 2))

    def counted(latents: Tensor, t: int, windows: list[slice], guided: bool) -> list[Tensor]:
        asked.append(guided)
        return predict(latents, t, windows, guided)

    denoise(noises(6), counted, chosen, None)
    assert asked == [chosen.guided(step) for step in range(10)]


def test_defaults_are_the_authors_own() -> None:
    own = ReferenceConfig().sampling(ANIPORTRAIT)
    assert (own.steps, own.guidance, own.windows.length, own.windows.overlap) == (25, 3.5, 16, 4)
    moore = ReferenceConfig().sampling(ANIMATE_ANYONE)
    assert (moore.steps, moore.guidance, moore.windows.length, moore.windows.overlap) == (
        30,
        3.5,
        24,
        4,
    )
    assert ReferenceConfig(scheduler="lcm").sampling(ANIPORTRAIT).passes == 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"guidance": 0.5},
        {"guidance_interval": (0.6, 0.2)},
        {"together": 0},
        {"size": 500},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="wanted"):
        ReferenceConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"window": 33}, {"window": 6, "overlap": 4}])
def test_windows_that_a_family_cannot_draw_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="wanted"):
        ReferenceConfig(**wrong).sampling(ANIPORTRAIT)


def test_pictures_are_drawn_at_multiples_of_64() -> None:
    assert working_size(512, 512, 512) == (512, 512)
    assert working_size(768, 1024, 512) == (384, 512)
    assert working_size(1000, 100, 512) == (512, 64)


def test_the_odd_range_belongs_to_the_guider_with_batch_norm() -> None:
    window = ReferenceConfig(batch_norm="window")
    assert ReferenceConfig().pose_range(ANIPORTRAIT) == (-1.0, 1.0)
    assert window.pose_range(ANIPORTRAIT) == (-1.0, 509.0)
    assert window.pose_range(ANIMATE_ANYONE) == (0.0, 1.0)
