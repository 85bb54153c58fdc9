"""all-MiniLM-L6-v2 in torch with low-rank adapters on its word table and on every linear layer. Used by intent_fit.py.

The adapters (Hu et al. 2021) are saved as triton_models/embed/adapter.npz, which the preparation of the model merges
into the weights (controlplane/models/convert/adapter.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from controlplane.models.convert.adapter import factors

RANK: Final = 12
MAX_TOKENS: Final = 48
_LAYERS, _WIDTH, _HEADS = 6, 384, 12
_PARTS: Final = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


class Adapted(nn.Module):
    """A frozen weight [out, in] plus up @ down. `up` starts at zero: the first step starts from the original model."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.register_buffer("weight", weight)
        self.bias = bias
        self.down = nn.Parameter(torch.randn(RANK, columns) / math.sqrt(columns))
        self.up = nn.Parameter(torch.zeros(rows, RANK))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return functional.linear(x, self.weight, self.bias) + functional.linear(x @ self.down.T, self.up)

    def rows(self, ids: Tensor) -> Tensor:
        """The weight as a table: rows [..., in]."""
        return functional.embedding(ids, self.weight) + functional.embedding(ids, self.up) @ self.down


class Network(nn.Module):
    """Texts -> unit vectors [texts, 384]. `teacher`: without the adapters, the original model."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        super().__init__()
        self._fixed = {name: torch.from_numpy(value) for name, value in load(model.read_bytes()).items()}
        self.words = Adapted(self._fixed["embeddings.word_embeddings.weight"], None)
        self.adapters = nn.ModuleDict(
            {
                self._key(layer, part): Adapted(
                    *(self._fixed[f"encoder.layer.{layer}.{part}.{kind}"] for kind in ("weight", "bias"))
                )
                for layer in range(_LAYERS)
                for part in _PARTS
            }
        )
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()

    @staticmethod
    def _key(layer: int, part: str) -> str:
        return f"encoder_layer_{layer}_{part}".replace(".", "_")

    def forward(self, texts: Sequence[str]) -> Tensor:
        encoded = [each.ids for each in self._tokenizer.encode_batch(list(texts))]
        lengths = torch.tensor([len(row) for row in encoded])
        # Texts lie end to end, without padding; only attention sees a padded tensor. It saves half of the time.
        ids = torch.tensor([token for row in encoded for token in row])
        mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
        text = torch.repeat_interleave(torch.arange(len(encoded)), lengths)
        position = mask.nonzero()[:, 1]
        hidden = self.words.rows(ids) + self._fixed["embeddings.position_embeddings.weight"][position]
        hidden = self._norm("embeddings.LayerNorm", hidden + self._fixed["embeddings.token_type_embeddings.weight"][0])
        for layer in range(_LAYERS):
            hidden = self._layer(layer, hidden, mask)
        total = torch.zeros(len(encoded), _WIDTH).index_add(0, text, hidden)
        return functional.normalize(total, dim=-1)

    def _layer(self, layer: int, hidden: Tensor, mask: Tensor) -> Tensor:
        """`hidden` [tokens of all texts, 384]; `mask` [texts, longest] is true at a token."""
        name = f"encoder.layer.{layer}"
        query, key, value = (
            hidden.new_zeros(*mask.shape, _WIDTH)
            .masked_scatter(mask[:, :, None], self.adapters[self._key(layer, part)](hidden))
            .view(*mask.shape, _HEADS, -1)
            .transpose(1, 2)
            for part in _PARTS[:3]
        )
        context = functional.scaled_dot_product_attention(query, key, value, mask[:, None, None, :])
        context = context.transpose(1, 2).reshape(*mask.shape, _WIDTH)[mask]
        attended = self.adapters[self._key(layer, _PARTS[3])](context)
        hidden = self._norm(f"{name}.attention.output.LayerNorm", attended + hidden)
        inner = functional.gelu(self.adapters[self._key(layer, _PARTS[4])](hidden))
        return self._norm(f"{name}.output.LayerNorm", self.adapters[self._key(layer, _PARTS[5])](inner) + hidden)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (_WIDTH,), self._fixed[f"{name}.weight"], self._fixed[f"{name}.bias"], 1e-12)

    def adapter(self) -> dict[str, npt.NDArray[np.int16]]:
        """Returns the arrays of triton_models/embed/adapter.npz."""
        named = {"embeddings.word_embeddings": self.words} | {
            f"encoder.layer.{layer}.{part}": self.adapters[self._key(layer, part)]
            for layer in range(_LAYERS)
            for part in _PARTS
        }
        found: dict[str, npt.NDArray[np.int16]] = {}
        for name, each in named.items():
            found |= factors(name, each.up.detach().numpy(), each.down.detach().numpy())
        return found
