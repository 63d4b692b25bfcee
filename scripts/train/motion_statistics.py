"""What the motion network takes over from its data before it learns: how motion is told in tokens,
how it goes on, how far it goes, and what a ridge regression hears of lips.
"""

import numpy as np
import torch

from audio2motion.behaviour.eyes import BLINK_CHANNELS
from audio2motion.gestures.style import STYLE_DIM
from audio2motion.network.condition import CHUNK
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.marginals import LIP_SHAPES, SCORED, quantiles
from audio2motion.network.model import UNBOUNDED, MotionNetwork
from audio2motion.network.source import whitened
from motion2video.motion import EXPRESSION, MOTION_DIM
from scripts.data.motion_items import SHARES, Item
from scripts.train.lip_reader import READER_STIFFNESS, Ridge, learn_closures
from scripts.train.motion_axes import fit_axes
from scripts.train.motion_batches import before, chunked, cut, learned, swing_of
from scripts.train.motion_source import EYES, fit

LIDS = list(BLINK_CHANNELS)
MOST_OF_FACE, MOST_OF_HEAD = 0.999, 0.99
"""Quantiles of people's innovations that none goes beyond; a head, which nods by what it has
nodded, would go farther and farther.
"""


def set_statistics(network: MotionNetwork, items: list[Item]) -> None:
    """Mean and deviation of what is known of every channel; channels at rest keep a floor. Lids
    shut as far as those of conversations: the fastest of blinks are over before a camera has them.
    """
    values = torch.cat([i.values for i in items])
    weight = torch.cat([i.weight for i in items]) + 1e-6
    mean = (values * weight).sum(0) / weight.sum(0)
    std = ((values - mean).square() * weight).sum(0) / weight.sum(0)
    floor = torch.full((MOTION_DIM,), 0.01)
    floor[EXPRESSION] = 0.03
    network.mean.copy_(mean)
    network.std.copy_(torch.maximum(std.sqrt(), floor))
    takes = [i.values for i in people(items)]
    if takes:
        network.knots.copy_(quantiles(torch.cat(takes)[:, SCORED]))
        talks = [i.values[:, LIDS] for i in items if i.interlocutor is not None]
        if talks:
            lids, end = [SCORED.index(i) for i in LIDS], quantiles(torch.cat(talks))[:, -1]
            network.knots[lids, -1] = torch.maximum(network.knots[lids, -1], end)
        network.lips_real.copy_(network.knots[[SCORED.index(i) for i in LIP_SHAPES]])


def people(items: list[Item]) -> list[Item]:
    """Long takes of real people of whom a whole face is known."""
    alone = [i for i in items if i.interlocutor is None and i.controls[-1] > 0]
    return [i for i in alone if i.share >= SHARES["longclips"]]


@torch.no_grad()
def set_axes(network: MotionNetwork, items: list[Item]) -> None:
    """What moves together in the people of whom a whole face is known."""
    faces = [item.values[(item.weight > 0).all(1)] for item in people(items)]
    scores = [network.normalise(values).numpy() for values in faces if len(values)]
    network.axes.copy_(torch.from_numpy(fit_axes(scores)))


@torch.no_grad()
def fit_source(network: MotionNetwork, items: list[Item]) -> None:
    """What the flow starts from goes on as the people do of whom a whole face is known."""
    curves, known, guesses, styles = [], [], [], []
    for item in people(items):
        whole = cut(item, 0, len(item.values), network)
        curves.append(whole.values[0].numpy())
        known.append(item.weight.numpy())
        guesses.append((network.read_lips(whole.condition)[0][0] @ network.guessed).numpy())
        styles.append(item.controls[-STYLE_DIM - 1 : -1].numpy())
    for name, table in fit(curves, known, guesses, styles)._asdict().items():
        getattr(network, name).copy_(torch.from_numpy(table))


@torch.no_grad()
def set_most(network: MotionNetwork, items: list[Item]) -> None:
    """How large innovations may be: as those are of whom a face is known, but for the largest.
    Eyes have no bound: what is rare and large of them are blinks and glances.
    """
    sizes, known = [], []
    for item in items:
        if item.shut is None:
            whole = cut(item, 0, len(item.values) // CHUNK * CHUNK, network)
            heard = network.heard_alone(chunked(network.embed(whole.condition)))
            chunks, swing = chunked(whole.values), swing_of(network, whole.condition)
            origin = network.origin(before(chunks), before(heard), heard)
            sizes.append((whitened(chunks - origin, network.drive) / swing[:, None]).abs())
            known.append(chunked(whole.weight * learned(whole.weight)) > 0)
    size, sure = (torch.cat([x.flatten(0, 2) for x in parts]) for parts in (sizes, known))
    for channel in range(MOTION_DIM):
        found = size[sure[:, channel], channel].numpy()
        share = MOST_OF_HEAD if network.pose[channel] > 0 else MOST_OF_FACE
        if channel in EYES:
            continue
        network.most[channel] = float(np.quantile(found, share)) if len(found) else UNBOUNDED


@torch.no_grad()
def fit_reader(network: MotionNetwork, items: list[Item]) -> None:
    """The ridge regressions of MotionNetwork.read_lips, from the agent's voice: to speech channels
    over all frames with a face and a voice, to closed lips over the voices without a face.
    """
    lips = list(SPEECH_CHANNELS)
    face = Ridge(len(network.reader) - 1, len(lips), READER_STIFFNESS)
    for item in items:
        if item.shut is None:
            whole = cut(item, 0, len(item.values), network)
            agent = whole.condition.agent[0]
            speaks = item.agent.activity[: len(agent)] > 0.5
            known = (item.weight[:, lips].amin(1) > 0) & speaks
            face.add(agent, network.standardise(item.values)[:, lips], known)
    closures = learn_closures(items, len(network.reader) - 1)
    network.reader.copy_(torch.cat([face.solve(), closures], 1))
