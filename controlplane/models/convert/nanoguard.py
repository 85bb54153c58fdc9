"""Converts NanoGuard to an ONNX graph, int8 for one text or FP16 for batches, and its tokenizer to JSON. Used by
prepare.py.

A bidirectional transformer of 4 layers, width 512, 4 heads, RMS normalisation without gain, rotary positions, squared
ReLU, mean over tokens, 2 classes. The package's own attention does not mask padding, so the int8 graph takes one text
at a time, unpadded. The FP16 graph masks padding: a text gets the same result in a batch and alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import TensorProto

from controlplane.models.convert.checkpoint import load_tensors, load_tiktoken
from controlplane.models.convert.graph import FloatArray, Graph

_LAYERS, _WIDTH, _HEADS, _TOKENS = 4, 512, 4, 512
_HEAD_WIDTH = _WIDTH // _HEADS
_EPSILON = float(np.finfo(np.float32).eps)  # torch's default for rms_norm
_LAYER_NORM_EPSILON = 1e-5  # torch's default
_ROTARY_BASE = 10000.0
_MASKED = -10000.0  # added to the scores of padding: e^-10000 is 0 in FP32
BOS_TOKEN = "<|reserved_0|>"  # noqa: S105 - starts every text; a token of a vocabulary, no secret


def convert(checkpoint: Path) -> bytes:
    """torch checkpoint -> int8 ONNX. Input input_ids INT64 [tokens], at most 512. Outputs logits FP32 [2] (harmless,
    attack); pooled FP32 [512], the classifier's input; hidden FP32 [tokens, 512], whose mean gives pooled.
    """
    tensors = load_tensors(checkpoint)
    g = Graph()
    hidden = _hidden(g, tensors)
    pooled = g.node("ReduceMean", [hidden], axes=[0], keepdims=1)
    logits, pooled = _classify(g, tensors, pooled)
    outputs = {
        g.rename(g.node("Reshape", [logits, g.ints(2)]), "logits"): (2,),
        g.rename(g.node("Reshape", [pooled, g.ints(_WIDTH)]), "pooled"): (_WIDTH,),
        g.rename(hidden, "hidden"): ("tokens", _WIDTH),
    }
    return g.serialise("nanoguard", {"input_ids": (TensorProto.INT64, ("tokens",))}, outputs)


def convert_batched(checkpoint: Path) -> bytes:
    """torch checkpoint -> FP16 ONNX. Inputs input_ids, attention_mask INT64 [batch, tokens]; outputs logits, pooled and
    hidden as for `convert`, FP32 [batch, ...].
    """
    tensors = load_tensors(checkpoint)
    g = Graph(half=True)
    mask = g.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    # [batch, tokens] -> [batch, 1, 1, tokens]: 0 for a token, -10000 for padding.
    absent = g.node("Mul", [g.node("Sub", [g.scalar(1.0), mask]), g.scalar(_MASKED)])
    hidden = _hidden(g, tensors, g.node("Unsqueeze", [absent, g.ints(1, 2)]))
    weight = g.node("Unsqueeze", [mask, g.ints(2)])
    total = g.node("ReduceSum", [g.node("Mul", [hidden, weight]), g.ints(1)], keepdims=0)
    logits, pooled = _classify(g, tensors, g.node("Div", [total, g.node("ReduceSum", [weight, g.ints(1)], keepdims=0)]))
    outputs = {
        g.rename(logits, "logits"): ("batch", 2),
        g.rename(pooled, "pooled"): ("batch", _WIDTH),
        g.rename(hidden, "hidden"): ("batch", "tokens", _WIDTH),
    }
    inputs = dict.fromkeys(("input_ids", "attention_mask"), (TensorProto.INT64, ("batch", "tokens")))
    return g.serialise("nanoguard", inputs, outputs)


@dataclass(frozen=True, slots=True)
class _AttentionInputs:
    """Inputs of attention besides the tokens: rotary tables, and, for a batch, the mask that is added to the scores."""

    cos: str
    sin: str
    absent: str | None

    @property
    def batch(self) -> tuple[int, ...]:
        """The axis of the batch; empty without one."""
        return () if self.absent is None else (0,)


def _hidden(g: Graph, tensors: Mapping[str, FloatArray], absent: str | None = None) -> str:
    """Returns each token's last state. `absent`: as in _AttentionInputs."""
    x = _rms(g, g.table("tokens", tensors["transformer.wte.weight"], "input_ids"))
    length = g.node("Shape", ["input_ids"])
    cos, sin = _rotary(g, length if absent is None else g.node("Slice", [length, g.ints(1), g.ints(2)]))
    inputs = _AttentionInputs(cos, sin, absent)
    first = x
    for index in range(_LAYERS):
        mixed = g.node("Mul", [x, g.scalar(float(tensors["resid_lambdas"][index]))])
        x = g.node("Add", [mixed, g.node("Mul", [first, g.scalar(float(tensors["x0_lambdas"][index]))])])
        name = f"transformer.h.{index}"
        x = g.node("Add", [x, _attention(g, f"{name}.attn", tensors, _rms(g, x), inputs)])
        inner = g.node("Relu", [g.linear(f"{name}.fc", _rms(g, x), tensors[f"{name}.mlp.c_fc.weight"])])
        squared = g.node("Mul", [inner, inner])
        x = g.node("Add", [x, g.linear(f"{name}.proj", squared, tensors[f"{name}.mlp.c_proj.weight"])])
    return _rms(g, x)


