"""Painter: the networks on windows of the face crop, by PyTorch, ONNX Runtime or OpenVINO.

A painter is made once and shared by every portrait and thread. ONNX Runtime and OpenVINO run the
graphs of `weights/painter.safetensors` (scripts/train/painter.py): those of fp32 hold no weights
and take them from the networks, those of int8 hold their own, quantised per channel.
"""

import copy
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol, cast, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from motion2video.network.autoencoder import Autoencoder
from motion2video.network.choices import Backend, Precision
from motion2video.network.denoiser import Denoiser
from motion2video.network.flow import euler, time_grid
from weights.errors import DependencyError, InputError, WeightsError
from weights.installation import how_to_add
from weights.telemetry import import_onnxruntime, import_openvino
from weights.tensors import load_safetensors

BACKENDS: tuple[Backend, ...] = get_args(Backend)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
GRAPHS = ("condition", "velocity", "decode")
_HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Window:
    """What is known of the same part of b crops: `condition` planes in 0..1, the portrait's latent
    there (`reference`), its keys and values (`portrait`), `sharpness`, and the noise to start from.
    """

    condition: Float[Tensor, "b 8 H W"]
    reference: Float[Tensor, "b c h w"]
    portrait: Float[Tensor, "b two heads k e"]
    sharpness: Float[Tensor, "b"]
    noise: Float[Tensor, "b c h w"]

    def to(self, dtype: torch.dtype) -> "Window":
        """The same in another number format."""
        return Window(*(getattr(self, field.name).to(dtype) for field in fields(self)))


@runtime_checkable
class Painter(Protocol):
    """Paints windows; `backend` and `precision` say how. Any thread may call it at any time."""

    backend: str
    precision: str

    def paint(self, window: Window) -> Float[Tensor, "b 3 H W"]:
        """The pictures of the windows, RGB in 0..1, fp32."""
        ...

    def taking(self, steps: int) -> "Painter":
        """The same networks in another number of flow steps (at least one)."""
        ...


class Painting(nn.Module):
    """Both networks as one: condition and noise to picture, in a fixed number of steps."""

    def __init__(self, autoencoder: Autoencoder, denoiser: Denoiser, steps: int) -> None:
        super().__init__()
        self.autoencoder, self.denoiser = autoencoder, denoiser
        self.grid = time_grid(steps).tolist()

    def forward(
        self,
        condition: Float[Tensor, "b 8 H W"],
        reference: Float[Tensor, "b c h w"],
        portrait: Float[Tensor, "b two heads k e"],
        sharpness: Float[Tensor, "b"],
        noise: Float[Tensor, "b c h w"],
    ) -> Float[Tensor, "b 3 H W"]:
        features = self.denoiser.embed_condition(condition, reference)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            time = torch.full_like(sharpness, float(t))
            return self.denoiser(x, time, features, portrait, sharpness)

        latent = euler(velocity, noise, torch.tensor(self.grid))
        return self.autoencoder.decode(latent).clamp(0, 1)


class TorchPainter:
    """Eager or compiled PyTorch, on a CPU or a GPU.

    In fp16 or bf16 a picture that is not finite, or black where the photo is not, is painted again
    in fp32, and so is everything after it. On a GPU each shape of window is recorded as a CUDA
    graph at first use. One window at a time: PyTorch's own threads share out the work.
    """

    backend = "torch"

    def __init__(self, painting: Painting, precision: Precision = "fp32", compile: bool = False):
        if precision not in ("fp32", "fp16", "bf16"):
            raise InputError(f"got precision {precision!r}; PyTorch paints in fp32, fp16 or bf16")
        self.precision: str = precision
        self._exact = painting
        self._painting: Callable[..., Tensor] = painting
        if precision in _HALVES:
            self._painting = copy.deepcopy(painting).to(_HALVES[precision])
        if compile:
            self._painting = torch.compile(self._painting, dynamic=False)
        self._compiled = compile
        self._recorded: dict[tuple[int, ...], _Recorded] = {}
        self._lock = threading.Lock()

    def taking(self, steps: int) -> "TorchPainter":
        """See Painter.taking."""
        painting = Painting(self._exact.autoencoder, self._exact.denoiser, max(steps, 1))
        precision = cast(Precision, self.precision)
        return TorchPainter(painting, precision, self._compiled)

    @torch.inference_mode()
    def paint(self, window: Window) -> Float[Tensor, "b 3 H W"]:
        """The pictures of the windows, RGB in 0..1, fp32."""
        with self._lock:
            if self.precision not in _HALVES:
                return self._run(window, torch.float32)
            picture = self._run(window, _HALVES[self.precision]).float()
            if is_sound(picture, window.condition):
                return picture
            self.precision, self._painting = "fp32", self._exact
            self._recorded.clear()
            return self._run(window, torch.float32)

    def _run(self, window: Window, dtype: torch.dtype) -> Tensor:
        window = window.to(dtype)
        if window.noise.device.type != "cuda" or self._compiled:
            return self._painting(**vars(window))
        shape = tuple(window.noise.shape)
        if shape not in self._recorded:
            self._recorded[shape] = _Recorded(self._painting, window)
        return self._recorded[shape](window)


