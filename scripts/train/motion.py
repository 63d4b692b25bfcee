#!/usr/bin/env python3
"""Train the motion generator by flow matching on conversations.

    scripts/train/motion.py --data DYADS --out DIR [--speech VOICES] [--minutes 60]
    scripts/train/motion.py --out DIR --tiny

DYADS is a folder as scripts/data/dyads.py writes it. VOICES (scripts/data/speech.py) has voices
without a face but with phoneme times: of these the network learns when lips are shut. On both the
ridge regressions from voice to lips are fitted; scripts/train/lip_reader.py fits them better,
where there is a large teacher. Speech features come from the embedded speech
encoder, or with `--speech-encoder KIND:FOLDER` from another model through its map (see
audio2motion/network/borrowed_speech.py): give `visavis` the same option then. A stopped run goes
on from DIR/checkpoint.pt.
`--tiny` makes its own data and small networks and takes half a minute: a check of the machinery.
"""

import argparse
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audio2motion.gestures.controls import CONTROL_DIM
from audio2motion.gestures.style import STYLE_DIM
from audio2motion.hearing.speech import (
    SpeechConfig,
    SpeechEncoder,
)
from audio2motion.network.borrowed_speech import borrow, fingerprint
from audio2motion.network.bursts import unlikelihood
from audio2motion.network.condition import CHUNK
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.marginals import LIP_SHAPES, SCORED, quantiles
from audio2motion.network.model import ModelConfig, MotionNetwork
from audio2motion.network.source import whitened
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import (
    DETAIL,
    EXPRESSION,
    FPS,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    channel_index,
)
from scripts.data.motion_items import SHARES, Item, kept_items, mirror_matrix, tiny_items
from scripts.train.lip_reader import READER_STIFFNESS, Ridge, learn_closures
from scripts.train.loop import LoopConfig, lip_aperture, run
from scripts.train.motion_axes import fit_axes
from scripts.train.motion_batches import Batch, cut, draw, drop_inputs
from scripts.train.motion_source import fit
from weights.tensors import read_safetensors, save_safetensors

MOOD_DIM = CONTROL_DIM - STYLE_DIM - 1
STILL = 0.4
OWN = (
    "mean",
    "std",
    "knots",
    "axes",
    "manners",
    "recall",
    "heard",
    "rest",
    "drive",
    "mix",
    "stride",
    "drift",
    "usual",
    "lips_made",
    "lips_real",
)
"""A channel whose deviation was smaller than this share of what it is now has not moved before."""
LIP_CORRECTION = 0.12
"""Chosen on the lips of validation people: the people that are trained on are few, and what the
network makes of their voices holds for others in part.
"""
POSE = (*range(*ROTATION.indices(MOTION_DIM)), *range(*TRANSLATION.indices(MOTION_DIM)))
ASIDE, RETURN_S = 0.6, 4.0
"""Of heads that are drawn, this share begins aside and comes back in these seconds (to a third)."""
FAR = 8.0
"""Innovations beyond this many of the median person's deviations are errors of trackers."""
FARTHEST = 6.0
"""And innovations that flow beyond this are of lips where hardly any were expected."""
REST_COUNTS = 0.5
"""Power of how large innovations are expected to be, by which they count: what begins at rest would
count too little in full. Of lips it is 1.
"""
STEADY_ERROR, SUDDEN_ERROR, SLOW_ERROR = 0.2, 0.5, 10
"""How far off what was done before may be: in deviations, in those of innovations, and for how many
frames a slow error lasts.
"""
APERTURE, SHUT, UNLED, STIR, ODDS = 1.5, 1.0, 2.0, 0.2, 0.2
GAUSSIAN = 0.64
LIDS = [channel_index(f"eyeBlink{side}") for side in ("Left", "Right")]
SMILES = [channel_index(f"mouthSmile{side}") for side in ("Left", "Right")]


