"""Export the renderer's networks for ONNX Runtime and OpenVINO (role painter).

    python -m scripts.train.painter --pairs DIR [--out weights/painter.safetensors]

Three graphs (condition, velocity, decode), each in fp32 and int8. Those of fp32 name their weights
and leave them in the other files; those of int8 are quantised per channel with the ranges that
the training pairs' first windows show. Run it after training, then scripts/update_manifest.py.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from einops import rearrange
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from motion2video.network.autoencoder import Autoencoder
from motion2video.network.denoiser import CONDITION_CHANNELS, FACTOR, Denoiser
from motion2video.network.flow import time_grid
from motion2video.network.painter import GRAPHS
from scripts.data.window_pairs import load_windows
from scripts.train.renderer import TEMPERATURE, Batch, draw, embed
from weights.tensors import save_safetensors

Inputs = dict[str, Tensor]
OPSET = 17
_CALIBRATION = 24  # batches of windows


class _Condition(nn.Module):
    """Embeds patches by one strided convolution: moving pixels into channels costs more."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        mix = denoiser.condition.patch[1]
        assert isinstance(mix, nn.Conv2d) and mix.bias is not None
        self.patch = nn.Conv2d(CONDITION_CHANNELS, mix.out_channels, FACTOR, FACTOR)
        shape = "d (c p q) 1 1 -> d c p q"
        self.patch.weight.data = rearrange(mix.weight.data, shape, p=FACTOR, q=FACTOR).clone()
        self.patch.bias = mix.bias

    def forward(self, condition: Tensor, reference: Tensor) -> Tensor:
        x = self.patch(condition)
        for block in self.denoiser.condition.blocks:
            x = x + block(x)
        return x + self.denoiser.reference(reference)


class _Velocity(nn.Module):
    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(
        self, x_t: Tensor, features: Tensor, portrait: Tensor, modulation: Tensor
    ) -> Tensor:
        return self.denoiser.velocity(x_t, features, portrait, modulation)


class _Decode(nn.Module):
    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latent: Tensor) -> Tensor:
        return self.autoencoder.decode(latent)


def modules(autoencoder: Autoencoder, denoiser: Denoiser) -> dict[str, nn.Module]:
    """The three networks as they are exported."""
    parts = (_Condition(denoiser), _Velocity(denoiser), _Decode(autoencoder))
    return dict(zip(GRAPHS, parts, strict=True))


@torch.inference_mode()
def examples(autoencoder: Autoencoder, denoiser: Denoiser, given: Batch) -> dict[str, list[Inputs]]:
    """What each graph is given while the two default steps paint these windows."""
    features = denoiser.embed_condition(given.condition, given.reference)
    portrait = embed(denoiser, given.portrait)
    out: dict[str, list[Inputs]] = {
        "condition": [{"condition": given.condition, "reference": given.reference}],
        "velocity": [],
    }
    x, grid = torch.randn_like(given.target) * TEMPERATURE, time_grid(2)
    for t, t_next in itertools.pairwise(grid):
        time = t.expand(len(x)).clone()
        modulation = denoiser.modulate(time, given.sharpness)
        inputs = {"x_t": x, "features": features, "portrait": portrait, "modulation": modulation}
        out["velocity"].append(inputs)
        x = x + (t_next - t) * denoiser.velocity(**inputs)
    return {**out, "decode": [{"latent": x}]}


def export(module: nn.Module, inputs: Inputs, path: Path) -> None:
    """One graph with open batch and picture sizes, its weights under their own names."""
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in inputs}
    if "portrait" in inputs:
        axes["portrait"][3] = "keys"
    for name, value in inputs.items():
        if value.ndim == 4 and name != "modulation":
            size = "H W" if name == "condition" else "h w"
            axes[name] |= dict(zip((2, 3), size.split(), strict=True))
    torch.onnx.export(
        module,
        tuple(value.clone() for value in inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=["out"],
        dynamic_axes=axes,
        opset_version=OPSET,
        do_constant_folding=False,
        dynamo=False,
    )


def without_weights(path: Path) -> tuple[bytes, list[str]]:
    """The graph in `path`, and the weights that the caller fills in: they become mere names."""
    model, names = onnx.load_model(str(path)), []
    for tensor in model.graph.initializer:
        if tensor.name.startswith(("denoiser.", "autoencoder.")):
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            entry = tensor.external_data.add()
            entry.key, entry.value = "location", "weights"
            names.append(tensor.name)
    return model.SerializeToString(), names


class _Reader(CalibrationDataReader):
    def __init__(self, inputs: list[Inputs]) -> None:
        self._inputs: Iterator[Inputs] = iter(inputs)

    def get_next(self) -> Any:  # None at the end, which the base class's type forgets
        found = next(self._inputs, None)
        return None if found is None else {k: v.contiguous().numpy() for k, v in found.items()}


def quantised(path: Path, inputs: list[Inputs]) -> bytes:
    """The graph in `path` with its convolutions in int8.

    Seven bits a weight: processors without VNNI add pairs of products in 16 bits.
    """
    ready, out = path.with_suffix(".ready.onnx"), path.with_suffix(".int8.onnx")
    quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
    settings: dict[str, Any] = {"per_channel": True, "reduce_range": True}
    quantize_static(
        str(ready),
        str(out),
        _Reader(inputs),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        **settings,
    )
    return out.read_bytes()


def main() -> None:
    """Parse the command line, export."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True, help="see scripts.data.window_pairs")
    parser.add_argument("--out", type=Path, default=Path("weights/painter.safetensors"))
    arguments = parser.parse_args()
    autoencoder, denoiser = Autoencoder.load(), Denoiser.load()
    windows, seen = load_windows(arguments.pairs / "train"), {name: [] for name in GRAPHS}
    torch.manual_seed(0)
    for step in range(_CALIBRATION):
        given = draw(windows, 8, 0, step)
        for name, inputs in examples(autoencoder, denoiser, given).items():
            seen[name] += inputs
    out: dict[str, np.ndarray] = {}
    names: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, module in modules(autoencoder, denoiser).items():
            path = Path(folder) / f"{name}.onnx"
            export(module, seen[name][0], path)
            exact, names[name] = without_weights(path)
            for precision, graph in (("fp32", exact), ("int8", quantised(path, seen[name]))):
                out[f"{name}_{precision}"] = np.frombuffer(graph, np.uint8)
                print(f"{name} {precision}: {len(graph) / 1e6:.2f} MB")
    save_safetensors(arguments.out, out, {"opset": OPSET, "weights": names})


if __name__ == "__main__":
    main()
