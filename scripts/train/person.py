"""Fine-tune the motion generator to one person, and say what that improved on clips held out.

    python -m scripts.train.person --data DATA --out DIR [--person NAME] [--init FILE]
    python -m scripts.train.person --out DIR --tiny        made-up data, small networks

DATA is a dataset of `visavis data import`, or a folder as scripts/data/dataset.py has it. What the
person says is cut into pieces of PIECE_S seconds, of which the last sixth is held out, whatever
split the person is in. It goes on from the embedded generator or from FILE. The figures, before and
after, are of the pieces held out alone, in the person's own style; "better" and "worse" are said
where the mean change is more than twice its standard error. They are printed and left in
DIR/person.json. A stopped run goes on from DIR/checkpoint.pt. With
VISAVIS_MANIFEST=DIR/weights/manifest.toml every program uses the result.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.quality.coupling import pearson
from audio2motion.gestures.controls import Controls
from audio2motion.gestures.style import measure_style
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.hearing.speech import SpeechConfig, SpeechEncoder, load_strictly
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from audio2motion.network.model import ModelConfig, MotionNetwork
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import FPS, MOTION_DIM, ROTATION, channel_index
from scripts.data.dataset import Clip, clips
from scripts.data.motion_items import LONG_FRAMES, Item, Take, items_of, together, varied
from scripts.evaluate.liveliness import curves, speeds
from scripts.train.loop import LoopConfig, lip_aperture, run
from scripts.train.motion import Objective, lips_times
from scripts.train.motion_batches import draw
from scripts.train.offering import offer
from weights import find, load_manifest
from weights.errors import InputError, VisavisError
from weights.saving import save_whole
from weights.tensors import read_safetensors, save_safetensors

PIECE_S = 12.0
HELD = 1 / 6
"""The share of what there is that is held out, the last pieces."""
LEAST_S, LEAST_HELD_S = 60.0, 10.0
SEEDS = 2
MEASURED = 8
"""Batches that the loss of what is held out is a mean of."""
STILL = 1e-4
LESS_IS_BETTER = {"loss", "swing off by", "speed off by", "lips' swing off by"}


@dataclass(frozen=True)
class Pieces:
    """What one person says, to train on and held out."""

    person: str
    train: list[Take]
    held: list[Take]


def seconds(takes: Sequence[Take]) -> float:
    """How long takes are together."""
    return sum(len(take.values) for take in takes) / FPS


def the_person(found: Sequence[Clip], name: str | None) -> tuple[str, list[Clip]]:
    """The clips with a voice of one person, who is the only one where no `name` is given. Raises
    InputError where there is no such person, or one of several has to be named.
    """
    people = defaultdict(list)
    for clip in found:
        if clip.heard:
            people[clip.identity].append(clip)
    told = ", ".join(
        f"{who} ({sum(c.frames for c in own) / FPS:.0f} s)" for who, own in sorted(people.items())
    )
    if name is None and len(people) == 1:
        name = next(iter(people))
    if name is None or name not in people:
        what = (
            "one of several people is to be named by --person"
            if name is None
            else (f"there is no voice of {name!r}")
        )
        raise InputError(f"{what}: the data has {told or 'nobody who is seen and heard'}")
    return name, people[name]


def pieces_of(person: str, takes: Sequence[Take]) -> Pieces:
    """Cut into pieces, the last ones held out. Raises InputError where there is too little."""
    size, cut = round(PIECE_S * FPS), list[Take]()
    for take in takes:
        for at in range(0, len(take.values), size):
            part = slice(at, at + size)
            sound = slice(at * SAMPLES_PER_FRAME, (at + size) * SAMPLES_PER_FRAME)
            one = Take(take.samples[sound], take.values[part], take.weight[part], take.share)
            if len(one.values) >= LONG_FRAMES:
                cut.append(one)
    train, held, wanted = cut, list[Take](), max(LEAST_HELD_S, HELD * seconds(cut))
    while train and seconds(held) < wanted:
        held.insert(0, train.pop())
    if seconds(train) < LEAST_S:
        raise InputError(
            f"{person} is seen and heard for {seconds([*train, *held]):.0f} s in stretches of "
            f"{LONG_FRAMES / FPS:.0f} s and more; beside {seconds(held):.0f} s that are held out "
            f"{LEAST_S:.0f} s are needed to train on: import more recordings"
        )
    return Pieces(person, train, held)


def network_of(path: Path) -> tuple[MotionNetwork, dict]:
    """The network of a file as it moves faces, and the file's header."""
    tensors, header = read_safetensors(path)
    network = MotionNetwork(ModelConfig.from_header(header["model"]))
    load_strictly(network, tensors, "motion generator")
    return network, header


