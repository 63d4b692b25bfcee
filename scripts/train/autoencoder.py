"""Train the embedded autoencoder (role autoencoder) on face crops.

    python -m scripts.train.autoencoder --data DATA --out DIR [--minutes 40]
    python -m scripts.train.autoencoder --tiny --out DIR      made-up pictures, about a minute

Random patches of face crops (talking clips and stills of the train split), mirrored and with
changed contrast and colour balance; L1 on the pixels and on two levels of a Laplacian pyramid,
with a little noise on the latent so that near latents decode alike. Resumes from DIR. Prints
the PSNR on the pictures of the held-out identities, and leaves a sheet of some of them in
DIR/samples (above: as they are; below: as they come back) at every save.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from motion2video.drawing.warp import CROP_SIZE, Crop
from motion2video.network.autoencoder import Autoencoder, AutoencoderConfig
from scripts.data.dataset import clips, stills
from scripts.train.loop import Held, LoopConfig, run
from weights.tensors import save_safetensors

PATCH = 96
BATCH = 24
LATENT_NOISE = 0.03


def crops(root: Path, held_out: bool, clips_each: int = 60, seed: int = 0) -> np.ndarray:
    """Face crops [N, 256, 256, 3] at scattered zooms, of the train or of the other splits."""
    rng, out, seen = np.random.default_rng(seed), [], {}
    for clip in clips(root):
        seen[clip.identity] = seen.get(clip.identity, 0) + 1
        wrong_side = (clip.split == "train") == held_out
        if wrong_side or not clip.filmed or seen[clip.identity] > clips_each:
            continue
        pictures, landmarks = clip.pictures(), clip.track()["landmarks"]
        for i in rng.choice(min(len(pictures), len(landmarks)), 4):
            out.append(_zoomed(pictures[i], landmarks[i], rng))
    for still in stills(root):
        if (still.split == "train") != held_out:
            picture = still.picture()
            repeats = 6 if picture.shape[0] >= 512 else 1
            out += [_zoomed(picture, still.landmarks, rng) for _ in range(repeats)]
    return np.stack(out)


def _zoomed(picture: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    crop = Crop.around(landmarks)
    zoom = rng.uniform(0.8, 1.15)
    side = crop.side * zoom
    shift = (crop.side - side) / 2
    return Crop(crop.x + shift, crop.y + shift, side).cut(picture)


def made_up(count: int = 24, seed: int = 0) -> np.ndarray:
    """Smooth coloured blobs and edges: enough to see that a network learns."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    return np.stack(
        [cv2.resize(n, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_CUBIC) for n in noise]
    )


def batch(pictures: np.ndarray, step: int, seed: int = 0) -> Tensor:
    """Augmented patches [24, 3, 96, 96] of step `step`, RGB in [0, 1]."""
    rng = np.random.default_rng((seed, step))
    out = np.empty((BATCH, PATCH, PATCH, 3), np.uint8)
    for k in range(BATCH):
        y, x = rng.integers(16, CROP_SIZE - PATCH - 15, 2)
        patch = pictures[rng.integers(len(pictures)), y : y + PATCH, x : x + PATCH]
        out[k] = patch[:, ::-1] if rng.random() < 0.5 else patch
    gain = torch.from_numpy(rng.uniform(0.75, 1.25, (BATCH, 3, 1, 1)).astype(np.float32))
    bias = torch.from_numpy(rng.uniform(-0.08, 0.08, (BATCH, 3, 1, 1)).astype(np.float32))
    image = torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255
    image = ((image - 0.5) * gain + 0.5 + bias).clamp(0, 1)
    return image.contiguous(memory_format=torch.channels_last)


def laplacian(x: Tensor) -> Tensor:
    """What a 2x reduction loses."""
    small = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
    return x - small


def loss_of(model: Autoencoder, image: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Reconstruction of a batch, and its PSNR in dB."""
    image = image.to(model.latent_scale.device)
    latent = model.encode(image)
    tame = 1e-4 * latent.pow(2).mean() + 1e-3 * latent.mean((0, 2, 3)).pow(2).mean()
    out = model.decode(latent + LATENT_NOISE * torch.randn_like(latent))
    loss = (out - image).abs().mean() + (laplacian(out) - laplacian(image)).abs().mean()
    half, half_out = F.avg_pool2d(image, 2), F.avg_pool2d(out, 2)
    loss = loss + 0.5 * (laplacian(half_out) - laplacian(half)).abs().mean() + tame
    return loss, {"psnr": -10 * float((out.detach() - image).pow(2).mean().log10())}


def export(values: dict[str, Tensor], pictures: np.ndarray, out: Path, sheet: np.ndarray) -> Held:
    """Write the weights with normalised latents; PSNR in dB on `sheet` and some of it to see."""
    model = Autoencoder(AutoencoderConfig())
    model.load_state_dict(values)
    model.eval()
    with torch.inference_mode():
        sample = torch.from_numpy(pictures[:: max(1, len(pictures) // 200)].copy())
        latent = model.encode(sample.permute(0, 3, 1, 2).float() / 255)
        model.latent_shift.copy_(latent.mean((0, 2, 3), keepdim=True))
        model.latent_scale.copy_(latent.std((0, 2, 3), keepdim=True))
        truth = torch.from_numpy(sheet.copy()).permute(0, 3, 1, 2).float() / 255
        seen = model.decode(model.encode(truth)).clamp(0, 1)
    state = {k: v.half().numpy() for k, v in model.state_dict().items()}
    save_safetensors(out / "autoencoder.safetensors", state, model.config.to_dict())
    rows = torch.cat([torch.cat(list(truth[:6]), 2), torch.cat(list(seen[:6]), 2)], 1)
    picture = (rows.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    psnr = -10 * float((truth - seen).pow(2).mean((1, 2, 3)).log10().mean())
    return Held({"psnr": psnr}, picture)


def main() -> None:
    """Parse the command line, train, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--save-minutes", type=float, default=LoopConfig.save_minutes)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    if not arguments.tiny and arguments.data is None:
        parser.error("give --data DATA, or --tiny for made-up pictures")
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    pictures = made_up() if arguments.tiny else crops(arguments.data, held_out=False)
    held = made_up(6, seed=1) if arguments.tiny else crops(arguments.data, held_out=True)
    sheet = held[:: max(1, len(held) // 24)][:24]
    model = Autoencoder(AutoencoderConfig()).to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]
    steps = 60 if arguments.tiny else arguments.steps
    config = LoopConfig(
        steps,
        1.5e-3,
        arguments.minutes,
        warmup=min(200, steps // 3),
        save_minutes=arguments.save_minutes,
    )

    def save(values: dict[str, Tensor], step: int, minutes: float) -> Held:
        held = export(values, pictures, arguments.out, sheet)
        psnr = held.figures["psnr"]
        print(f"step {step}, {minutes:.1f} min: PSNR on held-out people {psnr:.2f} dB", flush=True)
        return held

    run(model, lambda step: loss_of(model, batch(pictures, step)), save, config, arguments.out)


if __name__ == "__main__":
    main()
