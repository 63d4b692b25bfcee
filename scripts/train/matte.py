"""Write MediaPipe's selfie segmentation as an ONNX graph (role matte).

    python -m scripts.train.matte --model selfie_segmentation.tflite [--out FILE]

The model is in the wheel `mediapipe==0.10.21` (mediapipe/modules/selfie_segmentation). Needs the
packages onnx and tflite. Run scripts/update_manifest.py afterwards.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from weights.tensors import save_safetensors

OPSET = 17
_TYPES = {0: np.float32, 1: np.float16, 2: np.int32}
_RELU = 1


class Writer:
    """Goes through a TFLite graph and writes each operation as ONNX has it, channels first."""

    def __init__(self, data: bytes) -> None:
        tflite: Any = importlib.import_module("tflite")
        self.tflite = tflite
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._known: dict[int, np.ndarray] = {}
        self._after: Any = None  # an activation that comes behind what is being written
        self._names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}

    def write(self) -> bytes:
        """The whole graph. Raises NotImplementedError for an operation not in this model."""
        import onnx
        from onnx import helper

        for index in range(self.graph.OperatorsLength()):
            self._operation(self.graph.Operators(index))
        first, last = self.graph.Inputs(0), self.graph.Outputs(0)
        float32 = onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "matte",
            [helper.make_tensor_value_info(f"t{first}", float32, [1, 3, 256, 256])],
            [helper.make_tensor_value_info(f"t{last}", float32, [1, 1, 256, 256])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model.SerializeToString()

    def _value(self, index: int) -> np.ndarray:
        if index in self._known:
            return self._known[index]
        tensor = self.graph.Tensors(index)
        data = self.model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        return np.frombuffer(data, _TYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())

    def _size(self, index: int) -> tuple[int, int]:
        _, height, width, _ = self.graph.Tensors(index).ShapeAsNumpy()
        return int(height), int(width)

    def _constant(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def _activated(self, activation: int, output: str) -> str:
        """The name to write to, so that `output` is what the activation makes of it."""
        if activation == 0:
            return output
        if activation != _RELU:
            raise NotImplementedError(f"activation {activation}")
        self._add("Relu", [f"{output}_before"], output)
        self._after = self.nodes.pop()
        return f"{output}_before"

    def _operation(self, operator: Any) -> None:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        kind = self._names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if kind == "CUSTOM":
            kind = code.CustomCode().decode()
        inputs = [operator.Inputs(i) for i in range(operator.InputsLength())]
        self._after = None
        self._write(kind, operator, inputs, operator.Outputs(0))
        if self._after is not None:
            self.nodes.append(self._after)

    def _options(self, operator: Any, name: str) -> Any:
        options, table = getattr(self.tflite, name)(), operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def _write(self, kind: str, operator: Any, inputs: list[int], index: int) -> None:
        names, output = [f"t{i}" for i in inputs], f"t{index}"
        plain = {"RELU": "Relu", "HARD_SWISH": "HardSwish", "LOGISTIC": "Sigmoid"}
        if kind == "DEQUANTIZE":
            self._known[index] = self._value(inputs[0]).astype(np.float32)
        elif kind in plain:
            self._add(plain[kind], names[:1], output)
        elif kind in ("ADD", "MUL"):
            options = self._options(operator, f"{kind.title()}Options")
            into = self._activated(options.FusedActivationFunction(), output)
            self._add(kind.title(), names, into)
        elif kind == "AVERAGE_POOL_2D":
            options = self._options(operator, "Pool2DOptions")
            if (options.FilterHeight(), options.FilterWidth()) != self._size(inputs[0]):
                raise NotImplementedError("a pool that is not of the whole picture")
            self._add("GlobalAveragePool", names, output)
        elif kind == "RESIZE_BILINEAR":
            self._resize(operator, inputs, output)
        elif kind == "Convolution2DTransposeBias":
            weight, bias = (self._value(i).astype(np.float32) for i in inputs[1:])
            values = [
                self._constant(f"{output}_w", weight.transpose(3, 0, 1, 2)),
                self._constant(f"{output}_b", bias),
            ]
            self._add("ConvTranspose", [names[0], *values], output, strides=[2, 2])
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self._convolution(kind, operator, inputs, output)
        else:
            raise NotImplementedError(kind)

    def _resize(self, operator: Any, inputs: list[int], output: str) -> None:
        options = self._options(operator, "ResizeBilinearOptions")
        mode = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        mode = "align_corners" if options.AlignCorners() else mode
        scale = self._value(inputs[1]) / np.array(self._size(inputs[0]))
        scales = self._constant(f"{output}_s", np.array([1, 1, *scale], np.float32))
        attributes = {"mode": "linear", "coordinate_transformation_mode": mode}
        self._add("Resize", [f"t{inputs[0]}", "", scales], output, **attributes)

    def _convolution(self, kind: str, operator: Any, inputs: list[int], output: str) -> None:
        deep = kind == "DEPTHWISE_CONV_2D"
        options = self._options(operator, "DepthwiseConv2DOptions" if deep else "Conv2DOptions")
        weight, bias = (self._value(i).astype(np.float32) for i in inputs[1:])
        weight = weight.transpose(3, 0, 1, 2) if deep else weight.transpose(0, 3, 1, 2)
        strides = [options.StrideH(), options.StrideW()]
        dilations = [options.DilationHFactor(), options.DilationWFactor()]
        pads = [[0, 0], [0, 0]]
        if options.Padding() == 0:  # SAME: the odd pixel lies behind
            for axis, size in enumerate(self._size(inputs[0])):
                reach = (weight.shape[2 + axis] - 1) * dilations[axis] + 1
                steps = -(-size // strides[axis])
                whole = max((steps - 1) * strides[axis] + reach - size, 0)
                pads[axis] = [whole // 2, whole - whole // 2]
        into = self._activated(options.FusedActivationFunction(), output)
        values = [self._constant(f"{output}_w", weight), self._constant(f"{output}_b", bias)]
        self._add(
            "Conv",
            [f"t{inputs[0]}", *values],
            into,
            strides=strides,
            dilations=dilations,
            pads=[pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
            group=weight.shape[0] if deep else 1,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("weights/matte.safetensors"))
    options = parser.parse_args()
    graph = np.frombuffer(Writer(options.model.read_bytes()).write(), np.uint8).copy()
    source = f"{options.model.name} of mediapipe 0.10.21"
    save_safetensors(options.out, {"graph": graph}, {"source": source})
    print(f"{options.out}: {len(graph)} bytes")


if __name__ == "__main__":
    main()