def in_training(network: MotionNetwork, header: dict) -> MotionNetwork:
    """The same as it was trained: what it corrects of the lips, in full."""
    trained = deepcopy(network)
    trained.load_state_dict(lips_times(network.state_dict(), 1 / header["lip_correction"]))
    return trained.requires_grad_(True)


def export(path: Path, state: dict[str, Tensor], header: dict) -> None:
    """Write a network that was trained, in the form of `network_of`."""
    kept = lips_times(state, header["lip_correction"])
    save_safetensors(path, {name: v.half().numpy() for name, v in kept.items()}, header)


def moves(
    generator: MotionGenerator, held: Sequence[Take], style: np.ndarray, aperture: np.ndarray
) -> dict[str, np.ndarray]:
    """Figures of every held piece and seed: how what is made goes with what the person did.

    `lips follow` is Pearson's r of the gap of the lips, `... off by` the mean absolute logarithm of
    made to true, over the groups of scripts/evaluate/liveliness.py.
    """
    found = defaultdict(list)
    controls = Controls(style=tuple(style.tolist()))
    for number, take in enumerate(held):
        true, gap = curves(take.values.astype(np.float64)), take.values @ aperture
        for seed in range(SEEDS):
            dyad = Dyad(Waveform(take.samples))
            made = generator.generate(dyad, seed=number * SEEDS + seed, controls=controls).values
            made = made[: len(take.values)]
            opened, shown = made @ aperture, curves(made.astype(np.float64))
            found["lips follow"].append(pearson(opened, gap))
            found["lips' swing off by"].append(_off(opened.std(), gap.std()))
            found["swing off by"].append(_off(shown.std(0), true.std(0)))
            found["speed off by"].append(_off(speeds(shown), speeds(true)))
    return {name: np.array(values) for name, values in found.items()}


def _off(made: np.ndarray | float, true: np.ndarray | float) -> float:
    ratio = np.maximum(made, STILL) / np.maximum(true, STILL)
    return float(np.abs(np.log(ratio)).mean())


@torch.no_grad()
def losses(network: MotionNetwork, items: list[Item], aperture: Tensor) -> np.ndarray:
    """[MEASURED] the flow-matching loss, with chance that is always the same."""
    network = deepcopy(network).cpu().eval()
    objective, found = Objective(network, aperture.cpu()), list[float]()
    for step in range(MEASURED):
        torch.manual_seed(step)
        found.append(objective(draw(items, network, step, 8, seed=1))[0].item())
    return np.array(found)


def compared(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, dict]:
    """Of every figure its means, and whether the change is told from chance."""
    table = {}
    for name, then in before.items():
        change = after[name] - then
        error = change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else np.inf
        sure = bool(abs(change.mean()) > 2 * error)
        good = (change.mean() < 0) == (name in LESS_IS_BETTER)
        verdict = ("better" if good else "worse") if sure else "not told apart"
        table[name] = {
            "before": round(float(then.mean()), 4),
            "after": round(float(after[name].mean()), 4),
            "error": round(float(error), 4),
            "verdict": verdict,
        }
    return table


def made_up() -> Pieces:
    """Somebody whose jaw opens with the noise that they make, and who nods all the time."""
    rng, takes = np.random.default_rng(0), list[Take]()
    for _ in range(8):
        on = np.repeat(rng.random(60) < 0.5, 5).astype(np.float32)
        samples = rng.normal(size=len(on) * SAMPLES_PER_FRAME) * 0.1
        values = np.zeros((len(on), MOTION_DIM), np.float32)
        values[:, channel_index("jawOpen")] = 0.4 * on
        values[:, ROTATION.start] = 0.1 * np.sin(np.arange(len(on)) / 4)
        samples = (samples * np.repeat(on, SAMPLES_PER_FRAME)).astype(np.float32)
        takes.append(Take(samples, values, np.ones_like(values), 1.0))
    return pieces_of("nobody", takes)


