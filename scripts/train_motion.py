#!/usr/bin/env python3
"""Train the motion generator by flow matching on conversations.

    scripts/train_motion.py --data DYADS --out DIR [--minutes 30] [--tiny]

DYADS is a folder as scripts/make_dyads.py writes it. Speech features come from the embedded
speech encoder and are kept in DIR. A run that was stopped goes on from DIR/checkpoint.pt.
`--tiny` makes its own data and small networks and takes half a minute: a check of the machinery.
"""

import argparse
import csv
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from audio2motion.audio import SAMPLES_PER_FRAME, Waveform
from audio2motion.condition import CONTROL_DIM, LOOK_AHEAD, Condition, agent_window
from audio2motion.gate import SPEECH_CHANNELS
from audio2motion.model import CHUNK, ModelConfig, MotionNetwork, correlate
from audio2motion.speech import SpeechConfig, SpeechEncoder, SpeechFeatures
from motion2video.flow import interpolate
from motion2video.geometry import FaceBasis
from motion2video.motion import DETAIL, EXPRESSION, MOTION_DIM, ROTATION, Motion, channel_index
from scripts.training import LoopConfig, lip_aperture, run
from weights.tensors import save_safetensors

FRAMES = 100
DROP = {"agent": 0.1, "interlocutor": 0.15, "interlocutor_motion": 0.3, "controls": 0.3}
BLIND = 0.12
HISTORY_NOISE = 0.25
SMOOTHNESS = 0.5
APERTURE = 3.0


@dataclass(frozen=True, eq=False)
class Item:
    """One conversation as tensors; `seen` is the interlocutor's motion with validity, or None."""

    agent: SpeechFeatures
    interlocutor: SpeechFeatures | None
    values: Tensor
    weight: Tensor
    seen: Tensor | None


def features_of(encoder: SpeechEncoder, samples: np.ndarray, frames: int) -> SpeechFeatures:
    """Features of a recording and LOOK_AHEAD frames of silence after it, in half precision."""
    padded = np.zeros((frames + LOOK_AHEAD) * SAMPLES_PER_FRAME, np.float32)
    count = min(len(samples), len(padded))
    padded[:count] = samples[:count]
    found = encoder.analyse(padded)
    return SpeechFeatures(found.features.half(), found.energy.half(), found.activity.half())


