"""Stretches of conversations as batches, with inputs that are left out at random."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from audio2motion.gestures.style import STYLE_DIM
from audio2motion.network.condition import (
    CHUNK,
    GLANCE,
    LOOK_AHEAD,
    SEEN_DIM,
    Condition,
    agent_window,
    seen_window,
)
from audio2motion.network.gate import listening
from audio2motion.network.gaze import to_gaze
from audio2motion.network.habits import LATELY
from audio2motion.network.model import MotionNetwork
from motion2video.motion import DETAIL
from scripts.data.motion_items import Item

FRAMES = 100
DROP = {"agent": 0.1, "interlocutor": 0.15, "interlocutor_motion": 0.15, "controls": 0.15}
HEARD_DROPOUT = 0.25
FAR = 8.0
"""Innovations beyond this many of the median person's deviations are errors of trackers."""
LISTENING_WEIGHT, HEARD_BEFORE = 3.0, 100
"""Who answers whom is learned of listeners alone, who are rare."""


@dataclass(frozen=True, eq=False)
class Batch:
    """FRAMES frames each of several conversations; motion is tokens. `shut` [b, t] is 1 where
    lips must touch in items without a face (`faceless` [b]), `listens` [b, t] how far the agent is
    the one who listens (gate.listening).
    """

    values: Tensor
    weight: Tensor
    condition: Condition
    shut: Tensor
    faceless: Tensor
    listens: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(
            self.values.to(device),
            self.weight.to(device),
            self.condition.to(device),
            self.shut.to(device),
            self.faceless.to(device),
            self.listens.to(device),
        )


def cut(
    item: Item, start: int, count: int, network: MotionNetwork, mirror: Tensor | None = None
) -> Batch:
    """Frames start .. start + count of one conversation, as a batch of one."""
    ahead, here = slice(start, start + count + LOOK_AHEAD), slice(start, start + count)
    voice = item.agent
    agent = agent_window(
        voice.features[ahead].float(), voice.energy[ahead].float(), voice.activity[ahead].float()
    )
    size = voice.features.shape[1]
    sound, motion = torch.zeros(count, size + 2), torch.zeros(count, SEEN_DIM)
    present = torch.ones(count, 4)
    if item.interlocutor is None:
        present[:, 1] = 0
    else:
        other = item.interlocutor
        parts = [other.features[here], other.energy[here, None], other.activity[here, None]]
        sound = torch.cat(parts, 1).float()
    if item.seen is None:
        present[:, 2] = 0
    else:
        seen = item.seen[max(0, start - GLANCE) : start + count].float()
        theirs = network.standardise(seen[:, :-1])
        tokens = torch.cat([theirs * seen[:, -1:], seen[:, -1:]], 1)
        motion = seen_window(F.pad(tokens, (0, 0, GLANCE + count - len(tokens), 0)))
        present[:, 2] = seen[-count:, -1]
    condition = Condition(
        agent[None], sound[None], motion[None], item.controls.expand(1, count, -1), present[None]
    )
    faceless = item.shut is not None
    values, weight = item.values[here], item.weight[here]
    if mirror is not None:
        named = slice(DETAIL.start)
        weight = torch.cat([weight[:, named] @ mirror[named, named].abs(), weight[:, DETAIL]], 1)
        values = values @ mirror
    if item.interlocutor is not None:
        values = to_gaze(values)
    values = network.normalise(values)
    listens = listening_levels(item, start, count)
    if item.interlocutor is not None:
        weight = weight * (1 + (LISTENING_WEIGHT - 1) * listens[:, None])
    shut = item.shut[here] if item.shut is not None else torch.zeros(count)
    return Batch(
        values[None] * (not faceless),
        weight[None],
        condition,
        shut[None],
        torch.tensor([faceless]),
        listens[None],
    )


def listening_levels(item: Item, start: int, count: int) -> Tensor:
    """[count] how far the agent listens, by what was heard of both up to each frame."""
    heard = slice(max(0, start - HEARD_BEFORE), start + count)
    agent = item.agent.activity[heard].float().numpy()
    other = np.zeros_like(agent)
    if item.interlocutor is not None:
        other = item.interlocutor.activity[heard].float().numpy()
    return torch.from_numpy(listening(agent, other, 0.0)[0][-count:])


def draw(
    items: list[Item],
    network: MotionNetwork,
    step: int,
    size: int,
    seed: int,
    mirror: Tensor | None = None,
) -> Batch:
    """The batch of a step: a function of (seed, step). `mirror` [90, 90] mirrors half of it."""
    rng = np.random.default_rng((seed, step))
    long = [i for i in items if len(i.values) > FRAMES]
    share = np.array([len(i.values) * i.share for i in long], float)
    parts = []
    for index in rng.choice(len(long), size, p=share / share.sum()):
        item = long[index]
        start = int(rng.integers(0, len(item.values) - FRAMES + 1))
        parts.append(cut(item, start, FRAMES, network, mirror if rng.random() < 0.5 else None))
    return Batch(
        torch.cat([p.values for p in parts]),
        torch.cat([p.weight for p in parts]),
        Condition.stack([p.condition for p in parts]),
        torch.cat([p.shut for p in parts]),
        torch.cat([p.faceless for p in parts]),
        torch.cat([p.listens for p in parts]),
    )


def drop_inputs(batch: Batch) -> Condition:
    """Take away inputs at random, each for a whole sequence; never the voice without a face. Of
    what describes the agent's voice, single numbers go as well: the voices are few.
    """
    condition, present = batch.condition, batch.condition.present
    keep = torch.rand(len(present), 1, 4, device=present.device)
    keep = (keep > torch.tensor(list(DROP.values()), device=present.device)).float()
    keep[:, :, 0] = torch.maximum(keep[:, :, 0], batch.faceless[:, None].float())
    return Condition(
        F.dropout(condition.agent, HEARD_DROPOUT),
        condition.interlocutor,
        condition.interlocutor_motion,
        condition.controls,
        present * keep,
    )


def swing_of(network: MotionNetwork, condition: Condition) -> Tensor:
    """[b, 1, 90] how much larger innovations are than the median person's, by the style."""
    controls = condition.controls[:, 0]
    return network.swing(controls[:, -STYLE_DIM - 1 : -1] * controls[:, -1:])[:, None]


def chunked(x: Tensor) -> Tensor:
    """[b, t, ...] to [b, t / 5, 5, ...]."""
    return x.unflatten(1, (-1, CHUNK))


def before(chunks: Tensor) -> Tensor:
    """Of every chunk the one before it; the first is followed by itself."""
    return torch.cat([chunks[:, :1], chunks[:, :-1]], 1)


def lately(tokens: Tensor, done: Tensor) -> Tensor:
    """Of every chunk the tokens of the LATELY frames before it beside what was new in them, as
    GeneratorState has them; before the first they were as at first. [b, n, 10, 180]
    """
    both = torch.cat([tokens, done], -1)
    padded = torch.cat([both[:, :1].expand(-1, LATELY, -1), both], 1)
    return padded.unfold(1, LATELY, CHUNK)[:, :-1].transpose(2, 3)


def learned(weight: Tensor) -> Tensor:
    """1 where a channel is known of its whole chunk and of the same frame before, else 0: what
    does not follow from anything is not learned.
    """
    known = weight > 0
    whole = chunked(known).all(2).repeat_interleave(CHUNK, 1)
    whole[:, CHUNK:] &= known[:, :-CHUNK]
    whole[:, :CHUNK] = False
    return whole.float()