def _tiny(out: Path) -> tuple[Path, SpeechEncoder]:
    """A small generator that knows nothing, and what it hears by."""
    torch.manual_seed(0)
    sizes = SpeechConfig(mels=20, width=32, heads=2, hidden=48, past=10, features=16)
    config = ModelConfig(width=48, layers=2, heads=2, hidden=96, history=20, speech_features=16)
    network, path = MotionNetwork(config), out / "init.safetensors"
    for buffer in (network.std, network.stride):
        buffer.fill_(1.0)
    header = {"model": asdict(config), "lip_correction": 1.0, "controls_trained": True}
    export(path, network.state_dict(), header)
    return path, SpeechEncoder(sizes).eval()


def asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a dataset with clips of the person")
    parser.add_argument("--person", help="who; needed where the data has several")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--init", default="embedded", help="`embedded`, or a generator's file, to go on from"
    )
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop", type=int, help="leave after this step, to be resumed")
    parser.add_argument("--save-minutes", type=float, default=LoopConfig.save_minutes)
    parser.add_argument("--tiny", action="store_true", help="made-up data, small networks")
    options = parser.parse_args(arguments)
    if options.data is None and not options.tiny:
        parser.error("--data is needed (or --tiny)")
    return options


def tune(options: argparse.Namespace) -> dict[str, dict]:
    """Train and measure; the table of `compared`, which is in OUT/person.json too."""
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        pieces = made_up()
        init, encoder = _tiny(options.out)
        aperture = torch.zeros(MOTION_DIM)
        aperture[channel_index("jawOpen")] = 0.5
    else:
        person, own = the_person(clips(options.data), options.person)
        pieces = pieces_of(person, together(own))
        init = find("motion_generator") if options.init == "embedded" else Path(options.init)
        encoder, aperture = SpeechEncoder.load(), lip_aperture(FaceBasis.load())
    rng = np.random.default_rng(options.seed)
    items = items_of([x for take in pieces.train for x in (take, varied(rng, take))], encoder)
    held = items_of(pieces.held, encoder)
    print(
        f"{pieces.person}: {seconds(pieces.train):.0f} s to train on, "
        f"{seconds(pieces.held):.0f} s held out",
        flush=True,
    )
    style = np.mean([measure_style(take.values) for take in pieces.train], 0)

    def figures(file: Path) -> dict[str, np.ndarray]:
        one, header = network_of(file)
        generator = MotionGenerator(encoder, deepcopy(one), GeneratorConfig())
        found = {"loss": losses(in_training(one, header), held, aperture)}
        return found | moves(generator, pieces.held, style, aperture.numpy())

    before = figures(init)
    plain, header = network_of(init)
    network = in_training(plain, header)
    objective, drawing = Objective(network, aperture), deepcopy(network)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = draw(items, drawing, step, options.batch, options.seed)
        return objective(batch.to(network.mean.device))

    path = options.out / "motion_generator.safetensors"

    def keep(state: dict[str, Tensor], steps: int, minutes: float) -> None:
        trained = {"steps": steps, "minutes": minutes, "seed": options.seed, "person": True}
        export(path, state, {**header, "trained": trained})

    loop = LoopConfig(
        options.steps,
        options.learning_rate,
        warmup=min(20, options.steps // 4),
        average=0.99,
        save_minutes=options.save_minutes,
        stop=options.stop,
    )
    run(network, loss, keep, loop, options.out, options.seed)
    table = compared(before, figures(path))
    told = {"person": pieces.person, "style": style.round(3).tolist(), "figures": table}
    save_whole(options.out / "person.json", json.dumps(told, indent=1).encode(), "the figures")
    if not options.tiny:
        known = load_manifest()
        files = {role.name: find(role.name) for role in known.roles.values() if role.embedded}
        offer(options.out / "weights", files | {"motion_generator": path}, known)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    try:
        table = tune(asked(arguments))
    except VisavisError as error:
        print(f"scripts.train.person: {error}", file=sys.stderr)
        return 1
    for name, row in table.items():
        print(
            f"{name:20} {row['before']:8.3f} -> {row['after']:8.3f}  {row['verdict']} "
            f"(change off by {row['error']:.3f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