class Objective:
    """The flow-matching loss of a batch, as an error of the clean estimate."""

    def __init__(self, network: MotionNetwork, aperture: Tensor) -> None:
        """`aperture` [90] is how the gap of the lips grows with every channel."""
        self.network = network
        self.channels = torch.ones(MOTION_DIM)
        self.channels[list(SPEECH_CHANNELS)] = 1.5
        self.channels[channel_index("jawOpen")] = 3.0
        self.channels[DETAIL] = 0.7
        self.channels[ROTATION] = 3.0
        self.channels[LIDS] = 4.0
        self.channels[SMILES] = 2.0
        self.channels[0] = 0.0
        self.opening = aperture / (network.std * aperture).norm()
        self.span = network.drive.square().sum((1, 2)).div(CHUNK).sqrt()

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Loss and its parts. Each chunk has its own flow time; who has no face is asked at t = 0,
        where all there is comes from the voice.
        """
        network, x_1 = self.network, batch.values + returning(batch.values)
        size, count = x_1.shape[:2]
        device = x_1.device
        self.channels, self.opening = self.channels.to(device), self.opening.to(device)
        controls = batch.condition.controls[:, 0]
        swing = network.swing(controls[:, -STYLE_DIM - 1 : -1] * controls[:, -1:])[:, None]
        embedded = network.embed(drop_inputs(batch), batch.condition)
        heard = network.heard_alone(_chunks(embedded.detach()))
        origin = network.origin(_before(_chunks(x_1)), _before(heard), heard)
        new = whitened(_chunks(x_1) - origin, network.drive).clamp(-FAR, FAR)
        past, after = network.finished(self._remembered(x_1), embedded)
        lead = network.lead(after, _chunks(embedded), swing)
        reach = network.reach(after, _chunks(embedded), swing)
        known = batch.weight * _learned(batch.weight) * self.channels
        stir = _stir(new - lead, reach, _chunks(known))
        lead, reach = lead.detach(), reach.detach()
        led = network.led(origin, lead)
        u_1 = network.companded(((new - lead) / reach).flatten(1, 2)).clamp(-FARTHEST, FARTHEST)
        u_0 = network.mixed(torch.randn(size, count, MOTION_DIM, device=device))
        t = torch.sigmoid(torch.randn(size, count // CHUNK, device=device) * 1.2 - 0.3)
        t = torch.where(torch.rand_like(t) < 0.15, torch.zeros_like(t), t)
        t = (t * ~batch.faceless[:, None]).repeat_interleave(CHUNK, 1)
        u_t = t[..., None] * u_1 + (1 - t[..., None]) * u_0
        x_t = network.moved(led, _chunks(u_t), reach).flatten(1, 2)
        said = network.said_of_all(past, x_t, u_t, t, embedded)
        guess = network.expected(said, u_t, t[..., None])
        importance = 1 / (1 - t).clamp(min=0.3)
        weight = known * importance[..., None]
        usual = network.remembered.to(device) * (REST_COUNTS - 1) + 1
        weight = (_chunks(weight) * (reach / swing[:, None]).pow(usual)).flatten(1, 2)
        made = network.moved(led, _chunks(guess), reach).flatten(1, 2)
        parts = self._lips(made, batch, importance)
        parts["unled"] = self._unled(guess * reach.flatten(1, 2), batch)
        parts["flow"] = ((guess - u_1).square() * weight).sum() / weight.sum().clamp(min=1)
        parts["stir"] = stir
        odds = unlikelihood(u_1, u_t, t[..., None], said, network.spreads.exp())
        sure = known * network.remembered
        parts["odds"] = (odds * sure).sum() / sure.sum().clamp(min=1)
        total = parts["flow"] + STIR * stir + ODDS * parts["odds"] + UNLED * parts["unled"]
        total = total + APERTURE * parts["aperture"] + SHUT * parts["shut"]
        return total, {name: value.item() for name, value in parts.items()}

    def _remembered(self, x_1: Tensor) -> Tensor:
        """What was done before, a little off, by steady and by sudden errors: as it is when it was
        sampled.
        """
        size, count = x_1.shape[:2]
        amount = torch.rand(size, 1, 1, device=x_1.device)
        steady = torch.randn(size, 1, MOTION_DIM, device=x_1.device)
        slow = torch.randn(size, count // SLOW_ERROR + 1, MOTION_DIM, device=x_1.device)
        slow = slow.repeat_interleave(SLOW_ERROR, 1)[:, :count]
        sudden = torch.randn_like(x_1) * self.span.to(x_1.device)
        return x_1 + amount * (STEADY_ERROR * (steady + slow) + SUDDEN_ERROR * sudden)

    def _lips(self, made: Tensor, batch: Batch, importance: Tensor) -> dict[str, Tensor]:
        """The terms of the loss about lips, each a mean over what is known."""
        known = batch.weight[..., DETAIL].amin(-1) * importance
        known[:, :CHUNK] = 0
        gap = self.network.denormalise(made) @ self.opening
        wanted = self.network.denormalise(batch.values) @ self.opening
        return {
            "aperture": ((gap - wanted).square() * known).sum() / known.sum().clamp(min=1),
            "shut": (gap.clamp(min=0).square() * batch.shut).sum() / batch.shut.sum().clamp(min=1),
        }

    def _unled(self, new: Tensor, batch: Batch) -> Tensor:
        """How far a voice without a face leads lips where they need not touch: of those it is only
        known when they do, and a network that hears of nothing else shuts them for good.
        """
        known = batch.faceless[:, None].float() * (1 - batch.shut)
        led = new[..., list(SPEECH_CHANNELS)].square().mean(-1)
        return (led * known).sum() / known.sum().clamp(min=1)


def returning(values: Tensor) -> Tensor:
    """How far heads are aside that come back: without them, whoever rests would rest where they
    are, and long silence is a walk that never returns.
    """
    size, count = values.shape[:2]
    gone = torch.exp(-torch.arange(count, device=values.device) / (RETURN_S * FPS))
    aside = torch.zeros(size, 1, MOTION_DIM, device=values.device)
    aside[:, :, POSE] = torch.randn(size, 1, len(POSE), device=values.device)
    some = torch.rand(size, 1, 1, device=values.device) < ASIDE
    return aside * some * gone[:, None]


def _chunks(x: Tensor) -> Tensor:
    return x.unflatten(1, (-1, CHUNK))


def _before(chunks: Tensor) -> Tensor:
    """Of every chunk the one before it; the first is followed by itself."""
    return torch.cat([chunks[:, :1], chunks[:, :-1]], 1)


def _stir(new: Tensor, reach: Tensor, weight: Tensor) -> Tensor:
    """How unlikely innovations are of the size that was expected: the mean of their negative log
    likelihood, by Laplace's law, so that what is rare and large does not decide alone. A Gaussian
    of that deviation has GAUSSIAN of it as its mean absolute value.
    """
    size = new.abs() / (GAUSSIAN * reach) + reach.log()
    return (size * weight).sum() / weight.sum().clamp(min=1)


def _learned(weight: Tensor) -> Tensor:
    """1 where a channel is known of its whole chunk and of the same frame before, else 0: what
    does not follow from anything is not learned.
    """
    known = weight > 0
    whole = _chunks(known).all(2).repeat_interleave(CHUNK, 1)
    whole[:, CHUNK:] &= known[:, :-CHUNK]
    whole[:, :CHUNK] = False
    return whole.float()


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


def lips_times(state: Mapping[str, Tensor], factor: float) -> dict[str, Tensor]:
    """A network that corrects its reader's lips by so much more: exported ones keep part of it."""
    found = dict(state)
    for name in ("leave.weight", "leave.bias", "direct.weight", "direct.bias"):
        found[name] = state[name].clone()
        found[name][list(SPEECH_CHANNELS)] *= factor
    return found