class _Recorded:
    """A CUDA graph of the painting for one shape of window, with its own buffers."""

    def __init__(self, painting: Callable[..., Tensor], window: Window) -> None:
        self._inputs = Window(*(value.clone() for value in vars(window).values()))
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):  # lets cuDNN choose before anything is recorded
                painting(**vars(self._inputs))
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU while this one records.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._output = painting(**vars(self._inputs))

    def __call__(self, window: Window) -> Tensor:
        for buffer, value in zip(vars(self._inputs).values(), vars(window).values(), strict=True):
            buffer.copy_(value)
        self._graph.replay()
        return self._output.clone()


def is_sound(picture: Float[Tensor, "b 3 H W"], condition: Float[Tensor, "b 8 H W"]) -> bool:
    """Every number finite, and no picture black whose photo is not."""
    if not bool(torch.isfinite(picture).all()):
        return False
    dark = picture.flatten(1).amax(1) < 0.02
    return not bool((dark & (condition[:, :3].flatten(1).amax(1) > 0.1)).any())


class GraphPainter:
    """The exported graphs, run by `run(graph, inputs)`; numbers pass as numpy arrays."""

    def __init__(
        self, backend: str, precision: str, steps: int, denoiser: Denoiser, run: "_Run"
    ) -> None:
        self.backend, self.precision = backend, precision
        self._grid = time_grid(steps)
        self._denoiser = denoiser
        self._run = run

    def taking(self, steps: int) -> "GraphPainter":
        """See Painter.taking."""
        return GraphPainter(self.backend, self.precision, max(steps, 1), self._denoiser, self._run)

    @torch.inference_mode()
    def paint(self, window: Window) -> Float[Tensor, "b 3 H W"]:
        """The pictures of the windows, RGB in 0..1, fp32."""
        values = {name: np.ascontiguousarray(value.numpy()) for name, value in vars(window).items()}
        features = self._run(
            "condition", {"condition": values["condition"], "reference": values["reference"]}
        )
        x, given = values["noise"], {"features": features, "portrait": values["portrait"]}
        for t, t_next in zip(self._grid[:-1], self._grid[1:], strict=True):
            modulation = self._denoiser.modulate(t.expand(len(x)), window.sharpness).numpy()
            velocity = self._run("velocity", {"x_t": x, **given, "modulation": modulation})
            x = x + np.float32(t_next - t) * velocity
        picture = self._run("decode", {"latent": x})
        return torch.from_numpy(np.clip(picture, 0, 1))


_Run = Callable[[str, dict[str, np.ndarray]], np.ndarray]


