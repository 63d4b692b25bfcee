"""Analytic checks of the probability path and the solvers."""

import pytest
import torch

from motion2video.network.flow import adams, euler, frame_noise, guide, heun, interpolate, time_grid


def test_time_grid_runs_from_noise_to_data() -> None:
    grid = time_grid(4)
    assert torch.equal(grid, torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
    shifted = time_grid(4, shift=3.0)
    assert shifted[0] == 0 and shifted[-1] == 1
    assert bool((shifted[1:-1] < grid[1:-1]).all()), "shift > 1 stays longer near the noise"


@pytest.mark.parametrize(("steps", "shift"), [(0, 1.0), (2, 0.0)])
def test_time_grid_refuses_nonsense(steps: int, shift: float) -> None:
    with pytest.raises(ValueError, match="steps >= 1"):
        time_grid(steps, shift)


def test_velocity_three_t_squared_integrates_to_one() -> None:
    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return 3 * t**2 * torch.ones_like(x)

    exact = torch.ones(2)
    coarse = euler(velocity, torch.zeros(2), time_grid(1000))
    assert torch.allclose(coarse, exact, atol=2e-3)
    fine = heun(velocity, torch.zeros(2), time_grid(1000))
    assert torch.allclose(fine, exact, atol=2e-6), "Heun is second order"


def test_adams_is_second_order_with_one_evaluation_a_step() -> None:
    times = []

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        times.append(float(t))
        return 3 * t**2 * torch.ones_like(x)

    fine = adams(velocity, torch.zeros(2), time_grid(1000))
    assert torch.allclose(fine, torch.ones(2), atol=2e-6)
    assert len(times) == 1000


def test_adams_keeps_the_variance_that_euler_loses() -> None:
    """Of the flow between two equal Gaussians, whose solution ends where it began."""

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return x * (2 * t - 1) / (t**2 + (1 - t) ** 2)

    one = torch.ones(1)
    assert float(euler(velocity, one, time_grid(4))) < 0.75
    assert float(adams(velocity, one, time_grid(4))) > 0.92


def test_straight_path_is_solved_in_one_step() -> None:
    x_0, x_1 = torch.randn(3, 5), torch.randn(3, 5)
    assert torch.allclose(euler(lambda x, t: x_1 - x_0, x_0, time_grid(1)), x_1, atol=1e-6)


def test_interpolate_ends_at_noise_and_data() -> None:
    x_0, x_1 = torch.zeros(3, 2), torch.ones(3, 2)
    x = interpolate(x_0, x_1, torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(x[:, 0], torch.tensor([0.0, 0.25, 1.0]))


def test_guidance_scale_one_is_the_plain_model() -> None:
    conditional, unconditional = torch.tensor([2.0]), torch.tensor([1.0])
    assert guide(conditional, unconditional, 1.0).item() == 2.0
    assert guide(conditional, unconditional, 0.0).item() == 1.0
    assert guide(conditional, unconditional, 3.0).item() == 4.0


def test_frame_noise_depends_on_seed_and_absolute_frame_only() -> None:
    whole = frame_noise(7, 0, 10, (3,))
    cut = torch.cat([frame_noise(7, 0, 4, (3,)), frame_noise(7, 4, 6, (3,))])
    assert torch.equal(whole, cut)
    assert not torch.equal(whole, frame_noise(8, 0, 10, (3,)))
    many = frame_noise(1, 0, 400, (16,))
    assert abs(float(many.mean())) < 0.05 and abs(float(many.std()) - 1) < 0.05