def go_on_from(network: MotionNetwork, path: Path) -> None:
    """Take over what fits from a weights file, its reader too. The network's own statistics stay:
    what takes motion in and gives it out is put into their terms. Channels that the old network
    has never seen move begin anew.
    """
    tensors, header = read_safetensors(path)
    old = {name: torch.from_numpy(value.astype(np.float32)) for name, value in tensors.items()}
    mean, std, lips = network.mean, network.std, list(SPEECH_CHANNELS)
    moved = old["std"] > STILL * std
    larger = torch.where(moved, std / old["std"], torch.zeros_like(std))
    offset = torch.where(moved, (mean - old["mean"]) / old["std"], torch.zeros_like(std))
    seen = old["condition.project.2.weight"][:, :MOTION_DIM]
    for matrix, bias in (
        (old["enter.weight"], old["enter.bias"]),
        (seen, old["condition.project.2.bias"]),
    ):
        bias += matrix @ offset
        matrix *= larger
    back = old["std"] / std
    old["reader"][-1, :-1] += ((old["mean"] - mean) / old["std"])[lips]
    old["reader"][:, :-1] *= back[lips]
    old = lips_times(old, 1 / header["lip_correction"])
    state = network.state_dict()
    fresh = state["enter.weight"][:, ~moved].clone()
    for name, value in old.items():
        own = name in OWN or name not in state
        if not own and state[name].shape == value.shape:
            state[name].copy_(value)
    state["enter.weight"][:, ~moved] = fresh
    before = old.get("axes", torch.eye(MOTION_DIM))
    state["enter.weight"] @= before @ torch.linalg.inv(network.axes)
    told = min(old["condition.project.3.weight"].shape[1], MOOD_DIM)
    state["condition.project.3.weight"][:, :told] = old["condition.project.3.weight"][:, :told]