def make_painter(
    autoencoder: Autoencoder,
    denoiser: Denoiser,
    steps: int,
    backend: Backend = "auto",
    precision: Precision = "auto",
    compile: bool = False,
    threads: int = 1,
) -> Painter:
    """A painter on the networks' device. `auto` is ONNX Runtime in int8 on a CPU and PyTorch in
    fp16 on a GPU. `threads` is how many may call it at a time.

    Raises InputError for a pair that does not exist, DependencyError where a package is missing.
    """
    if backend not in BACKENDS or precision not in PRECISIONS:
        raise InputError(
            f"got backend {backend!r} and precision {precision!r}; wanted one of "
            f"{', '.join(BACKENDS)} and one of {', '.join(PRECISIONS)}"
        )
    cuda = next(denoiser.parameters()).device.type == "cuda"
    if backend == "auto":
        backend = "torch" if cuda or precision in _HALVES or compile else "onnxruntime"
    if backend == "torch":
        chosen = ("fp16" if cuda else "fp32") if precision == "auto" else precision
        return TorchPainter(Painting(autoencoder, denoiser, max(steps, 1)), chosen, compile)
    if cuda:
        raise InputError(f"backend {backend!r} runs on the CPU only: use backend 'torch' on a GPU")
    if compile:
        raise InputError("only backend 'torch' can be compiled")
    if precision in _HALVES:
        raise InputError(f"backend {backend!r} paints in fp32 or int8, not {precision}")
    chosen = "int8" if precision == "auto" else precision
    values = parameters_of(autoencoder, denoiser) if chosen == "fp32" else {}
    if backend == "onnxruntime":
        run = _onnxruntime(chosen, values)
    else:
        run = _openvino(chosen, values, threads)
    return GraphPainter(backend, chosen, max(steps, 1), denoiser, run)


def graphs(precision: str) -> tuple[dict[str, bytes], dict[str, list[str]]]:
    """The exported graphs, and the weights that those of fp32 want, both by the graph's name.

    Raises WeightsError where the export is missing or damaged.
    """
    tensors, config = load_safetensors("painter")
    missing = [name for name in GRAPHS if f"{name}_{precision}" not in tensors]
    if missing:
        raise WeightsError(f"the painter's weights hold no graph {missing[0]}_{precision}")
    found = {name: tensors[f"{name}_{precision}"].tobytes() for name in GRAPHS}
    return found, config["weights"]


def parameters_of(autoencoder: Autoencoder, denoiser: Denoiser) -> dict[str, np.ndarray]:
    """The weights by the names that the fp32 graphs know them by."""
    networks = {"autoencoder": autoencoder, "denoiser": denoiser}
    return {
        f"{prefix}.{name}": value.detach().contiguous().numpy()
        for prefix, network in networks.items()
        for name, value in network.state_dict().items()
    }


def _onnxruntime(precision: str, values: dict[str, np.ndarray]) -> _Run:
    onnxruntime = import_onnxruntime()
    sessions = {}
    found, named = graphs(precision)
    for name, graph in found.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # frames go in parallel
        options.log_severity_level = 3
        held = {
            k: onnxruntime.OrtValue.ortvalue_from_numpy(values[k])
            for k in named[name]
            if k in values
        }
        if held:
            options.add_external_initializers(list(held), list(held.values()))
        sessions[name] = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])

    def run(name: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(sessions[name].run(None, inputs)[0])

    return run


def _openvino(precision: str, values: dict[str, np.ndarray], threads: int) -> _Run:
    for package in ("openvino", "onnx"):
        if importlib.util.find_spec(package) is None:
            raise DependencyError(
                f"backend 'openvino' was asked for, but {package} is not installed: "
                f"{how_to_add('openvino')}, or use backend 'onnxruntime'"
            )
    openvino = import_openvino()
    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    models = {name: filled(graph, values) for name, graph in graphs(precision)[0].items()}
    compiled: dict[tuple[Any, ...], Any] = {}
    lock, own = threading.Lock(), threading.local()

    def run(name: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
        shapes = {key: list(value.shape) for key, value in inputs.items()}
        key = (name, str(shapes))  # a fixed shape is faster than an open one
        with lock:
            if key not in compiled:
                model = core.read_model(models[name])
                model.reshape(shapes)
                compiled[key] = core.compile_model(model, "CPU", settings)
        requests = vars(own).setdefault("requests", {})
        if key not in requests:
            requests[key] = compiled[key].create_infer_request()
        return np.array(requests[key].infer(inputs)[0])

    return run


def filled(graph: bytes, values: dict[str, np.ndarray]) -> bytes:
    """An exported graph with the weights that it names put into it."""
    if not values:
        return graph
    import onnx

    model = onnx.load_model_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values[tensor.name], tensor.name))
    return model.SerializeToString()
