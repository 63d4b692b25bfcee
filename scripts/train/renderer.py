"""Train the denoiser of the embedded renderer (role denoiser) by flow matching in latent space.

    python -m scripts.train.renderer --data DATA --out DIR [--minutes 60]
    python -m scripts.train.renderer --data DATA --out DIR2 --polish DIR [--minutes 40]
    python -m scripts.train.renderer --tiny --out DIR        made-up pairs, about a minute

Windows of 16 x 16 latents, two thirds of them over the mouth and a fifth over the eyes; the loss
weighs the open mouth, lips and eyes up. A quarter of the samples start at pure noise, where a
sampler of one or two steps spends its time. Plain flow matching gives a grey, average mouth in
two steps; `--polish` goes on from such weights through the unrolled two-step sampler, with LPIPS,
L1 and a small latent discriminator, so that the two steps end at one sharp mouth; with
`--regression` through one pass without noise, to compare. Resumes from
DIR, the discriminator too; prints the PSNR of the painted mouth on held-out identities at 1, 2 and
4 steps beside the warp's, and leaves a sheet in DIR/samples (rows: the warp, the truth, 1, 2 and 4
steps) at every save.
"""

import argparse
import copy
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from motion2video.network.autoencoder import Autoencoder
from motion2video.network.denoiser import FACTOR, Denoiser, DenoiserConfig
from motion2video.network.flow import euler, interpolate, time_grid
from scripts.data.renderer_pairs import Pairs, load_pairs, made_up
from scripts.train.loop import (
    Ahead,
    Held,
    LoopConfig,
    Stateful,
    batch_workers,
    run,
    training_device,
)
from scripts.train.perceptual import Lpips
from scripts.train.recognition import Recognition
from weights.tensors import save_safetensors

WINDOW = 16
BATCH = 24
POLISH_BATCH = 14
NO_REFERENCE = 0.15
FROM_NOISE = 0.25
IDENTITY = 0.5  # weight of the squared distance of two faces, .36 being where two people begin
TEMPERATURE = 0.6  # of the noise at measuring, as the renderer has it


