"""Painters: every backend paints what eager PyTorch paints, within its tolerance."""

import sys
import types
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from motion2video.network.attention import attend
from motion2video.network.choices import Backend, Precision
from motion2video.network.compute import ComputeConfig
from motion2video.network.denoiser import DenoiserConfig
from motion2video.network.painter import (
    Painting,
    TorchPainter,
    Window,
    graphs,
    is_sound,
    make_painter,
    parameters_of,
)
from motion2video.renderer import RenderConfig, Renderer
from weights.errors import DependencyError, InputError

TOLERANCE = {"fp32": 0.05, "bf16": 16.0, "fp16": 4.0, "int8": 16.0}
"""The greatest difference of a pixel from eager fp32, of 255."""
MEAN_TOLERANCE = {"fp32": 0.01, "bf16": 2.0, "fp16": 0.5, "int8": 2.5}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer.load(
        RenderConfig(), ComputeConfig(device="cpu", backend="torch", precision="fp32")
    )


def window(renderer: Renderer, height: int = 12, width: int = 16, count: int = 1) -> Window:
    """A made-up crop: smooth colours, with a hole in the middle."""
    g = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, height // 2, width // 2, generator=g)
    size = (8 * height, 8 * width)
    picture = torch.nn.functional.interpolate(small, size, mode="bicubic").clamp(0, 1)
    planes = torch.zeros(count, 8, *size)
    planes[:, :3], planes[:, 3], planes[:, 5] = picture, 1.0, 1.0
    hole = np.s_[:, :, size[0] // 3 : 2 * size[0] // 3, size[1] // 3 : 2 * size[1] // 3]
    planes[hole] = 0
    planes[:, 4:5][hole] = 1
    with torch.inference_mode():
        reference = renderer.autoencoder.encode(picture)
        whole = torch.nn.functional.interpolate(reference, (32, 32))
        portrait = renderer.denoiser.embed_portrait(whole)
    noise = 0.6 * torch.randn(count, 16, height, width, generator=g)
    return Window(planes, reference, portrait, torch.full((count,), 0.7), noise)


def available(backend: str) -> bool:
    return backend != "openvino" or bool(find_spec("openvino") and find_spec("onnx"))


@pytest.mark.parametrize(
    "backend", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_graphs_paint_what_eager_pytorch_paints(
    renderer: Renderer, backend: Backend, precision: Precision
) -> None:
    if not available(backend):
        pytest.skip(f"{backend} is not installed")
    networks = renderer.autoencoder, renderer.denoiser
    painter = make_painter(*networks, 2, backend, precision)
    assert (painter.backend, painter.precision) == (backend, precision)
    for given in (window(renderer), window(renderer, 20, 20, 2)):  # any size, any number
        wanted, got = renderer.painter.paint(given), painter.paint(given)
        assert got.shape == wanted.shape and got.dtype == torch.float32
        away = (got - wanted).abs() * 255
        assert float(away.max()) < TOLERANCE[precision]
        assert float(away.mean()) < MEAN_TOLERANCE[precision]


def test_the_embedded_graphs_want_the_weights_that_there_are(renderer: Renderer) -> None:
    found, named = graphs("fp32")
    values = parameters_of(renderer.autoencoder, renderer.denoiser)
    assert set(found) == set(named)
    assert all(name in values for names in named.values() for name in names)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_on_any_device(renderer: Renderer, precision: Precision) -> None:
    painter = make_painter(renderer.autoencoder, renderer.denoiser, 1, "torch", precision)
    exact = make_painter(renderer.autoencoder, renderer.denoiser, 1, "torch", "fp32")
    given = window(renderer, 8, 8)
    away = (painter.paint(given) - exact.paint(given)).abs() * 255
    assert painter.precision == precision, "no retry was needed"
    assert float(away.max()) < TOLERANCE[precision]
    assert 0 < float(away.mean()) < MEAN_TOLERANCE[precision]


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 0.0])
def test_a_broken_half_picture_is_painted_again_in_fp32(renderer: Renderer, broken: float) -> None:
    """In fp16 large weights overflow; here the network's half copy is broken on purpose."""
    painting = Painting(renderer.autoencoder, renderer.denoiser, 1)
    painter, given = TorchPainter(painting, "fp16"), window(renderer, 8, 8)
    painter._painting = lambda **_: torch.full((1, 3, 64, 64), broken).half()
    exact = TorchPainter(painting).paint(given)
    assert torch.equal(painter.paint(given), exact)
    assert painter.precision == "fp32"
    assert torch.equal(painter.paint(given), exact), "and stays there"


