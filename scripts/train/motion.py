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
import math
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
from audio2motion.network.bursts import BURSTING
from audio2motion.network.condition import CHUNK
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.model import ModelConfig, MotionNetwork
from audio2motion.network.source import whitened
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import (
    DETAIL,
    FPS,
    MOTION_DIM,
    ROTATION,
    channel_index,
)
from scripts.data.motion_items import kept_items, mirror_matrix, tiny_items
from scripts.train.loop import LoopConfig, lip_aperture, run
from scripts.train.motion_batches import (
    FAR,
    Batch,
    before,
    chunked,
    draw,
    drop_inputs,
    lately,
    learned,
    swing_of,
)
from scripts.train.motion_kinds import set_kinds
from scripts.train.motion_source import POSE
from scripts.train.motion_statistics import (
    LIDS,
    fit_reader,
    fit_source,
    set_axes,
    set_most,
    set_statistics,
)
from weights.tensors import read_safetensors, save_safetensors

MOOD_DIM = CONTROL_DIM - STYLE_DIM - 1
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
    "most",
    "usual",
    "lips_made",
    "lips_real",
    "bursts.weight",
    "odds_at.weight",
    "kinds.sizes",
    "kinds.spreads",
    "kinds.odds",
    "kinds.axes",
)
"""What is fitted to the data anew, or is of use only with what is."""
STILL = 0.4
"""A channel whose deviation was smaller than this share of what it is now has not moved before."""
LIP_CORRECTION = 0.12
"""Chosen on the lips of validation people: the people that are trained on are few, and what the
network makes of their voices holds for others in part.
"""
ASIDE, RETURN_S = 0.6, 4.0
"""Of heads that are drawn, this share begins aside and comes back in these seconds (to a third)."""
SHAKEN, SHAKE_HZ, SHAKE_SIZE, SHAKE_S, CALM_S = 0.2, (0.8, 3.5), (0.8, 2.8), (0.4, 2.4), 0.15
"""Share of heads that nod or shake wildly, how, how long, and how soon they are calm again: what a
sampled stream can come to and nobody shows. Of it only how it ends is learned.
"""
FARTHEST = 6.0
"""And innovations that flow beyond this are of lips where hardly any were expected."""
REST_COUNTS = 0.5
"""Power of how large innovations are expected to be, by which they count: what begins at rest would
count too little in full. Of lips it is 1.
"""
STEADY_ERROR, SUDDEN_ERROR, SLOW_ERROR, NEW_ERROR, LEAST_NEW = 0.2, 0.5, 10, 0.3, 0.1
"""How far off what was done before may be: in deviations, in those of innovations, for how many
frames a slow error lasts; and what was new in it, of itself and a little more.
"""
APERTURE, SHUT, UNLED, STIR, ODDS = 1.5, 1.0, 2.0, 0.2, 0.2
GAUSSIAN = 0.64
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
        network = self.network
        shake, calm = shaking(batch.values)
        x_1 = batch.values + returning(batch.values) + shake
        size, count = x_1.shape[:2]
        device = x_1.device
        self.channels, self.opening = self.channels.to(device), self.opening.to(device)
        swing = swing_of(network, batch.condition)
        embedded = network.embed(drop_inputs(batch), batch.condition)
        heard = network.heard_alone(chunked(embedded.detach()))
        origin = network.origin(before(chunked(x_1)), before(heard), heard)
        new = whitened(chunked(x_1) - origin, network.drive).clamp(-FAR, FAR)
        remembered, done = self._remembered(x_1, network.done(chunked(x_1), origin))
        past, after = network.finished(remembered, done, embedded)
        moment = network.moment(after, chunked(embedded), lately(remembered, done), swing)
        weight = batch.weight * calm
        known = weight * learned(weight) * self.channels
        stir = _stir(new - moment.lead, moment.reach, chunked(known))
        lead, reach = moment.lead.detach(), moment.reach.detach()
        led = network.led(origin, lead)
        u_1 = network.companded(((new - lead) / reach).flatten(1, 2)).clamp(-FARTHEST, FARTHEST)
        u_0 = network.mixed(torch.randn(size, count, MOTION_DIM, device=device))
        t = torch.sigmoid(torch.randn(size, count // CHUNK, device=device) * 1.2 - 0.3)
        t = torch.where(torch.rand_like(t) < 0.15, torch.zeros_like(t), t)
        t = (t * ~batch.faceless[:, None]).repeat_interleave(CHUNK, 1)
        u_t = t[..., None] * u_1 + (1 - t[..., None]) * u_0
        x_t = network.moved(led, chunked(u_t), reach).flatten(1, 2)
        said = network.said_of_all(past, x_t, u_t, t, embedded, moment)
        guess = network.expected(said, moment, u_t, t)
        importance = 1 / (1 - t).clamp(min=0.3)
        weight = known * importance[..., None]
        usual = network.remembered.to(device) * (REST_COUNTS - 1) + 1
        weight = (chunked(weight) * (reach / swing[:, None]).pow(usual)).flatten(1, 2)
        made = network.moved(led, chunked(guess), reach).flatten(1, 2)
        parts = self._lips(made, batch, importance)
        parts["unled"] = self._unled(guess * reach.flatten(1, 2), batch)
        parts["flow"] = ((guess - u_1).square() * weight).sum() / weight.sum().clamp(min=1)
        parts["stir"] = stir
        odds = network.kinds.unlikelihood(
            chunked(u_1), chunked(u_t), t[:, ::CHUNK], said.logits, moment.means
        )
        sure = chunked(known).mean(2)[..., BURSTING]
        parts["odds"] = (odds / CHUNK * sure).sum() / sure.sum().clamp(min=1)
        total = parts["flow"] + STIR * stir + ODDS * parts["odds"] + UNLED * parts["unled"]
        total = total + APERTURE * parts["aperture"] + SHUT * parts["shut"]
        return total, {name: value.item() for name, value in parts.items()}

    def _remembered(self, x_1: Tensor, done: Tensor) -> tuple[Tensor, Tensor]:
        """What was done before and what was new in it, a little off, by steady and by sudden
        errors: as it is when it was sampled. Of the first chunk nobody knows what was new.
        """
        size, count = x_1.shape[:2]
        amount = torch.rand(size, 1, 1, device=x_1.device)
        steady = torch.randn(size, 1, MOTION_DIM, device=x_1.device)
        slow = torch.randn(size, count // SLOW_ERROR + 1, MOTION_DIM, device=x_1.device)
        slow = slow.repeat_interleave(SLOW_ERROR, 1)[:, :count]
        sudden = torch.randn_like(x_1) * self.span.to(x_1.device)
        tokens = x_1 + amount * (STEADY_ERROR * (steady + slow) + SUDDEN_ERROR * sudden)
        off = NEW_ERROR * amount[..., None] * torch.randn_like(done) * (done.abs() + LEAST_NEW)
        known = (
            self.network.remembered
            * (torch.arange(done.shape[1], device=x_1.device) > 0)[:, None, None]
        )
        return tokens, ((done + off) * known).flatten(1, 2)

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


def shaking(values: Tensor) -> tuple[Tensor, Tensor]:
    """What wild heads are off by, and 1 where what a head does is to be learned: once it calms."""
    size, count = values.shape[:2]

    def drawn(ends: tuple[float, float]) -> Tensor:
        return ends[0] + (ends[1] - ends[0]) * torch.rand(size, 1, 1, device=values.device)

    at = torch.arange(count, device=values.device)[None, :, None] / FPS
    some = torch.rand(size, 1, 1, device=values.device) < SHAKEN
    until, phase = drawn(SHAKE_S), drawn((0, 2 * math.pi))
    wave = drawn(SHAKE_SIZE) * torch.sin(2 * math.pi * drawn(SHAKE_HZ) * at + phase)
    wave = some * wave * torch.exp(-(at - until).clamp(min=0) / CALM_S)
    way = torch.zeros(size, 1, MOTION_DIM, device=values.device)
    way[:, :, POSE] = torch.randn(size, 1, len(POSE), device=values.device)
    way = way / way.abs().amax(-1, keepdim=True)
    calm = torch.ones_like(values)
    calm[..., POSE] = (~some | (at >= until)).float()
    return wave * way, calm


def _stir(new: Tensor, reach: Tensor, weight: Tensor) -> Tensor:
    """How unlikely innovations are of the size that was expected: the mean of their negative log
    likelihood, by Laplace's law, so that what is rare and large does not decide alone. A Gaussian
    of that deviation has GAUSSIAN of it as its mean absolute value.
    """
    size = new.abs() / (GAUSSIAN * reach) + reach.log()
    return (size * weight).sum() / weight.sum().clamp(min=1)


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
    network.habits.forget_kinds()
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
        set_most(network, items)
        set_kinds(network, items, mirror)
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