@dataclass(frozen=True)
class Batch:
    """`condition` [b, 8, 128, 128], `target` and `reference` latents [b, 16, 16, 16] of the
    window, `portrait` latents [b, 16, 32, 32], `sharpness` [b], `mouth` centres [b, 2] (pixels of
    the window), the whole crop's true `picture` [b, 3, 256, 256] (uint8) and the window's `corner`
    [b, 2] in it (latents).
    """

    condition: Tensor
    target: Tensor
    reference: Tensor
    portrait: Tensor
    sharpness: Tensor
    mouth: Tensor
    picture: Tensor
    corner: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def window_at(centre: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Where a window over `centre` (crop pixels) starts, give or take two latents."""
    start = np.round(centre / FACTOR - WINDOW / 2).astype(int) + rng.integers(-2, 3, 2)
    x, y = np.clip(start, 0, 32 - WINDOW)
    return int(x), int(y)


def batch(pairs: Pairs, picks: np.ndarray, rng: np.random.Generator, mouth_only: bool) -> Batch:
    """Windows of the pairs `picks`; NO_REFERENCE of them without the portrait's latent."""
    condition, latents, portraits, mouths, corners = [], [], [], [], []
    for i in picks:
        where = 0.0 if mouth_only else rng.random()
        if where < 0.68:
            x, y = window_at(pairs.mouth[i] + np.array([0, 6]), rng)
        elif where < 0.9:
            x, y = window_at(pairs.eyes[i], rng)
        else:
            x, y = rng.integers(0, 33 - WINDOW, 2)
        rows, columns = slice(y, y + WINDOW), slice(x, x + WINDOW)
        pixels = np.s_[i, y * FACTOR : (y + WINDOW) * FACTOR, x * FACTOR : (x + WINDOW) * FACTOR]
        condition.append(pairs.condition[pixels].transpose(2, 0, 1))
        latents.append(pairs.latents[i, :, :, rows, columns])
        keep = mouth_only or rng.random() > NO_REFERENCE
        portraits.append(pairs.latents[i, 1] * keep)
        latents[-1] = np.stack([latents[-1][0], latents[-1][1] * keep])
        mouths.append(pairs.mouth[i] - FACTOR * np.array([x, y]))
        corners.append([x, y])
    planes = torch.from_numpy(np.stack(condition)).float() / 255
    both = torch.from_numpy(np.stack(latents)).float()
    return Batch(
        planes.contiguous(memory_format=torch.channels_last),
        both[:, 0],
        both[:, 1],
        torch.from_numpy(np.stack(portraits)).float(),
        torch.from_numpy(pairs.sharpness[picks].astype(np.float32)),
        torch.from_numpy(np.stack(mouths)).float(),
        torch.from_numpy(pairs.target[picks].transpose(0, 3, 1, 2).copy()),
        torch.tensor(np.array(corners)),
    )


def draw(pairs: Pairs, size: int, stage: int, step: int) -> Batch:
    """The batch of a step of stage 1 or 2."""
    rng = np.random.default_rng((stage, step))
    return batch(pairs, rng.integers(0, len(pairs), size), rng, False)


def sample(model: Denoiser, given: Batch, x_0: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The latent that `steps` steps from `x_0` end at, and the condition's features."""
    features = model.embed_condition(given.condition, given.reference)
    portrait = model.embed_portrait(given.portrait)
    latent = euler(
        lambda x, t: model(x, t.expand(len(x)), features, portrait, given.sharpness),
        x_0,
        time_grid(steps).to(x_0.device),
    )
    return latent, features


def importance(condition: Tensor) -> Tensor:
    """Weight of every latent position: open mouth, then lips and eyes, then the rest."""
    area = torch.maximum(1.5 * condition[:, 4:5], condition[:, 5:7].amax(1, keepdim=True))
    return 0.25 + 2.5 * F.max_pool2d(F.avg_pool2d(area, FACTOR), 3, 1, 1)


def loss_of(model: Denoiser, given: Batch) -> tuple[Tensor, dict[str, float]]:
    """Weighted flow-matching loss of a batch, on the model's device."""
    device, size = next(model.parameters()).device, len(given.target)
    given = given.to(device)
    x_1 = given.target
    t = torch.rand(size) ** 1.2
    t[torch.rand(size) < FROM_NOISE] = 0
    t, x_0 = t.to(device), torch.randn(x_1.shape).to(device)
    features = model.embed_condition(given.condition, given.reference)
    portrait = model.embed_portrait(given.portrait)
    velocity = model(interpolate(x_0, x_1, t), t, features, portrait, given.sharpness)
    return ((velocity - (x_1 - x_0)).pow(2) * importance(given.condition)).mean(), {}


def put_into(face: Tensor, window: Tensor, corner: Tensor) -> Tensor:
    """The faces [b, 3, s, s] with a window [b, 3, h, w] each at `corner` (latents)."""
    joined = []
    for whole, part, (x, y) in zip(face, window, corner.tolist(), strict=True):
        right, below = (
            whole.shape[k] - FACTOR * start - part.shape[k] for k, start in ((2, x), (1, y))
        )
        edges = (FACTOR * x, right, FACTOR * y, below)
        inside = F.pad(torch.ones_like(part[:1]), edges)
        joined.append(whole * (1 - inside) + F.pad(part, edges))
    return torch.stack(joined)


class Discriminator(nn.Module):
    """Real or painted? One logit for every 2 x 2 latents, given the condition's features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 128, 3, padding=1)
        self.fine = nn.Conv2d(128, 128, 3, padding=1)
        self.down = nn.Conv2d(128, 192, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(192, 192, 3, padding=1)
        self.head = nn.Conv2d(192, 1, 1)

    def forward(self, latent: Tensor, features: Tensor) -> Tensor:
        x = F.leaky_relu(self.stem(torch.cat([latent, features], 1)), 0.2)
        x = x + F.leaky_relu(self.fine(x), 0.2)
        x = F.leaky_relu(self.down(x), 0.2)
        return self.head(x + F.leaky_relu(self.coarse(x), 0.2))


@dataclass(frozen=True)
class PolishConfig:
    """`regression` trains the one-pass network to compare with instead: the same picture losses,
    no noise, no flow and no discriminator, whose sharp guesses need noise to choose between them.
    `batch` pairs a step; `workers` processes that draw them; `recognition` the list of weights of
    the network that says whose face it is (scripts/train/recognition.py).
    """

    regression: bool = False
    batch: int = POLISH_BATCH
    workers: int = 0
    recognition: Path | None = None


class Polish:
    """The loss of the second stage, on `device`; trains its discriminator on the side, which
    belongs to the run's checkpoint (`state_dict`).
    """

    def __init__(
        self,
        model: Denoiser,
        autoencoder: Autoencoder,
        pairs: Pairs,
        config: PolishConfig,
        device: torch.device,
    ) -> None:
        self.model, self.config, self.device = model, config, device
        self.autoencoder = copy.deepcopy(autoencoder).to(device).requires_grad_(False)
        self.lpips = Lpips(device)
        self.recognise = Recognition(config.recognition).to(device) if config.recognition else None
        channels = model.config.latent_channels + model.config.widths[0]
        self.judge = Discriminator(channels).to(device)
        self.optimizer = torch.optim.AdamW(self.judge.parameters(), 2e-4, (0.5, 0.99))
        self._ahead = Ahead(partial(draw, pairs, config.batch, 2), config.workers)

    def state_dict(self) -> dict[str, dict]:
        """The discriminator's part of a checkpoint."""
        return {"judge": self.judge.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, dict]) -> None:
        """The inverse of `state_dict`."""
        self.judge.load_state_dict(state_dict["judge"])
        self.optimizer.load_state_dict(state_dict["optimizer"])

    def __call__(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Flow matching on the batch, and the picture that one or two steps from noise end at."""
        given = self._ahead(step).to(self.device)
        once = self.config.regression or np.random.default_rng((3, step)).random() < 0.25
        x_0 = torch.randn(given.target.shape) * (0.0 if self.config.regression else TEMPERATURE)
        latent, features = sample(self.model, given, x_0.to(self.device), 1 if once else 2)
        latent, features = latent.float(), features.float()
        with torch.autocast(self.device.type, enabled=False):  # pictures are compared in full
            total, parts = self._pictures(latent, given)
        if self.config.regression:
            return total, parts
        flow, _ = loss_of(self.model, given)
        self._teach(latent.detach(), given.target, features.detach())
        fooled = -self.judge(latent, features.detach()).mean()
        weight = 0.02 if step >= 100 else 0.0
        parts["fooled"] = fooled.item()
        return 0.05 * flow + total + weight * fooled, parts

    def _pictures(self, latent: Tensor, given: Batch) -> tuple[Tensor, dict[str, float]]:
        """How far the painted picture is from the true one: pixels, LPIPS, whose face it is."""
        image, truth = self.autoencoder.decode(latent), self.autoencoder.decode(given.target)
        near = F.interpolate(importance(given.condition), scale_factor=FACTOR)
        pixels, seen = ((image - truth).abs() * near).mean(), self.lpips(image, truth)
        close = self.lpips(*(self._enlarged(x, given.mouth) for x in (image, truth)))
        parts = {"pixels": pixels.item(), "lpips": seen.item(), "close": close.item()}
        total = 1.5 * pixels + 1.0 * seen + 1.0 * close
        if self.recognise is not None:
            face = given.picture.float() / 255
            there = self.recognise(face)
            here = self.recognise(put_into(face, image, given.corner))
            away = (here - there).square().sum(1).mean()
            parts["identity"] = away.item()
            total = total + IDENTITY * away
        return total, parts

    def _enlarged(self, image: Tensor, mouth: Tensor) -> Tensor:
        """The mouth, 64 x 48 pixels, at twice its size: LPIPS looks for larger things."""
        x = (mouth[:, 0] - 32).round().long().clamp(0, WINDOW * FACTOR - 64)
        y = (mouth[:, 1] - 24).round().long().clamp(0, WINDOW * FACTOR - 48)
        cut = torch.stack(
            [
                one[:, j : j + 48, i : i + 64]
                for one, i, j in zip(image, x.tolist(), y.tolist(), strict=True)
            ]
        )
        return F.interpolate(cut, scale_factor=2, mode="bilinear")

    def _teach(self, painted: Tensor, real: Tensor, features: Tensor) -> None:
        hinge = F.relu(1 - self.judge(real, features)).mean()
        hinge = hinge + F.relu(1 + self.judge(painted, features)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        hinge.backward()
        self.optimizer.step()


def measure(
    model: Denoiser,
    autoencoder: Autoencoder,
    pairs: Pairs,
    lpips: Lpips | None = None,
    temperature: float = TEMPERATURE,
) -> Held:
    """PSNR in dB of the open mouth and its rim, and LPIPS of the window (less is nearer): the warp
    alone, and 1, 2 and 4 steps; every eighth window to see.
    """
    picks = np.linspace(0, len(pairs) - 1, min(96, len(pairs))).astype(int)
    given = batch(pairs, picks, np.random.default_rng(0), True)
    near = F.max_pool2d(given.condition[:, 4:5], 9, 1, 4)
    x_0 = torch.randn(given.target.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        truth = autoencoder.decode(given.target).clamp(0, 1)
        columns, out = [given.condition[:, :3], truth], {}
        for steps in (1, 2, 4):
            latent, _ = sample(model, given, x_0 * temperature, steps)
            columns.append(autoencoder.decode(latent).clamp(0, 1))
            out[f"{steps} steps"] = _psnr(columns[-1], truth, near)
            if lpips is not None:
                out[f"{steps} steps LPIPS"] = float(lpips(columns[-1], truth))
    out["warp"] = _psnr(columns[0], truth, near)
    rows = torch.cat([torch.cat(list(c[::8]), 2) for c in columns], 1)
    return Held(out, (rows.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))


def _psnr(a: Tensor, b: Tensor, where: Tensor) -> float:
    error = ((a - b) ** 2 * where).sum() / (3 * where.sum())
    return -10 * float(error.log10())


def main() -> None:
    """Parse the command line, train, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="6000; 80 with --tiny")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--polish", type=Path, help="folder of the weights to go on from")
    parser.add_argument("--pairs", type=Path, help="where the pairs are kept (default: --out)")
    parser.add_argument("--regression", action="store_true", help="--polish without noise")
    parser.add_argument(
        "--recognition", type=Path, help="see scripts.train.recognition; for --polish"
    )
    parser.add_argument("--batch", type=int, help=f"{BATCH}; {POLISH_BATCH} with --polish")
    parser.add_argument("--learning-rate", type=float, help="1.2e-3; 1.5e-4 with --polish")
    parser.add_argument("--workers", type=int, help="processes that draw batches")
    parser.add_argument("--save-minutes", type=float, default=LoopConfig.save_minutes)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    if not arguments.tiny and arguments.data is None:
        parser.error("give --data DATA, or --tiny for made-up pairs")
    out, tiny = arguments.out, arguments.tiny
    torch.manual_seed(0)
    autoencoder = Autoencoder.load()
    if tiny:
        pairs, held = made_up(out, autoencoder), made_up(out, autoencoder, 6, seed=1)
    else:
        kept = arguments.pairs or out
        pairs = load_pairs(arguments.data, kept / "pairs_train", autoencoder, held_out=False)
        held = load_pairs(arguments.data, kept / "pairs_held_out", autoencoder, held_out=True)
    steps = arguments.steps or (80 if tiny else 6000)
    config = LoopConfig(
        steps,
        arguments.learning_rate or (1.5e-4 if arguments.polish else 1.2e-3),
        arguments.minutes,
        warmup=min(150, steps // 4),
        save_minutes=arguments.save_minutes,
    )
    sizes = DenoiserConfig(widths=(16, 24, 32), blocks=1) if tiny else DenoiserConfig()
    lpips, also = None, dict[str, Stateful]()
    workers = batch_workers(arguments.workers)
    if arguments.polish:
        model = Denoiser.load(arguments.polish / "denoiser.safetensors").train()
        size = arguments.batch or POLISH_BATCH
        chosen = PolishConfig(arguments.regression, size, workers, arguments.recognition)
        objective = Polish(model, autoencoder, pairs, chosen, training_device())
        lpips, also["polish"] = Lpips(), objective
    else:
        model = Denoiser(sizes)
        ahead = Ahead(partial(draw, pairs, arguments.batch or BATCH, 1), workers)

        def objective(step: int) -> tuple[Tensor, dict[str, float]]:
            return loss_of(model, ahead(step))

    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    temperature = 0.0 if arguments.regression else TEMPERATURE

    def save(values: dict[str, Tensor], step: int, minutes: float) -> Held:
        averaged = Denoiser(model.config)
        averaged.load_state_dict(values)
        state = {k: v.half().numpy() for k, v in values.items()}
        save_safetensors(out / "denoiser.safetensors", state, model.config.to_dict())
        found = measure(averaged.eval(), autoencoder, held, lpips, temperature)
        text = ", ".join(f"{name} {value:.3f}" for name, value in found.figures.items())
        print(f"step {step}, {minutes:.1f} min, mouth: {text}", flush=True)
        return found

    run(model, objective, save, config, out, also=also)


if __name__ == "__main__":
    main()