def _classify(g: Graph, tensors: Mapping[str, FloatArray], mean: str) -> tuple[str, str]:
    """Returns the logits and the classifier's input, for the mean of the tokens."""
    gain, shift = (g.constant(f"cls_norm.{part}", tensors[f"cls_norm.{part}"]) for part in ("weight", "bias"))
    pooled = g.node("LayerNormalization", [mean, gain, shift], axis=-1, epsilon=_LAYER_NORM_EPSILON)
    # The classifier's two rows decide the result, so they stay FP32.
    head = g.constant("cls_head.weight", tensors["cls_head.weight"].T)
    logits = g.node("Add", [g.node("MatMul", [pooled, head]), g.constant("cls_head.bias", tensors["cls_head.bias"])])
    return logits, pooled


def _rms(g: Graph, x: str) -> str:
    mean = g.node("ReduceMean", [g.node("Mul", [x, x])], axes=[-1], keepdims=1)
    return g.node("Div", [x, g.node("Sqrt", [g.node("Add", [mean, g.scalar(_EPSILON)])])])


def _rotary(g: Graph, length: str) -> tuple[str, str]:
    """Returns cosines and sines [tokens, 1, head/2], rounded to bfloat16 as the package does."""
    half = np.arange(0, _HEAD_WIDTH, 2, dtype=np.float32) / np.float32(_HEAD_WIDTH)
    frequencies = np.array([1 / np.float32(math.pow(_ROTARY_BASE, float(e))) for e in half], dtype=np.float32)
    angles = np.outer(np.arange(_TOKENS, dtype=np.float32), frequencies)
    names = []
    # math, because numpy's vector sine differs in the last bit between processors, and the file's hash is pinned.
    for name, function in (("cos", math.cos), ("sin", math.sin)):
        values = np.array([function(float(angle)) for angle in angles.ravel()], dtype=np.float32).reshape(angles.shape)
        table = g.constant(name, _to_bfloat16(values)[:, None, :])
        names.append(g.node("Slice", [table, g.ints(0), length, g.ints(0)]))
    return names[0], names[1]


def _to_bfloat16(values: FloatArray) -> FloatArray:
    """Rounds to nearest, ties to even, and stays FP32."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32)


def _attention(g: Graph, name: str, tensors: Mapping[str, FloatArray], x: str, inputs: _AttentionInputs) -> str:
    batch = inputs.batch
    axes = len(batch)
    qkv = g.linear(
        f"{name}.qkv", x, np.concatenate([tensors[f"{name}.{part}.weight"] for part in ("c_q", "c_k", "c_v")])
    )
    query, key, value = (
        g.node("Reshape", [part, g.ints(*batch, 0, _HEADS, _HEAD_WIDTH)])
        for part in g.nodes("Split", [qkv, g.ints(_WIDTH, _WIDTH, _WIDTH)], 3, axis=axes + 1)
    )

    def order(*axis: int) -> tuple[int, ...]:
        return (*batch, *(each + axes for each in axis))

    query = g.node("Transpose", [_rms(g, _rotate(g, query, inputs))], perm=order(1, 0, 2))
    key = g.node("Transpose", [_rms(g, _rotate(g, key, inputs))], perm=order(1, 2, 0))
    value = g.node("Transpose", [value], perm=order(1, 0, 2))
    scores = g.node("Mul", [g.node("MatMul", [query, key]), g.scalar(1 / math.sqrt(_HEAD_WIDTH))])
    scores = scores if inputs.absent is None else g.node("Add", [scores, inputs.absent])
    context = g.node("MatMul", [g.node("Softmax", [scores], axis=-1), value])
    context = g.node("Reshape", [g.node("Transpose", [context], perm=order(1, 0, 2)), g.ints(*batch, 0, _WIDTH)])
    return g.linear(f"{name}.proj", context, tensors[f"{name}.c_proj.weight"])


def _rotate(g: Graph, x: str, inputs: _AttentionInputs) -> str:
    """Rotary positions (Su et al. 2021) over the halves of each head; the sign of the sine is the package's."""
    axis = len(inputs.batch) + 2
    a, b = g.nodes("Split", [x, g.ints(_HEAD_WIDTH // 2, _HEAD_WIDTH // 2)], 2, axis=axis)
    left = g.node("Add", [g.node("Mul", [a, inputs.cos]), g.node("Mul", [b, inputs.sin])])
    right = g.node("Sub", [g.node("Mul", [b, inputs.cos]), g.node("Mul", [a, inputs.sin])])
    return g.node("Concat", [left, right], axis=axis)


def convert_tokenizer(pickled: Path) -> bytes:
    """tiktoken's pickle -> the JSON of the `tokenizers` library, byte-level BPE with the same ids."""
    encoding = load_tiktoken(pickled)
    letters = _byte_letters()

    def spell(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [
        [spell(part) for part in _split(encoding.ranks, token, rank)]
        for token, rank in sorted(encoding.ranks.items(), key=lambda item: item[1])
        if len(token) > 1
    ]
    vocabulary = {spell(token): rank for token, rank in encoding.ranks.items()} | dict(encoding.special)
    document: dict[str, object] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": encoding.pattern}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,  # as tiktoken: a piece that is a token needs no merging
            "vocab": vocabulary,
            "merges": merges,
        },
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _split(ranks: Mapping[bytes, int], token: bytes, rank: int) -> list[bytes]:
    """Returns the two tokens whose merge made `token`: BPE over its bytes with the older merges."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        joined = [ranks.get(left + right, rank) for left, right in pairwise(parts)]
        best = min(range(len(joined)), key=joined.__getitem__)
        if joined[best] >= rank:
            break
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    if len(parts) != 2:
        raise ValueError(f"the token {token!r} is no merge of two older tokens")
    return parts


def _byte_letters() -> list[str]:
    """Returns GPT-2's printable letter for each byte. `tokenizers` writes byte-level tokens with them."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]
