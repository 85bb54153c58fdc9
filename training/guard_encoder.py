"""The guard's encoder as a torch network: MiniLM with low-rank adapters on its top layers, and a pooling head.

Used by guard_fit.py. The graph of controlplane/models/convert/guard.py computes the same. The bottom layers stay
frozen: they need no gradient, which halves the time of a step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn import functional

from controlplane.models.convert.adapter import factors
from triton_models.onnx_session import FloatArray

_LAYERS, _WIDTH, _HEADS = 6, 384, 12
_FROZEN: Final = 3  # layers
_RANK, _QUERIES, _INNER, _HIDDEN = 48, 4, 64, 64
_EPSILON: Final = 1e-12  # of MiniLM's layer normalisation
_ABSENT: Final = -1e4  # attention score of a padded position: e^-10000 is 0
_DENSE: Final = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
_FEED_FORWARD: Final = ("intermediate.dense", "output.dense")
_NORMS: Final = ("attention.output.LayerNorm", "output.LayerNorm")


class _Adapted(nn.Module):
    """x @ (weight + up @ down).T + bias + shift. Without a rank, it is frozen."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: FloatArray, bias: FloatArray, rank: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight), persistent=False)
        self.register_buffer("bias", torch.tensor(bias), persistent=False)
        self.rank = rank
        if rank:
            self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
            self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))
            self.shift = nn.Parameter(torch.zeros(weight.shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        if not self.rank:
            return functional.linear(x, self.weight, self.bias)
        base = functional.linear(x, self.weight, self.bias + self.shift)
        return base + functional.linear(functional.linear(x, self.down), self.up)


class _Norm(nn.Module):
    def __init__(self, weight: FloatArray, bias: FloatArray, *, trained: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight), requires_grad=trained)
        self.bias = nn.Parameter(torch.tensor(bias), requires_grad=trained)

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (_WIDTH,), self.weight, self.bias, _EPSILON)


class _Layer(nn.Module):
    def __init__(self, tensors: Mapping[str, FloatArray], index: int, rank: int) -> None:
        super().__init__()
        name = f"encoder.layer.{index}"

        def dense(part: str) -> _Adapted:
            return _Adapted(tensors[f"{name}.{part}.weight"], tensors[f"{name}.{part}.bias"], rank)

        self.query, self.key, self.value, self.out = (dense(part) for part in _DENSE)
        self.inner, self.outer = (dense(part) for part in _FEED_FORWARD)
        self.norms = nn.ModuleList(
            _Norm(tensors[f"{name}.{part}.weight"], tensors[f"{name}.{part}.bias"], trained=bool(rank))
            for part in _NORMS
        )

    def forward(self, x: Tensor, mask: Tensor, dropout: float) -> Tensor:
        def heads(y: Tensor) -> Tensor:
            return y.view(*y.shape[:2], _HEADS, -1).transpose(1, 2)

        query, key, value = (heads(part(x)) for part in (self.query, self.key, self.value))
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        context = self.out(context.transpose(1, 2).reshape(x.shape))
        x = self.norms[0](functional.dropout(context, dropout, self.training) + x)
        y = self.outer(functional.gelu(self.inner(x)))
        after: Tensor = self.norms[1](functional.dropout(y, dropout, self.training) + x)
        return after

    def adapter(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Returns the arrays of an adapter file for this layer."""
        found: dict[str, npt.NDArray[Any]] = {}
        dense = (self.query, self.key, self.value, self.out, self.inner, self.outer)
        for part, each in zip((*_DENSE, *_FEED_FORWARD), dense, strict=True):
            found |= factors(f"{name}.{part}", each.up.detach().numpy(), each.down.detach().numpy())
            found[f"{name}.{part}.bias"] = (each.bias + each.shift).detach().numpy()
        for part, norm in zip(_NORMS, self.norms, strict=True):
            found[f"{name}.{part}.weight"] = norm.weight.detach().numpy()
            found[f"{name}.{part}.bias"] = norm.bias.detach().numpy()
        return found


class GuardEncoder(nn.Module):
    """Scores of windows: ids INT64 [batch, tokens] and mask BOOL [batch, tokens] -> FP32 [batch]."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        tensors = load_file(weights)
        self._words = torch.tensor(tensors["embeddings.word_embeddings.weight"])
        positions = tensors["embeddings.position_embeddings.weight"]
        # Every token has type 0.
        self._positions = torch.tensor(positions + tensors["embeddings.token_type_embeddings.weight"][0])
        norm = (tensors[f"embeddings.LayerNorm.{part}"] for part in ("weight", "bias"))
        self._norm = tuple(torch.tensor(part) for part in norm)
        self.layers = nn.ModuleList(_Layer(tensors, index, 0 if index < _FROZEN else _RANK) for index in range(_LAYERS))
        self.project = nn.Linear(_WIDTH, _INNER)
        self.queries = nn.Linear(_INNER, _QUERIES)
        self.norm = nn.LayerNorm(_INNER * _QUERIES)
        self.joint = nn.Linear(_INNER * _QUERIES + _WIDTH, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 1)

    def forward(self, ids: Tensor, mask: Tensor, dropout: float = 0.1) -> Tensor:
        attended = mask[:, None, None, :].expand(-1, 1, ids.shape[1], -1)
        with torch.no_grad():
            embedded = self._words[ids] + self._positions[: ids.shape[1]]
            x = functional.layer_norm(embedded, (_WIDTH,), *self._norm, _EPSILON)
            for layer in self.layers[:_FROZEN]:
                x = layer(x, attended, 0.0)
        for layer in self.layers[_FROZEN:]:
            x = layer(x, attended, dropout)
        return self._head(x, mask, dropout)

    def _head(self, x: Tensor, mask: Tensor, dropout: float) -> Tensor:
        inner = torch.relu(self.project(functional.dropout(x, dropout, self.training)))
        shares = self.queries(inner).masked_fill(~mask[..., None], _ABSENT).softmax(1)
        pooled = self.norm(torch.einsum("blq,blh->bqh", shares, inner).flatten(1))
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        joint = functional.dropout(torch.cat([pooled, mean], 1), dropout, self.training)
        score: Tensor = self.out(torch.relu(self.joint(joint)))[:, 0]
        return score.float()

    def trained(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Returns the parameters of the adapters, and those of the head."""
        named = [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]
        adapters = [parameter for name, parameter in named if name.startswith("layers.")]
        return adapters, [parameter for name, parameter in named if not name.startswith("layers.")]

    def adapter(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the arrays of triton_models/guard/adapter.npz."""
        found: dict[str, npt.NDArray[Any]] = {}
        for index, layer in enumerate(self.layers):
            if index >= _FROZEN and isinstance(layer, _Layer):
                found |= layer.adapter(f"encoder.layer.{index}")
        for name in ("project", "queries", "norm", "joint", "out"):
            part = getattr(self, name)
            found |= {f"head.{name}.{each}": getattr(part, each).detach().numpy() for each in ("weight", "bias")}
        return found


def padded_tensors(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Returns token ids INT64 [rows, tokens] and the mask BOOL [rows, tokens]."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = True
    return ids, mask
