"""Converts the guard to an ONNX graph, int8 or FP16: from token ids to one score. Used by prepare.py.

all-MiniLM-L6-v2 with the adapter that training/guard_fit.py trained, and a head: four learned queries pool the token
states (attention pooling, Lin et al. 2017), so that one sentence of attack is not lost among the words around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.numpy import load

from controlplane.assets import asset
from controlplane.models.convert.adapter import merged
from controlplane.models.convert.graph import FloatArray, Graph
from controlplane.models.convert.minilm import INPUTS, encode

_EPSILON = 1e-5  # of the layer normalisation: torch's default


def convert(weights: Path) -> bytes:
    """safetensors -> int8 ONNX. Inputs input_ids, attention_mask INT64 [batch, tokens]; output score FP32 [batch]."""
    return _convert(weights, Graph())


def convert_half(weights: Path) -> bytes:
    """safetensors -> FP16 ONNX, with the same inputs and output."""
    return _convert(weights, Graph(half=True))


def _convert(weights: Path, g: Graph) -> bytes:
    tensors = merged(load(weights.read_bytes()), asset("triton_models") / "guard" / "adapter.npz")
    encoded = encode(g, tensors)
    inner = g.node("Relu", [_exact(g, "head.project", tensors, encoded.hidden)])
    absent = g.node("Unsqueeze", [encoded.absent, g.ints(2)])
    queries = g.node("Add", [_exact(g, "head.queries", tensors, inner), absent])
    shares = g.node("Transpose", [g.node("Softmax", [queries], axis=1)], perm=(0, 2, 1))
    pooled = g.node("Reshape", [g.node("MatMul", [shares, inner]), g.ints(0, -1)])
    gain, shift = (g.constant(f"head.norm.{part}", tensors[f"head.norm.{part}"]) for part in ("weight", "bias"))
    pooled = g.node("LayerNormalization", [pooled, gain, shift], axis=-1, epsilon=_EPSILON)
    joint = g.node("Concat", [pooled, encoded.mean], axis=1)
    score = _exact(g, "head.out", tensors, g.node("Relu", [_exact(g, "head.joint", tensors, joint)]))
    return g.serialise("guard", INPUTS, {g.rename(g.node("Squeeze", [score, g.ints(1)]), "score"): ("batch",)})


def _exact(g: Graph, name: str, tensors: Mapping[str, FloatArray], x: str) -> str:
    """x @ weight.T + bias in FP32: the head is small, and int8 would cost it more than it gains."""
    weight = g.constant(f"{name}.weight", tensors[f"{name}.weight"].T)
    return g.node("Add", [g.node("MatMul", [x, weight]), g.constant(f"{name}.bias", tensors[f"{name}.bias"])])
