"""From noise to latents, a group of overlapping windows at a time.

At each step every window predicts its frames; where two overlap, both predictions count, by weights
that fall towards the ends of a window. The last frames of a group are drawn again with the next
one, to which their predictions are handed on: so a stream of any length has no seams, and needs
the memory of one group.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from motion2video.reference.settings import Sampling, Scheduler

Predict = Callable[[Float[Tensor, "f c h w"], int, list[slice], bool], list[Tensor]]
"""(latents of a group, t, its windows, whether guided) to a prediction of each window."""
Noise = Callable[[int], Float[Tensor, "f c h w"]]
"""The noise of a group's frames at a step."""
_SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}


@dataclass(frozen=True, eq=False)
class Carried:
    """What a group hands on to the next of the `overlap` frames that both draw: what was predicted
    at each step, times its weight; the weights; and where the frames came out, should the video
    end.
    """

    predicted: list[Float[Tensor, "o c h w"]]
    weights: Float[Tensor, "o 1 1 1"]
    latents: Float[Tensor, "o c h w"]


def make_scheduler(kind: Scheduler) -> Any:
    """diffusers' own, with a zero signal at t = 999 and velocities, as these checkpoints need
    it.
    """
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
    from diffusers.schedulers.scheduling_lcm import LCMScheduler

    if kind == "dpm":
        return DPMSolverMultistepScheduler(**_SCHEDULE, algorithm_type="dpmsolver++")
    if kind == "lcm":
        return LCMScheduler(**_SCHEDULE)
    return DDIMScheduler(**_SCHEDULE, clip_sample=False)


def timesteps(sampling: Sampling) -> list[int]:
    """Where the steps are, from 999 on down."""
    scheduler = make_scheduler(sampling.scheduler)
    scheduler.set_timesteps(sampling.steps)
    return scheduler.timesteps.tolist()


def denoise(
    noise: Noise, predict: Predict, sampling: Sampling, carried: Carried | None
) -> tuple[Float[Tensor, "f c h w"], Carried]:
    """The latents of a group of frames, and what the next group needs. With `carried`, the group's
    first frames are the last ones of the group before.
    """
    scheduler = make_scheduler(sampling.scheduler)
    scheduler.set_timesteps(sampling.steps)
    latents = noise(0)
    frames, handed = len(latents), min(sampling.windows.overlap, len(latents))
    windows, kept = sampling.windows.of(frames), list[Tensor]()
    total, last = _weights(windows, sampling, carried, latents)
    for step, t in enumerate(scheduler.timesteps):
        found = predict(latents, int(t), windows, sampling.guided(step))
        blended, tail = torch.zeros_like(latents), torch.zeros_like(latents)
        if carried is not None:
            blended[: len(carried.latents)] = carried.predicted[step]
        for window, one in zip(windows, found, strict=True):
            part = one.float() * _ramp(sampling, window, carried is not None, latents)
            blended[window] += part
            if window is windows[-1]:
                tail[window] = part
        kept.append(tail[frames - handed :])
        made = scheduler.step(blended / total, t, latents)
        latents = _next(scheduler, made, sampling.scheduler, noise, step)
    return latents, Carried(kept, last[frames - handed :], latents[frames - handed :])


def _weights(
    windows: list[slice], sampling: Sampling, carried: Carried | None, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Of all windows at each frame, and of the last window alone."""
    total, last = (like.new_zeros(len(like), 1, 1, 1) for _ in range(2))
    if carried is not None:
        total[: len(carried.weights)] = carried.weights
    for window in windows:
        total[window] += _ramp(sampling, window, carried is not None, like)
    last[windows[-1]] = _ramp(sampling, windows[-1], carried is not None, like)
    return total, last


def _ramp(sampling: Sampling, window: slice, goes_on: bool, like: Tensor) -> Tensor:
    weights = like.new_tensor(sampling.windows.weights(window.stop - window.start))
    if window.start == 0 and not goes_on:
        weights[: sampling.windows.overlap] = 1.0  # nothing is before the first frame
    return weights.reshape(-1, 1, 1, 1)


def _next(scheduler: Any, made: Any, kind: Scheduler, noise: Noise, step: int) -> Tensor:
    """Where a step has led. The last one ends at the picture: DDIM would leave noise in it where
    the steps do not divide 1000. LCM adds noise anew, which is that of the frames, not of a group.
    """
    last = step + 1 == len(scheduler.timesteps)
    if kind == "lcm":
        if last:
            return made.denoised
        t = scheduler.timesteps[step + 1]
        return scheduler.add_noise(made.denoised, noise(step + 1), t[None])
    return made.pred_original_sample if last and kind == "ddim" else made.prev_sample
