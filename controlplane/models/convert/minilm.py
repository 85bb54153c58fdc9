"""Converts all-MiniLM-L6-v2 to an ONNX graph, int8 or FP16: from token ids to the embedding and the token states.
Used by prepare.py.

BERT (Devlin et al. 2018) with 6 layers of width 384 and 12 heads, then sentence-transformers' mean over the unmasked
tokens and L2 normalisation, all inside the graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from onnx import TensorProto
from safetensors.numpy import load

from controlplane.assets import asset
from controlplane.models.convert.adapter import merged
from controlplane.models.convert.graph import FloatArray, Graph

_LAYERS, WIDTH, _HEADS = 6, 384, 12
_HEAD_WIDTH = WIDTH // _HEADS
_EPSILON = 1e-12  # config.json: layer_norm_eps
_MASKED = -10000.0  # added to the scores of padding: e^-10000 is 0 in FP32
INPUTS: Final = dict.fromkeys(("input_ids", "attention_mask"), (TensorProto.INT64, ("batch", "tokens")))


def convert(weights: Path) -> bytes:
    """safetensors -> int8 ONNX. Inputs input_ids, attention_mask INT64 [batch, tokens]; outputs embedding FP32 [batch,
    384], and hidden FP32 [batch, tokens, 384], the last layer's.
    """
    return _convert(weights, Graph())


def convert_half(weights: Path) -> bytes:
    """safetensors -> FP16 ONNX, with the same inputs and outputs."""
    return _convert(weights, Graph(half=True))


def convert_intent(weights: Path) -> bytes:
    """As `convert`, with the adapter that training/intent_fit.py trained."""
    return _convert(weights, Graph(), intent_adapter())


def convert_intent_half(weights: Path) -> bytes:
    """As `convert_half`, with the adapter that training/intent_fit.py trained."""
    return _convert(weights, Graph(half=True), intent_adapter())


def intent_adapter() -> Path:
    return asset("triton_models") / "embed" / "adapter.npz"


def _convert(weights: Path, g: Graph, adapter: Path | None = None) -> bytes:
    tensors: dict[str, FloatArray] = load(weights.read_bytes())
    encoded = encode(g, tensors if adapter is None else merged(tensors, adapter))
    embedding = g.node("LpNormalization", [encoded.mean], axis=-1, p=2)
    outputs = {
        g.rename(embedding, "embedding"): ("batch", WIDTH),
        g.rename(encoded.hidden, "hidden"): ("batch", "tokens", WIDTH),
    }
    return g.serialise("all-MiniLM-L6-v2", INPUTS, outputs)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Names of values in a graph. `hidden` [batch, tokens, 384]: the last layer's states. `mean` [batch, 384]: their
    mean over the unmasked tokens. `absent` [batch, tokens]: 0 for a token, -10000 for padding.
    """

    hidden: str
    mean: str
    absent: str


def encode(g: Graph, tensors: Mapping[str, FloatArray]) -> Encoded:
    """Adds the encoder with these weights to the graph. It reads the graph's inputs INPUTS."""
    hidden = _embeddings(g, tensors)
    mask = g.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    absent = g.node("Mul", [g.node("Sub", [g.scalar(1.0), mask]), g.scalar(_MASKED)])
    bias = g.node("Unsqueeze", [absent, g.ints(1, 2)])
    for index in range(_LAYERS):
        hidden = _layer(g, f"encoder.layer.{index}", tensors, hidden, bias)
    weight = g.node("Unsqueeze", [mask, g.ints(2)])
    total = g.node("ReduceSum", [g.node("Mul", [hidden, weight]), g.ints(1)], keepdims=0)
    mean = g.node("Div", [total, g.node("ReduceSum", [weight, g.ints(1)], keepdims=0)])
    return Encoded(hidden, mean, absent)


def _embeddings(g: Graph, tensors: Mapping[str, FloatArray]) -> str:
    words = g.table("words", tensors["embeddings.word_embeddings.weight"], "input_ids")
    # Every token has type 0, so row 0 of the type embeddings is added to the positions.
    rows = tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
    length = g.node("Slice", [g.node("Shape", ["input_ids"]), g.ints(1), g.ints(2)])
    positions = g.node("Slice", [g.constant("positions", rows), g.ints(0), length, g.ints(0)])
    return _norm(g, "embeddings.LayerNorm", tensors, g.node("Add", [words, positions]))


def _layer(g: Graph, name: str, tensors: Mapping[str, FloatArray], hidden: str, bias: str) -> str:
    attention = f"{name}.attention"
    parts = ("query", "key", "value")
    # One product for the three projections quantises the activation once.
    qkv = g.linear(
        f"{name}.qkv",
        hidden,
        np.concatenate([tensors[f"{attention}.self.{part}.weight"] for part in parts]),
        np.concatenate([tensors[f"{attention}.self.{part}.bias"] for part in parts]),
    )
    heads = g.node("Reshape", [qkv, g.ints(0, 0, 3, _HEADS, _HEAD_WIDTH)])
    query, key, value = (
        g.node("Squeeze", [part, g.ints(2)]) for part in g.nodes("Split", [heads, g.ints(1, 1, 1)], 3, axis=2)
    )
    query = g.node("Transpose", [query], perm=(0, 2, 1, 3))
    key = g.node("Transpose", [key], perm=(0, 2, 3, 1))
    value = g.node("Transpose", [value], perm=(0, 2, 1, 3))
    scores = g.node("Mul", [g.node("MatMul", [query, key]), g.scalar(1 / math.sqrt(_HEAD_WIDTH))])
    weights = g.node("Softmax", [g.node("Add", [scores, bias])], axis=-1)
    context = g.node("Transpose", [g.node("MatMul", [weights, value])], perm=(0, 2, 1, 3))
    context = g.node("Reshape", [context, g.ints(0, 0, WIDTH)])
    hidden = _residual(g, f"{attention}.output", tensors, context, hidden)
    inner = _dense(g, f"{name}.intermediate", tensors, hidden)
    # GELU, exact form (Hendrycks & Gimpel 2016): x/2 * (1 + erf(x / sqrt 2)).
    erf = g.node("Erf", [g.node("Div", [inner, g.scalar(math.sqrt(2))])])
    gelu = g.node("Mul", [g.node("Mul", [inner, g.node("Add", [erf, g.scalar(1.0)])]), g.scalar(0.5)])
    return _residual(g, f"{name}.output", tensors, gelu, hidden)


def _residual(g: Graph, name: str, tensors: Mapping[str, FloatArray], x: str, residual: str) -> str:
    return _norm(g, f"{name}.LayerNorm", tensors, g.node("Add", [_dense(g, name, tensors, x), residual]))


def _dense(g: Graph, name: str, tensors: Mapping[str, FloatArray], x: str) -> str:
    return g.linear(f"{name}.dense", x, tensors[f"{name}.dense.weight"], tensors[f"{name}.dense.bias"])


def _norm(g: Graph, name: str, tensors: Mapping[str, FloatArray], x: str) -> str:
    gain, shift = (g.constant(f"{name}.{part}", tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
    return g.node("LayerNormalization", [x, gain, shift], axis=-1, epsilon=_EPSILON)
