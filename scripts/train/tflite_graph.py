"""A TFLite graph of floats, written as an ONNX graph operation by operation.

Needs the packages onnx and tflite. Numbers that are stored as float16 stay so in the file and are
widened by the graph, as TFLite does.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from weights.errors import InputError

OPSET = 17
_TYPES = {0: np.float32, 1: np.float16, 2: np.int32}
_RELU = 1
_SAME = 0
_FIRST = (0, 3, 1, 2)  # channels last -> first

# What needs nothing but its inputs.
_PLAIN = {
    "DIV": "Div",
    "HARD_SWISH": "HardSwish",
    "LOGISTIC": "Sigmoid",
    "NEG": "Neg",
    "RELU": "Relu",
    "SQRT": "Sqrt",
    "SUB": "Sub",
}


class Writer:
    """Goes through a TFLite graph and writes each operation as ONNX has it.

    `outputs` names the first outputs; what only others need is left out. Pictures go channels
    first, as ONNX wants them; with `pictures=False` all axes stay where they are, and a
    convolution is a product with the last one. Raises InputError for an operation, or a
    use of one, that no model here has.
    """

    def __init__(self, data: bytes, outputs: Sequence[str], pictures: bool = True) -> None:
        tflite: Any = importlib.import_module("tflite")
        self.tflite = tflite
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.pictures = pictures
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._kinds = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
        self._names = {self.graph.Inputs(0): "input"}
        self._names |= {self.graph.Outputs(i): name for i, name in enumerate(outputs)}
        self._outputs = [self.graph.Outputs(i) for i in range(len(outputs))]
        self._known: dict[int, np.ndarray] = {}
        self._written: set[str] = set()

    def write(self, name: str) -> bytes:
        """The whole graph, under a name."""
        import onnx
        from onnx import helper

        for operator in self._needed():
            self._operation(operator)
        float32 = onnx.TensorProto.FLOAT
        begins, ends = (
            [helper.make_tensor_value_info(self._name(i), float32, self._shape(i)) for i in indices]
            for indices in ([self.graph.Inputs(0)], self._outputs)
        )
        graph = helper.make_graph(self.nodes, name, begins, ends, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        return model.SerializeToString()

    def _needed(self) -> list[Any]:
        """The operations that the outputs depend on, in order."""
        wanted, kept = set(self._outputs), []
        for index in reversed(range(self.graph.OperatorsLength())):
            operator = self.graph.Operators(index)
            if operator.Outputs(0) in wanted:
                wanted.update(self._inputs(operator))
                kept.append(operator)
        return kept[::-1]

    def _inputs(self, operator: Any) -> list[int]:
        return [operator.Inputs(i) for i in range(operator.InputsLength())]

    def _name(self, index: int) -> str:
        return self._names.get(index, f"t{index}")

    def _shape(self, index: int) -> list[int]:
        """As ONNX has it."""
        shape = [int(n) for n in self.graph.Tensors(index).ShapeAsNumpy()]
        return [shape[i] for i in _FIRST] if self.pictures and len(shape) == 4 else shape

    def _value(self, index: int) -> np.ndarray | None:
        """A constant, as TFLite has it."""
        if index in self._known:
            return self._known[index]
        tensor = self.graph.Tensors(index)
        data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(data, int):  # empty: computed
            return None
        shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
        return np.frombuffer(data.tobytes(), _TYPES[tensor.Type()]).reshape(shape)

    def _constant(self, name: str, value: np.ndarray) -> str:
        """The name of a constant in the graph, as float32 where it is float16."""
        from onnx import TensorProto, numpy_helper

        if name in self._written:
            return name
        self._written.add(name)
        half = value.dtype == np.float16
        kept = f"{name}_half" if half else name
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), kept))
        if half:
            self._add("Cast", [kept], name, to=TensorProto.FLOAT)
        return name

    def _given(self, index: int) -> str:
        """The name of an input, which may be a constant."""
        value = self._value(index)
        return self._name(index) if value is None else self._constant(f"c{index}", value)

    def _fixed(self, index: int) -> np.ndarray:
        value = self._value(index)
        if value is None:
            raise InputError("got a computed tensor; wanted a constant")
        return value

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def _add_activated(
        self, kind: str, inputs: list[str], output: str, activation: int, **attributes: Any
    ) -> None:
        if activation not in (0, _RELU):
            raise InputError(f"got the activation {activation}; wanted none or Relu")
        self._add(kind, inputs, f"{output}_before" if activation else output, **attributes)
        if activation:
            self._add("Relu", [f"{output}_before"], output)

    def _options(self, operator: Any, name: str) -> Any:
        options, table = getattr(self.tflite, name)(), operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def _operation(self, operator: Any) -> None:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        kind = self._kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if kind == "CUSTOM":
            kind = code.CustomCode().decode()
        inputs, output = self._inputs(operator), self._name(operator.Outputs(0))
        if kind == "DEQUANTIZE":
            self._known[operator.Outputs(0)] = self._fixed(inputs[0])
        elif kind in _PLAIN:
            self._add(_PLAIN[kind], [self._given(i) for i in inputs], output)
        else:
            write = getattr(self, f"_write_{kind.lower()}", None)
            if write is None:
                raise InputError(
                    f"got the operation {kind}, which is not among those that are written here"
                )
            write(operator, inputs, output)

    def _write_add(self, operator: Any, inputs: list[int], output: str) -> None:
        activation = self._options(operator, "AddOptions").FusedActivationFunction()
        self._add_activated("Add", [self._given(i) for i in inputs], output, activation)

    def _write_mul(self, operator: Any, inputs: list[int], output: str) -> None:
        activation = self._options(operator, "MulOptions").FusedActivationFunction()
        self._add_activated("Mul", [self._given(i) for i in inputs], output, activation)

    def _write_rsqrt(self, operator: Any, inputs: list[int], output: str) -> None:
        self._add("Sqrt", [self._given(inputs[0])], f"{output}_root")
        self._add("Reciprocal", [f"{output}_root"], output)

    def _write_squared_difference(self, operator: Any, inputs: list[int], output: str) -> None:
        self._add("Sub", [self._given(i) for i in inputs], f"{output}_less")
        self._add("Mul", [f"{output}_less"] * 2, output)

    def _write_prelu(self, operator: Any, inputs: list[int], output: str) -> None:
        """As s x + (1 - s) relu(x), two products a channel: ONNX Runtime's own PRelu takes three
        times as long as the convolutions around it, and breaks the layout that it has for them.
        """
        if not self.pictures:
            raise InputError("got a PRelu outside pictures; wanted it on channels")
        slope = self._fixed(inputs[1]).astype(np.float32).reshape(-1, 1, 1, 1)
        name, channels = self._given(inputs[0]), len(slope)
        parts = [f"{output}_linear", f"{output}_above"]
        self._add("Relu", [name], f"{output}_relu")
        for source, part, factor in (
            (name, parts[0], slope),
            (f"{output}_relu", parts[1], 1 - slope),
        ):
            weight = self._constant(f"{part}_w", factor)
            self._add("Conv", [source, weight], part, group=channels)
        self._add("Add", parts[::-1], output)

    def _write_mean(self, operator: Any, inputs: list[int], output: str) -> None:
        axes = self._axes(inputs)
        kept = int(self._options(operator, "ReducerOptions").KeepDims())
        self._add("ReduceMean", [self._given(inputs[0])], output, axes=axes, keepdims=kept)

    def _write_sum(self, operator: Any, inputs: list[int], output: str) -> None:
        axes = self._constant(f"{output}_a", np.array(self._axes(inputs), np.int64))
        kept = int(self._options(operator, "ReducerOptions").KeepDims())
        self._add("ReduceSum", [self._given(inputs[0]), axes], output, keepdims=kept)

    def _axes(self, inputs: list[int]) -> list[int]:
        if self.pictures:
            raise InputError("got a mean or sum over axes of a picture; wanted rows")
        return [int(axis) for axis in self._fixed(inputs[1]).reshape(-1)]

    def _write_transpose(self, operator: Any, inputs: list[int], output: str) -> None:
        if self.pictures:
            raise InputError("got a picture whose axes change; wanted rows")
        order = [int(axis) for axis in self._fixed(inputs[1])]
        self._add("Transpose", [self._given(inputs[0])], output, perm=order)

    def _write_strided_slice(self, operator: Any, inputs: list[int], output: str) -> None:
        begins, _, steps = (self._fixed(i) for i in inputs[1:])
        if self.pictures or begins.any() or (steps != 1).any():
            raise InputError("got a slice that starts late or leaves gaps; wanted neither")
        shape = self._shape(operator.Outputs(0))
        dropped = self._options(operator, "StridedSliceOptions").ShrinkAxisMask()
        kept = iter(shape)
        ends = [1 if dropped >> axis & 1 else next(kept) for axis in range(len(begins))]
        bounds = [
            self._constant(f"{output}_{name}", np.array(value, np.int64))
            for name, value in (("begins", begins), ("ends", ends), ("shape", shape))
        ]
        self._add("Slice", [self._given(inputs[0]), *bounds[:2]], f"{output}_part")
        self._add("Reshape", [f"{output}_part", bounds[2]], output)

    def _write_concatenation(self, operator: Any, inputs: list[int], output: str) -> None:
        axis = self._options(operator, "ConcatenationOptions").Axis()
        if self.pictures and len(self._shape(inputs[0])) == 4:
            raise InputError("got pictures side by side; wanted rows")
        self._add("Concat", [self._given(i) for i in inputs], output, axis=axis)

    def _write_reshape(self, operator: Any, inputs: list[int], output: str) -> None:
        name = self._given(inputs[0])
        if self.pictures and len(self._shape(inputs[0])) == 4:
            self._add("Transpose", [name], f"{output}_last", perm=[0, 2, 3, 1])
            name = f"{output}_last"
        if self.pictures and len(self._shape(operator.Outputs(0))) == 4:
            raise InputError("a picture made of something else")
        shape = np.array(self._shape(operator.Outputs(0)), np.int64)
        self._add("Reshape", [name, self._constant(f"{output}_d", shape)], output)

    def _write_pad(self, operator: Any, inputs: list[int], output: str) -> None:
        pads = self._fixed(inputs[1])[list(_FIRST)] if self.pictures else self._fixed(inputs[1])
        around = self._constant(f"{output}_p", pads.T.reshape(-1).astype(np.int64))
        self._add("Pad", [self._given(inputs[0]), around], output)

    def _write_max_pool_2d(self, operator: Any, inputs: list[int], output: str) -> None:
        options = self._options(operator, "Pool2DOptions")
        window = [options.FilterHeight(), options.FilterWidth()]
        strides = [options.StrideH(), options.StrideW()]
        pads = self._pads(inputs[0], options.Padding(), window, strides)
        shape = {"kernel_shape": window, "strides": strides, "pads": pads}
        self._add("MaxPool", [self._given(inputs[0])], output, **shape)

    def _write_average_pool_2d(self, operator: Any, inputs: list[int], output: str) -> None:
        options = self._options(operator, "Pool2DOptions")
        if [options.FilterHeight(), options.FilterWidth()] != self._shape(inputs[0])[2:]:
            raise InputError("an average that is not of the whole picture")
        self._add("GlobalAveragePool", [self._given(inputs[0])], output)

    def _write_resize_bilinear(self, operator: Any, inputs: list[int], output: str) -> None:
        options = self._options(operator, "ResizeBilinearOptions")
        mode = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        mode = "align_corners" if options.AlignCorners() else mode
        scale = self._fixed(inputs[1]) / np.array(self._shape(inputs[0])[2:])
        scales = self._constant(f"{output}_s", np.array([1, 1, *scale], np.float32))
        attributes = {"mode": "linear", "coordinate_transformation_mode": mode}
        self._add("Resize", [self._given(inputs[0]), "", scales], output, **attributes)

    def _write_convolution2dtransposebias(
        self, operator: Any, inputs: list[int], output: str
    ) -> None:
        weight, bias = (self._fixed(i) for i in inputs[1:])
        values = [
            self._constant(f"{output}_w", weight.transpose(3, 0, 1, 2)),
            self._constant(f"{output}_b", bias),
        ]
        self._add("ConvTranspose", [self._given(inputs[0]), *values], output, strides=[2, 2])

    def _write_conv_2d(self, operator: Any, inputs: list[int], output: str) -> None:
        options = self._options(operator, "Conv2DOptions")
        weight = self._fixed(inputs[1])
        if self.pictures:
            self._convolve(inputs, output, options, weight.transpose(_FIRST), 1)
            return
        if weight.shape[1:3] != (1, 1) or (options.StrideH(), options.StrideW()) != (1, 1):
            raise InputError("a convolution that is more than a product")
        factor = self._constant(f"{output}_w", weight[:, 0, 0].T)
        self._add("MatMul", [self._given(inputs[0]), factor], f"{output}_product")
        bias = self._constant(f"{output}_b", self._fixed(inputs[2]))
        activation = options.FusedActivationFunction()
        self._add_activated("Add", [f"{output}_product", bias], output, activation)

    def _write_depthwise_conv_2d(self, operator: Any, inputs: list[int], output: str) -> None:
        options = self._options(operator, "DepthwiseConv2DOptions")
        weight = self._fixed(inputs[1]).transpose(3, 0, 1, 2)
        self._convolve(inputs, output, options, weight, weight.shape[0])

    def _convolve(
        self, inputs: list[int], output: str, options: Any, weight: np.ndarray, group: int
    ) -> None:
        strides = [options.StrideH(), options.StrideW()]
        dilations = [options.DilationHFactor(), options.DilationWFactor()]
        reach = [(weight.shape[2 + axis] - 1) * dilations[axis] + 1 for axis in range(2)]
        self._add_activated(
            "Conv",
            [
                self._given(inputs[0]),
                self._constant(f"{output}_w", weight),
                self._constant(f"{output}_b", self._fixed(inputs[2])),
            ],
            output,
            options.FusedActivationFunction(),
            strides=strides,
            dilations=dilations,
            pads=self._pads(inputs[0], options.Padding(), reach, strides),
            group=group,
        )

    def _pads(self, index: int, padding: int, reach: list[int], strides: list[int]) -> list[int]:
        """Top, left, bottom, right. With SAME the odd pixel lies behind."""
        if padding != _SAME:
            return [0, 0, 0, 0]
        sides = []
        for size, window, stride in zip(self._shape(index)[2:], reach, strides, strict=True):
            whole = max((-(-size // stride) - 1) * stride + window - size, 0)
            sides.append((whole // 2, whole - whole // 2))
        return [side[end] for end in range(2) for side in sides]
