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
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.quality.perceptual import Lpips
from motion2video.drawing.places import WINDOWS
from motion2video.network.autoencoder import Autoencoder
from motion2video.network.denoiser import FACTOR, Denoiser, DenoiserConfig
from motion2video.network.flow import euler, interpolate, time_grid
from scripts.data.window_pairs import KINDS, Pairs, load_windows, made_up
from scripts.train.loop import (
    Ahead,
    Held,
    LoopConfig,
    Stateful,
    batch_workers,
    run,
    training_device,
)
from weights.tensors import save_safetensors

BATCH = 16
POLISH_BATCH = 10
ROWS = 12  # of latents of a mouth's window that are trained on at a time, its whole width
EYES_EVERY = 5  # steps: the others are mouths
NO_REFERENCE = 0.1
FROM_NOISE = 0.25
TEMPERATURE = 0.6  # of the noise at measuring, as the renderer has it
FLOW_EVERY = 4  # steps
FOOLED = 0.02  # weight of the discriminator's verdict
LIKELY = {"still": 1.0, "hires clip": 1.0, "couple": 1.5, "clip": 0.6}


@dataclass(frozen=True)
class Batch:
    """Windows of one shape: `condition` [b, 8, H, W], `target` and `reference` latents
    [b, 16, h, w], `portrait` the latents of the photo's three windows ([b, 16, ., .] each, the
    window's own first), `sharpness` [b].
    """

    condition: Tensor
    target: Tensor
    reference: Tensor
    portrait: tuple[Tensor, Tensor, Tensor]
    sharpness: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        one, two, three = (latent.to(device) for latent in self.portrait)
        rest = (self.condition, self.target, self.reference)
        condition, target, reference = (value.to(device) for value in rest)
        return Batch(condition, target, reference, (one, two, three), self.sharpness.to(device))


def batch(name: str, pairs: Pairs, picks: np.ndarray, start: np.ndarray, keep: np.ndarray) -> Batch:
    """Windows of the pairs `picks` ("mouth" or "eyes"): `start` is the first row of latents of
    each, `keep` whether the photo's latents are known.
    """
    rows = ROWS if name == "mouth" else WINDOWS["right eye"][1]
    sizes = [WINDOWS["mouth"], WINDOWS["right eye"], WINDOWS["right eye"]]
    if name == "eyes":
        sizes = [sizes[1], sizes[0], sizes[1]]
    width = sizes[0][0]
    condition, target, reference, portraits = [], [], [], ([], [], [])
    for i, y, known in zip(picks, start, keep, strict=True):
        condition.append(pairs.condition[i, y * FACTOR : (y + rows) * FACTOR].transpose(2, 0, 1))
        latents = pairs.latents[i].astype(np.float32)
        target.append(latents[0, :, y : y + rows, :width])
        reference.append(latents[1, :, y : y + rows, :width] * known)
        for k, (w, h) in enumerate(sizes):
            portraits[k].append(latents[1 + k, :, :h, :w] * known)
    planes = torch.from_numpy(np.stack(condition)).float() / 255
    one, two, three = (torch.from_numpy(np.stack(part)) for part in portraits)
    return Batch(
        planes.contiguous(memory_format=torch.channels_last),
        torch.from_numpy(np.stack(target)),
        torch.from_numpy(np.stack(reference)),
        (one, two, three),
        torch.from_numpy(pairs.sharpness[picks].astype(np.float32)),
    )


def draw(windows: dict[str, Pairs], size: int, stage: int, step: int) -> Batch:
    """The batch of a step of stage 1 or 2."""
    rng = np.random.default_rng((stage, step))
    name = "eyes" if step % EYES_EVERY == 0 else "mouth"
    pairs = windows[name]
    likely = np.array([LIKELY[kind] for kind in KINDS])[pairs.kind]
    picks = rng.choice(len(pairs), size, p=likely / likely.sum())
    last = WINDOWS["mouth"][1] - ROWS
    start = rng.integers(1, last, size) if name == "mouth" else np.zeros(size, int)
    return batch(name, pairs, picks, start, rng.random(size) > NO_REFERENCE)


