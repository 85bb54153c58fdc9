"""Builds an ONNX graph node by node. Weights of matrix products are int8 or FP16. Used by minilm.py and guard.py.

Names, operator set, IR version and quantisation are fixed here, so that the same weights give the same bytes on every
machine, and the catalogue can pin their hash. Only standard ONNX operators: onnxruntime fuses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

FloatArray = npt.NDArray[np.float32]

_OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8  # the oldest that goes with opset 17
# Weights use 7 of 8 bits: on x86 without VNNI onnxruntime adds two u8*s8 products in 16 bits, which saturate at full
# range.
_WEIGHT_MAX = 63
_TABLE_MAX = 127  # a lookup table is not part of such a product, so it uses all 8 bits


class Graph:
    """An ONNX graph under construction. Each method adds nodes and returns the name of their output.

    Weights are int8, for a CPU; with `half` FP16, for a GPU, which sums products in FP32. All other operators (norms,
    softmax, sums) are FP32 in both: FP16 would overflow, and FP32 costs a GPU almost nothing.
    """

    def __init__(self, *, half: bool = False) -> None:
        self._half = half
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._count = 0

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        """Stores a tensor under `name`."""
        self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def scalar(self, value: float) -> str:
        """An FP32 scalar; equal values share one tensor."""
        name = f"scalar_{value!r}"
        return name if name in self._initializers else self.constant(name, np.array(value, dtype=np.float32))

    def ints(self, *values: int) -> str:
        """An INT64 vector; equal values share one tensor."""
        name = "ints_" + "_".join(str(value) for value in values)
        return name if name in self._initializers else self.constant(name, np.array(values, dtype=np.int64))

    def node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """One node with one output."""
        return self.nodes(operator, inputs, 1, **attributes)[0]

    def nodes(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """One node with several outputs."""
        self._count += 1
        names = [f"{operator}_{self._count}_{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, f"{operator}_{self._count}", **attributes))
        return names

    def rename(self, value: str, name: str) -> str:
        """Gives the graph's output the name that callers ask for."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name))
        return name

    def linear(self, name: str, x: str, weight: FloatArray, bias: FloatArray | None = None) -> str:
        """x @ weight.T + bias. weight [out, in] is stored as int8, with one scale per output column, and x is quantised
        at run time; with `half`, both are FP16.
        """
        y = self._half_product(name, x, weight) if self._half else self._product(name, x, weight)
        return y if bias is None else self.node("Add", [self.constant(f"{name}.bias", bias), y])

    def _half_product(self, name: str, x: str, weight: FloatArray) -> str:
        w = self.constant(f"{name}.weight", weight.T.astype(np.float16))
        product = self.node("MatMul", [self.node("Cast", [x], to=TensorProto.FLOAT16), w])
        return self.node("Cast", [product], to=TensorProto.FLOAT)

    def _product(self, name: str, x: str, weight: FloatArray) -> str:
        scale = np.abs(weight).max(axis=1) / np.float32(_WEIGHT_MAX)
        scale[scale == 0] = np.float32(1)
        quantised = np.rint(weight / scale[:, None]).astype(np.int8)
        w = self.constant(f"{name}.weight", quantised.T)
        w_scale = self.constant(f"{name}.scale", scale.astype(np.float32))
        w_zero = self.constant(f"{name}.zero", np.zeros_like(scale, dtype=np.int8))
        x_int, x_scale, x_zero = self.nodes("DynamicQuantizeLinear", [x], 3)
        product = self.node("Cast", [self.node("MatMulInteger", [x_int, w, x_zero, w_zero])], to=TensorProto.FLOAT)
        return self.node("Mul", [product, self.node("Mul", [x_scale, w_scale])])

    def table(self, name: str, table: FloatArray, indices: str) -> str:
        """Rows of `table` [rows, width], stored as int8 with one scale per row, or as FP16."""
        if self._half:
            rows = self.node("Gather", [self.constant(f"{name}.table", table.astype(np.float16)), indices])
            return self.node("Cast", [rows], to=TensorProto.FLOAT)
        scale = np.abs(table).max(axis=1, keepdims=True) / np.float32(_TABLE_MAX)
        scale[scale == 0] = np.float32(1)
        quantised = np.rint(table / scale).astype(np.int8)
        rows = self.node("Gather", [self.constant(f"{name}.table", quantised), indices])
        scales = self.node("Gather", [self.constant(f"{name}.scale", scale.astype(np.float32)), indices])
        return self.node("Mul", [self.node("Cast", [rows], to=TensorProto.FLOAT), scales])

    def serialise(
        self,
        name: str,
        inputs: Mapping[str, tuple[int, Sequence[str | int]]],
        outputs: Mapping[str, Sequence[str | int]],
    ) -> bytes:
        """The model file. `inputs`: name -> (element type, shape). `outputs`: name -> shape of an FP32 tensor."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(key, kind, list(shape)) for key, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, list(shape)) for key, shape in outputs.items()],
            list(self._initializers.values()),
        )
        model = helper.make_model(
            graph, producer_name="archgw", ir_version=_IR_VERSION, opset_imports=[helper.make_opsetid("", _OPSET)]
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
