"""How motion is sampled: the solvers, and the settings of a generator."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.network.condition import INPUTS
from audio2motion.network.gate import SPEECH_CHANNELS
from motion2video.motion import MOTION_DIM
from motion2video.network.flow import Velocity, adams, euler, heun
from weights.errors import InputError

Say = Callable[[Tensor, Tensor], Velocity]
"""What the network says of x_t at t: the velocity there, and a little on the way from there."""
Solver = Callable[[Say, Tensor, Tensor], Tensor]
INNER = 4
"""Steps of the closed form on the way to the network's next evaluation."""


def mixture(say: Say, x: Tensor, grid: Float[Tensor, "n"]) -> Tensor:
    """Integrate over `grid` with one evaluation of the network a step, and INNER steps by the
    closed form of what it said (the GM-ODE solver of Gaussian mixture flow matching, Chen et al.
    2025): what flows decides between going on and a burst within a fraction of a step.
    """
    velocity, before = None, None
    fine = torch.cat(
        [torch.linspace(float(a), float(b), INNER + 1)[:-1] for a, b in itertools.pairwise(grid)]
    )
    for i, (t, t_next) in enumerate(itertools.pairwise([*fine, grid[-1]])):
        if velocity is None or i % INNER == 0:
            velocity = say(x, t)
        v = velocity(x, t)
        x = x + (t_next - t) * (v if before is None else 1.5 * v - 0.5 * before)
        before = v
    return x


def _without_saying(solver: Callable[[Velocity, Tensor, Tensor], Tensor]) -> Solver:
    """A solver that asks the network wherever it wants a velocity."""

    def solve(say: Say, x: Tensor, grid: Tensor) -> Tensor:
        return solver(lambda x, t: say(x, t)(x, t), x, grid)

    return solve


SOLVERS: dict[str, Solver] = {
    "euler": _without_saying(euler),
    "adams": _without_saying(adams),
    "heun": _without_saying(heun),
    "mixture": mixture,
}


@dataclass(frozen=True)
class GeneratorConfig:
    """How to sample.

    `steps` of the ODE solver (2..16; `solver` one of SOLVERS); one guidance scale per input
    (1 = off; others cost one more network evaluation each), and `lip_agent_scale` for what the
    agent's voice does to the speech channels; `temperature` scales the noise of everything but
    speech, `lip_temperature` that of the jaw and of the outline of the lips, whose motion
    `lip_scale` scales, and `shape_temperature` that of the lips' named shapes (stretched, pursed,
    raised ...); on top, `lid_temperature` that of the lids and `nod_temperature` that of the head's
    pitch: at 1 a listener nods less than people; `breath` scales what breathing moves, 0 is none.
    Where no style is asked for, every seed but 0 has a manner of its own, `variety` times as far
    from the median as people's. Raises InputError.
    """

    steps: int = 4
    solver: str = "mixture"
    agent_scale: float = 1.0
    lip_agent_scale: float = 1.0
    interlocutor_scale: float = 1.0
    interlocutor_motion_scale: float = 2.0
    controls_scale: float = 1.0
    temperature: float = 1.0
    lip_temperature: float = 0.15
    lip_scale: float = 1.3
    shape_temperature: float = 0.15
    lid_temperature: float = 1.3
    nod_temperature: float = 1.15
    breath: float = 1.0
    variety: float = 0.6

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 64:
            raise InputError(f"got {self.steps} steps; wanted 1 to 64")
        if self.solver not in SOLVERS:
            raise InputError(f"there is no solver {self.solver!r}; wanted {', '.join(SOLVERS)}")

    @property
    def scales(self) -> Float[np.ndarray, "4 90"]:
        """The guidance scales in the order of INPUTS, of every channel."""
        whole = (
            self.agent_scale,
            self.interlocutor_scale,
            self.interlocutor_motion_scale,
            self.controls_scale,
        )
        scales = np.repeat(np.array(whole, np.float32)[:, None], MOTION_DIM, 1)
        scales[INPUTS.index("agent"), list(SPEECH_CHANNELS)] = self.lip_agent_scale
        return scales