def test_black_is_sound_where_the_photo_is_black() -> None:
    picture, planes = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, 8)
    assert is_sound(picture, planes)
    planes[1, :3] = 0.5
    assert not is_sound(picture, planes)
    assert is_sound(picture + 0.3, planes)


def test_many_threads_may_paint_at_once(renderer: Renderer) -> None:
    painter = make_painter(renderer.autoencoder, renderer.denoiser, 2)
    assert (painter.backend, painter.precision) == ("onnxruntime", "int8"), "the CPU's default"
    given = window(renderer)
    alone = painter.paint(given)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(painter.paint, [given] * 8))
    assert all(torch.equal(alone, one) for one in together)


def test_the_portrait_and_the_sharpness_reach_the_picture(renderer: Renderer) -> None:
    given = window(renderer)
    plain = renderer.painter.paint(given)
    for change in (
        {"portrait": given.portrait * -1},
        {"sharpness": torch.tensor([0.2])},
        {"reference": given.reference * 0},
    ):
        other = renderer.painter.paint(Window(**{**vars(given), **change}))
        assert not torch.equal(plain, other), f"{set(change)} changes nothing"


def test_compute_settings_that_do_not_exist_are_refused(renderer: Renderer) -> None:
    networks = renderer.autoencoder, renderer.denoiser
    with pytest.raises(InputError, match="wanted 1 to 256"):
        ComputeConfig(threads=0)
    for backend, precision, compile in (
        ("torch", "int8", False),
        ("onnxruntime", "fp16", False),
        ("onnxruntime", "fp32", True),
    ):
        with pytest.raises(InputError):
            make_painter(*networks, 1, backend, precision, compile)
    if find_spec("xformers") is None:
        with pytest.raises(DependencyError, match=r" install .*\[xformers\]"):
            ComputeConfig(attention="xformers")


def test_attention_is_softmax_of_scaled_products() -> None:
    q, k, v = torch.randn(3, 1, 4, 10, 8).unbind(0)
    weights = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, -1)
    assert torch.allclose(attend(q, k, v), weights @ v, atol=1e-5)


def test_an_xformers_that_was_built_for_another_pytorch_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def memory_efficient_attention(*_: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("No operator found")

    ops = types.ModuleType("xformers.ops")
    monkeypatch.setattr(
        ops, "memory_efficient_attention", memory_efficient_attention, raising=False
    )
    monkeypatch.setitem(sys.modules, "xformers", types.ModuleType("xformers"))
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    q, k, v = torch.randn(3, 1, 4, 10, 8).unbind(0)
    with pytest.raises(DependencyError, match="no kernel for this PyTorch"):
        attend(q, k, v, "xformers")


def test_config_of_the_embedded_network_is_the_default(renderer: Renderer) -> None:
    assert renderer.denoiser.config == DenoiserConfig()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("compile", [False, True])
def test_gpu_painters_are_near(renderer: Renderer, precision: Precision, compile: bool) -> None:
    there = Renderer.load(
        RenderConfig(),
        ComputeConfig(device="cuda", precision=precision, compile=compile),
    )
    given = window(renderer)
    moved = Window(*(value.cuda() for value in vars(given).values()))
    for _ in range(2):  # the second one replays the recorded graph
        away = (there.painter.paint(moved).cpu() - renderer.painter.paint(given)).abs() * 255
        assert float(away.max()) < max(TOLERANCE[precision], 1.0)


@pytest.mark.gpu
@pytest.mark.skipif(find_spec("xformers") is None, reason="xformers is not installed")
def test_xformers_agrees_with_sdpa() -> None:
    q, k, v = torch.randn(3, 2, 4, 64, 32, device="cuda", dtype=torch.float16).unbind(0)
    try:
        found = attend(q, k, v, "xformers")
    except DependencyError as error:
        pytest.skip(str(error))
    assert torch.allclose(attend(q, k, v), found, atol=5e-3)