def embed(model: Denoiser, portrait: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Keys and values of all of a photo's windows."""
    return torch.cat([model.embed_portrait(one) for one in portrait], 3)


def sample(model: Denoiser, given: Batch, x_0: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The latent that `steps` steps from `x_0` end at, and the condition's features."""
    features = model.embed_condition(given.condition, given.reference)
    portrait = embed(model, given.portrait)
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
    portrait = embed(model, given.portrait)
    velocity = model(interpolate(x_0, x_1, t), t, features, portrait, given.sharpness)
    return ((velocity - (x_1 - x_0)).pow(2) * importance(given.condition)).mean(), {}


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
    `batch` pairs a step; `workers` processes that draw them.
    """

    regression: bool = False
    batch: int = POLISH_BATCH
    workers: int = 0


class Polish:
    """The loss of the second stage, on `device`; trains its discriminator on the side, which
    belongs to the run's checkpoint (`state_dict`).
    """

    def __init__(
        self,
        model: Denoiser,
        autoencoder: Autoencoder,
        windows: dict[str, Pairs],
        config: PolishConfig,
        device: torch.device,
    ) -> None:
        self.model, self.config, self.device = model, config, device
        self.autoencoder = copy.deepcopy(autoencoder).to(device).requires_grad_(False)
        self.lpips = Lpips(device)
        channels = model.config.latent_channels + model.config.widths[0]
        self.judge = Discriminator(channels).to(device)
        self.optimizer = torch.optim.AdamW(self.judge.parameters(), 2e-4, (0.5, 0.99))
        self._ahead = Ahead(partial(draw, windows, config.batch, 2), config.workers)

    def state_dict(self) -> dict[str, dict]:
        """The discriminator's part of a checkpoint."""
        return {"judge": self.judge.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, dict]) -> None:
        """The inverse of `state_dict`."""
        self.judge.load_state_dict(state_dict["judge"])
        self.optimizer.load_state_dict(state_dict["optimizer"])

    def __call__(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The picture that one or two steps from noise end at; now and then flow matching too."""
        given = self._ahead(step).to(self.device)
        once = self.config.regression or np.random.default_rng((3, step)).random() < 0.25
        x_0 = torch.randn(given.target.shape) * (0.0 if self.config.regression else TEMPERATURE)
        latent, features = sample(self.model, given, x_0.to(self.device), 1 if once else 2)
        latent, features = latent.float(), features.float()
        with torch.autocast(self.device.type, enabled=False):  # pictures are compared in full
            total, parts = self._pictures(latent, given)
        if self.config.regression:
            return total, parts
        if step % FLOW_EVERY == 0:
            total = total + 0.1 * loss_of(self.model, given)[0]
        self._teach(latent.detach(), given.target, features.detach())
        fooled = -self.judge(latent, features.detach()).mean()
        weight = FOOLED if step >= 100 else 0.0
        parts["fooled"] = fooled.item()
        return total + weight * fooled, parts

    def _pictures(self, latent: Tensor, given: Batch) -> tuple[Tensor, dict[str, float]]:
        """How far the painted picture is from the true one: pixels, their slopes, LPIPS."""
        image, truth = self.autoencoder.decode(latent), self.autoencoder.decode(given.target)
        near = F.interpolate(importance(given.condition), scale_factor=FACTOR)
        pixels, seen = ((image - truth).abs() * near).mean(), self.lpips(image, truth)
        inside = F.max_pool2d(given.condition[:, 4:5], 5, 1, 2)
        slopes = ((slope(image) - slope(truth)).abs() * (0.2 + inside)).mean()
        parts = {"pixels": pixels.item(), "lpips": seen.item(), "slopes": slopes.item()}
        return 1.5 * pixels + 2.0 * seen + 1.0 * slopes, parts

    def _teach(self, painted: Tensor, real: Tensor, features: Tensor) -> None:
        hinge = F.relu(1 - self.judge(real, features)).mean()
        hinge = hinge + F.relu(1 + self.judge(painted, features)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        hinge.backward()
        self.optimizer.step()


def slope(image: Tensor) -> Tensor:
    """Differences to the right and downwards, [b, 6, h, w]."""
    right = F.pad(image[..., 1:] - image[..., :-1], (0, 1))
    down = F.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
    return torch.cat([right, down], 1)


def energy(image: Tensor, where: Tensor) -> Tensor:
    """Mean steepness of the grey picture in a place, [b]."""
    grey = image.mean(1, keepdim=True)
    right, down = slope(grey).chunk(2, 1)
    steep = (right.square() + down.square() + 1e-12).sqrt() * where
    return steep.flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1)


def measure(
    model: Denoiser,
    autoencoder: Autoencoder,
    windows: dict[str, Pairs],
    lpips: Lpips | None = None,
    temperature: float = TEMPERATURE,
) -> Held:
    """PSNR in dB of the open mouth and its rim, LPIPS of the window (less is nearer), edge energy
    inside as a share of the true one: the drawing alone, and 1, 2 and 4 steps; some to see.
    """
    pairs = windows["mouth"]
    wide = np.flatnonzero((pairs.condition[:, ..., 3] == 0).mean((1, 2)) > 0.02)
    picks = wide[np.linspace(0, len(wide) - 1, min(64, len(wide))).astype(int)]
    given = batch("mouth", pairs, picks, np.full(len(picks), 4), np.ones(len(picks), bool))
    near = F.max_pool2d(given.condition[:, 4:5], 9, 1, 4)
    inside = 1 - F.max_pool2d(1 - given.condition[:, 4:5], 5, 1, 2)
    x_0 = torch.randn(given.target.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        truth = autoencoder.decode(given.target).clamp(0, 1)
        real = (
            torch.from_numpy(
                np.stack([pairs.target[i, 32 : 32 + ROWS * FACTOR] for i in picks])
            ).permute(0, 3, 1, 2)
            / 255
        )
        columns, out = [given.condition[:, :3], real], {}
        wanted = energy(real, inside)
        known = wanted > 1e-3
        out["drawing edges"] = float(
            (energy(given.condition[:, :3], inside) / wanted)[known].median()
        )
        out["autoencoder edges"] = float((energy(truth, inside) / wanted)[known].median())
        for steps in (1, 2, 4):
            latent, _ = sample(model, given, x_0 * temperature, steps)
            columns.append(autoencoder.decode(latent).clamp(0, 1))
            out[f"{steps} steps"] = _psnr(columns[-1], real, near)
            out[f"{steps} steps edges"] = float(
                (energy(columns[-1], inside) / wanted)[known].median()
            )
            if lpips is not None:
                out[f"{steps} steps LPIPS"] = float(lpips(columns[-1], real))
    out["drawing"] = _psnr(columns[0], real, near)
    if lpips is not None:
        with torch.inference_mode():
            out["drawing LPIPS"] = float(lpips(columns[0], real))
    rows = torch.cat([torch.cat(list(c[::6]), 2) for c in columns], 1)
    return Held(out, (rows.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))


def _psnr(a: Tensor, b: Tensor, where: Tensor) -> float:
    error = ((a - b) ** 2 * where).sum() / (3 * where.sum())
    return -10 * float(error.log10())


def main() -> None:
    """Parse the command line, train, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="6000; 80 with --tiny")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--polish", type=Path, help="folder of the weights to go on from")
    parser.add_argument("--pairs", type=Path, help="see scripts.data.window_pairs")
    parser.add_argument("--regression", action="store_true", help="--polish without noise")
    parser.add_argument("--batch", type=int, help=f"{BATCH}; {POLISH_BATCH} with --polish")
    parser.add_argument("--learning-rate", type=float, help="1.2e-3; 1.5e-4 with --polish")
    parser.add_argument("--workers", type=int, help="processes that draw batches")
    parser.add_argument("--save-minutes", type=float, default=LoopConfig.save_minutes)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    if not arguments.tiny and arguments.pairs is None:
        parser.error("give --pairs DIR, or --tiny for made-up pairs")
    out, tiny = arguments.out, arguments.tiny
    torch.manual_seed(0)
    autoencoder = Autoencoder.load()
    if tiny:
        windows, held = made_up(autoencoder), made_up(autoencoder, 6, seed=1)
    else:
        windows, held = (load_windows(arguments.pairs / side) for side in ("train", "held_out"))
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
        chosen = PolishConfig(arguments.regression, size, workers)
        objective = Polish(model, autoencoder, windows, chosen, training_device())
        lpips, also["polish"] = Lpips(), objective
    else:
        model = Denoiser(sizes)
        ahead = Ahead(partial(draw, windows, arguments.batch or BATCH, 1), workers)

        def objective(step: int) -> tuple[Tensor, dict[str, float]]:
            return loss_of(model, ahead(step))

    model.to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]
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