def asked() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="conversations (scripts/data/dyads.py)")
    parser.add_argument(
        "--takes",
        type=Path,
        nargs="+",
        default=[],
        help="folders of real clips (scripts/data/facepack.py, scripts/data/talkers.py)",
    )
    parser.add_argument("--speech", type=Path, help="voices with phoneme times")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="weights file of a generator to go on from")
    parser.add_argument("--speech-encoder", help="KIND:FOLDER, instead of the embedded one")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument(
        "--lip-correction",
        type=float,
        default=LIP_CORRECTION,
        help="how much of what it corrects of the reader's lips an exported network keeps",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop", type=int, help="leave after this step, to be resumed")
    parser.add_argument("--save-minutes", type=float, default=LoopConfig.save_minutes)
    parser.add_argument("--tiny", action="store_true", help="made-up data, small networks")
    options = parser.parse_args()
    if not options.tiny and options.data is None and not options.takes:
        parser.error("--data or --takes is needed (or --tiny)")
    return options


def main() -> None:
    """Train, and export a generator."""
    options = asked()
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        sizes = SpeechConfig(mels=20, width=32, heads=2, hidden=48, past=10, features=16)
        encoder = SpeechEncoder(sizes).eval()
        state = {k: v.numpy() for k, v in encoder.state_dict().items()}
        header = {"speech": asdict(sizes)}
        save_safetensors(options.out / "speech_encoder.safetensors", state, header)
        config = ModelConfig(width=48, layers=2, heads=2, hidden=96, history=20, speech_features=16)
        items = tiny_items(encoder)
        aperture = torch.zeros(MOTION_DIM)
        aperture[channel_index("jawOpen")] = 0.5
        mirror = None
    else:
        encoder = SpeechEncoder.load()
        config = ModelConfig(speech_features=encoder.config.features)
        if options.speech_encoder:
            encoder = borrow(options.speech_encoder, notify=print)
        items = kept_items(options.data, options.takes, options.speech, options.out, encoder)
        mirror = mirror_matrix(FaceBasis.load())
        aperture = lip_aperture(FaceBasis.load())
    network = MotionNetwork(config)
    set_statistics(network, items)
    if not options.tiny:
        set_axes(network, items)
    if options.start:
        go_on_from(network, options.start)
    else:
        fit_reader(network, items)
    if not options.tiny:
        fit_source(network, items)
    print(f"{len(items)} conversations, {sum(len(i.values) for i in items) / 1500:.1f} minutes")
    objective = Objective(network, aperture)
    hears_by = fingerprint(encoder) if isinstance(encoder, nn.Module) else None

    drawing = deepcopy(network)  # stays where the items are

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = draw(items, drawing, step, options.batch, options.seed, mirror)
        return objective(batch.to(network.mean.device))

    def export(state: dict[str, Tensor], steps: int, minutes: float) -> None:
        kept = lips_times(state, options.lip_correction)
        tensors = {k: v.half().numpy() for k, v in kept.items()}
        header = {
            "model": asdict(config),
            "trained": {"steps": steps, "minutes": minutes},
            "controls_trained": True,
            "lip_correction": options.lip_correction,
            "speech_encoder": asdict(encoder.identity),
            "hears_by": hears_by,
        }
        save_safetensors(options.out / "motion_generator.safetensors", tensors, header)

    loop = LoopConfig(
        options.steps,
        options.learning_rate,
        options.minutes,
        save_minutes=options.save_minutes,
        stop=options.stop,
    )
    run(network, loss, export, loop, options.out, options.seed)


if __name__ == "__main__":
    main()