@torch.inference_mode()
def load_items(data: Path, encoder: SpeechEncoder) -> list[Item]:
    """All conversations of a folder."""
    items = []
    with (data / "dyads.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = row["name"]
        motion = Motion.load(data / f"{name}.agent.npz")
        other = seen = None
        sound = Waveform.load(data / f"{name}.agent.wav").samples
        if row["interlocutor"] == "1":
            heard = Waveform.load(data / f"{name}.interlocutor.wav").samples
            other = features_of(encoder, heard, len(motion))
        if row["seen"] == "1":
            theirs = Motion.load(data / f"{name}.interlocutor.npz")
            flag = theirs.mask[:, None].astype(np.float32)
            seen = torch.from_numpy(np.concatenate([theirs.values, flag], 1)).half()
        items.append(
            Item(
                features_of(encoder, sound, len(motion)),
                other,
                torch.from_numpy(motion.values),
                torch.from_numpy(np.load(data / f"{name}.weight.npy").astype(np.float32)),
                seen,
            )
        )
    return items


@torch.inference_mode()
def tiny_items(encoder: SpeechEncoder) -> list[Item]:
    """Bursts of noise that open the mouth and raise the brow of who hears them."""
    items = []
    rng = np.random.default_rng(0)
    for _ in range(6):
        on = np.repeat(rng.random(30) < 0.5, 5).astype(np.float32)
        sounds = [
            (rng.normal(size=len(on) * 640) * 0.1 * np.repeat(level, 640)).astype(np.float32)
            for level in (on, 1 - on)
        ]
        values = np.zeros((len(on), MOTION_DIM), np.float32)
        values[:, channel_index("jawOpen")] = 0.3 * on
        values[:, channel_index("browInnerUp")] = 0.3 * (1 - on)
        agent, other = (features_of(encoder, s, len(on)) for s in sounds)
        items.append(
            Item(agent, other, torch.from_numpy(values), torch.ones(len(on), MOTION_DIM), None)
        )
    return items


@dataclass(frozen=True, eq=False)
class Batch:
    """FRAMES frames each of several conversations; motion is z-scored."""

    values: Tensor
    weight: Tensor
    condition: Condition


def cut(item: Item, start: int, count: int, network: MotionNetwork) -> Batch:
    """Frames start .. start + count of one conversation, as a batch of one."""
    ahead, here = slice(start, start + count + LOOK_AHEAD), slice(start, start + count)
    voice = item.agent
    agent = agent_window(
        voice.features[ahead].float(), voice.energy[ahead].float(), voice.activity[ahead].float()
    )
    size = voice.features.shape[1]
    sound, motion = torch.zeros(count, size + 2), torch.zeros(count, MOTION_DIM + 1)
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
        seen = item.seen[here].float()
        motion = torch.cat([network.normalise(seen[:, :-1]) * seen[:, -1:], seen[:, -1:]], 1)
        present[:, 2] = seen[:, -1]
    condition = Condition(
        agent[None], sound[None], motion[None], torch.zeros(1, count, CONTROL_DIM), present[None]
    )
    values = network.normalise(item.values[here])
    return Batch(values[None], item.weight[None, here], condition)


def draw(items: list[Item], network: MotionNetwork, step: int, size: int, seed: int) -> Batch:
    """The batch of a step: a function of (seed, step)."""
    rng = np.random.default_rng((seed, step))
    long = [i for i in items if len(i.values) > FRAMES]
    share = np.array([len(i.values) for i in long], float)
    parts = []
    for index in rng.choice(len(long), size, p=share / share.sum()):
        item = long[index]
        start = int(rng.integers(0, len(item.values) - FRAMES + 1))
        parts.append(cut(item, start, FRAMES, network))
    return Batch(
        torch.cat([p.values for p in parts]),
        torch.cat([p.weight for p in parts]),
        Condition.stack([p.condition for p in parts]),
    )


def drop_inputs(condition: Condition) -> Condition:
    """Take away inputs at random, each for a whole sequence."""
    present = condition.present
    keep = torch.rand(len(present), 1, 4, device=present.device)
    keep = (keep > torch.tensor(list(DROP.values()), device=present.device)).float()
    return Condition(
        condition.agent,
        condition.interlocutor,
        condition.interlocutor_motion,
        condition.controls,
        present * keep,
    )


class Objective:
    """The flow-matching loss of a batch, as an error of the clean estimate."""

    def __init__(self, network: MotionNetwork, aperture: Tensor) -> None:
        self.network = network
        self.channels = torch.ones(MOTION_DIM)
        self.channels[list(SPEECH_CHANNELS)] = 1.5
        self.channels[channel_index("jawOpen")] = 6.0
        self.channels[DETAIL] = 0.7
        self.channels[ROTATION] = 3.0
        self.channels[0] = 0.0
        self.aperture = aperture

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Loss and its parts. Each chunk has its own flow time."""
        network, x_1 = self.network, batch.values
        size, count = x_1.shape[:2]
        noise = torch.randn(size, count // CHUNK, CHUNK, MOTION_DIM)
        noise = correlate(noise, network.config.noise_correlation).flatten(1, 2)
        t = torch.sigmoid(torch.randn(size, count // CHUNK) * 1.2 - 0.3)
        t = torch.where(torch.rand_like(t) < 0.15, torch.zeros_like(t), t)
        t = t.repeat_interleave(CHUNK, 1)
        x_t = interpolate(noise.flatten(0, 1), x_1.flatten(0, 1), t.flatten()).unflatten(
            0, (size, -1)
        )
        level = torch.rand(size, 1, 1) * HISTORY_NOISE
        past = x_1 + level * torch.randn_like(x_1)
        blind = torch.rand(size) < BLIND
        embedded = network.embed(drop_inputs(batch.condition))
        embedded_past = network.embed(drop_inputs(batch.condition))
        guess = network.clean_estimate(x_t, t, past, embedded, embedded_past, blind)
        error = guess - x_1
        importance = 1 / (1 - t).clamp(min=0.3)
        weight = batch.weight * self.channels * importance[..., None]
        plain = (error.square() * weight).sum() / weight.sum()
        change = error.diff(dim=1).square() * weight[:, 1:]
        smooth = change.sum() / weight[:, 1:].sum()
        known = batch.weight[..., DETAIL].amin(-1) * importance
        gap = ((error * network.std) @ self.aperture).square()
        gap = (gap * known).sum() / known.sum().clamp(min=1)
        total = plain + SMOOTHNESS * smooth + APERTURE * gap
        return total, {"flow": plain.item(), "smooth": smooth.item(), "aperture": gap.item()}


def set_statistics(network: MotionNetwork, items: list[Item]) -> None:
    """Mean and deviation of what is known of every channel; channels at rest keep a floor."""
    values = torch.cat([i.values for i in items])
    weight = torch.cat([i.weight for i in items]) + 1e-6
    mean = (values * weight).sum(0) / weight.sum(0)
    std = ((values - mean).square() * weight).sum(0) / weight.sum(0)
    floor = torch.full((MOTION_DIM,), 0.01)
    floor[EXPRESSION] = 0.03
    network.mean.copy_(mean)
    network.std.copy_(torch.maximum(std.sqrt(), floor))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop", type=int, help="leave after this step, to be resumed")
    parser.add_argument("--tiny", action="store_true", help="made-up data, small networks")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        sizes = SpeechConfig(mels=20, width=32, hidden=48, dilations=(1, 2), features=16)
        encoder = SpeechEncoder(sizes).eval()
        state = {k: v.numpy() for k, v in encoder.state_dict().items()}
        header = {"speech": asdict(sizes)}
        save_safetensors(options.out / "speech_encoder.safetensors", state, header)
        config = ModelConfig(width=48, layers=2, heads=2, hidden=96, history=20, speech_features=16)
        items = tiny_items(encoder)
        aperture = torch.zeros(MOTION_DIM)
        aperture[channel_index("jawOpen")] = 0.5
    else:
        if options.data is None:
            parser.error("--data is needed (or --tiny)")
        encoder = SpeechEncoder.load()
        config = ModelConfig(speech_features=encoder.config.features)
        items = load_items(options.data, encoder)
        aperture = lip_aperture(FaceBasis.load())
    network = MotionNetwork(config)
    set_statistics(network, items)
    aperture = aperture / (network.std * aperture).norm()
    print(f"{len(items)} conversations, {sum(len(i.values) for i in items) / 1500:.1f} minutes")
    objective = Objective(network, aperture)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        return objective(draw(items, network, step, options.batch, options.seed))

    def export(state: dict[str, Tensor], steps: int, minutes: float) -> None:
        tensors = {k: v.half().numpy() for k, v in state.items()}
        header = {
            "model": asdict(config),
            "trained": {"steps": steps, "minutes": minutes},
            "controls_trained": False,  # no conversation here was made under a control
        }
        save_safetensors(options.out / "motion_generator.safetensors", tensors, header)

    loop = LoopConfig(options.steps, options.learning_rate, options.minutes, stop=options.stop)
    run(network, loss, export, loop, options.out, options.seed)


if __name__ == "__main__":
    main()
