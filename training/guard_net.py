"""Fits the guard's head as a torch network and serializes it for triton_models/guard/head.py. Used by guard_head.py.

A text is an attack when one of its windows is. So the fit uses only the highest-scoring window of an attack, and each
window of a harmless text (multiple-instance learning, Andrews et al. 2003).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from triton_models.embed.encoder import WIDTH as EMBED_WIDTH
from triton_models.guard.classifier import WIDTH as CLASSIFIER_WIDTH
from triton_models.guard.head import packed
from triton_models.onnx_session import FloatArray

_INNER, _QUERIES, _HIDDEN = 48, 4, 32
_DROPOUT, _CONTEXT_DROPOUT = 0.2, 0.3
_EPOCHS, _RATE, _DECAY, _WARM_UP = 10, 3e-3, 0.02, 40
_FIRST_WEIGHT = 0.3  # weight of the first score's loss; that of the whole score is 1
_ABSENT = -1e4  # attention score of a padded position: e^-10000 is 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows of similar length, padded. `windows`: their indices; the masks are true at tokens."""

    windows: npt.NDArray[np.int64]
    embed: Tensor
    embed_mask: Tensor
    classify: Tensor
    classify_mask: Tensor
    context: Tensor


@dataclass(frozen=True, slots=True)
class Basis:
    """Principal components of token states, whitened: (x - mean) @ project. Serialized as part of the first layer."""

    mean: FloatArray
    project: FloatArray

    @classmethod
    def of(cls, states: FloatArray, width: int) -> Basis:
        """Returns the `width` strongest components of states [tokens, any]."""
        mean = states.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov((states - mean).T))
        order = np.argsort(values)[::-1][:width]
        # Keeps the weakest components from being scaled up without bound.
        scale = np.sqrt(values[order] + 1e-3 * values[order[0]])
        return cls(mean.astype(np.float32), (vectors[:, order] / scale).astype(np.float32))

    def __call__(self, states: FloatArray) -> FloatArray:
        projected: FloatArray = (states - self.mean) @ self.project
        return projected


@dataclass(frozen=True, slots=True)
class Scale:
    """Standardization of context vectors: (x - mean) / deviation. Serialized as part of a layer."""

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, context: FloatArray) -> Scale:
        """Returns the scale of context [windows, width]. The last column, NanoGuard's clipped logit, is not centred."""
        mean, deviation = context.mean(axis=0), context.std(axis=0) + np.float32(1e-3)
        mean[-1], deviation[-1] = 0.0, 0.5
        return cls(mean, deviation)

    def __call__(self, context: FloatArray) -> FloatArray:
        scaled: FloatArray = (context - self.mean) / self.deviation
        return scaled


class _Pooling(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, _INNER)
        self.queries = nn.Linear(_INNER, _QUERIES)
        self.norm = nn.LayerNorm(_INNER * _QUERIES)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        inner = torch.relu(self.project(functional.dropout(states, _DROPOUT, self.training)))
        weights = self.queries(inner).masked_fill(~mask[..., None], _ABSENT).softmax(1)
        pooled: Tensor = self.norm(torch.einsum("blq,blh->bqh", weights, inner).flatten(1))
        return pooled


class _Joint(nn.Module):
    def __init__(self, tokens: int, context: int) -> None:
        super().__init__()
        self.tokens = nn.Linear(tokens, _HIDDEN)
        self.context = nn.Linear(context, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 1)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        dropped = functional.dropout(tokens, _DROPOUT, self.training)
        beside = functional.dropout(context, _CONTEXT_DROPOUT, self.training)
        inner = torch.relu(self.tokens(dropped) + self.context(beside))
        score: Tensor = self.out(functional.dropout(inner, _DROPOUT, self.training))[:, 0]
        return score


class Network(nn.Module):
    """One member of the head. Returns two scores: from MiniLM alone, and from both models."""

    def __init__(self, embed: int, classify: int) -> None:
        super().__init__()
        self.embed = _Pooling(embed)
        self.classify = _Pooling(classify)
        self.first = _Joint(_INNER * _QUERIES, EMBED_WIDTH)
        self.whole = _Joint(2 * _INNER * _QUERIES, EMBED_WIDTH + CLASSIFIER_WIDTH + 1)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        embedded = self.embed(batch.embed.float(), batch.embed_mask)
        classified = self.classify(batch.classify.float(), batch.classify_mask)
        first = self.first(embedded, batch.context[:, :EMBED_WIDTH])
        return first, self.whole(torch.cat([embedded, classified], 1), batch.context)


def fit(
    batches: Sequence[Batch],
    owner: npt.NDArray[np.int64],
    attack: npt.NDArray[np.bool_],
    share: FloatArray,
    seed: int,
) -> Network:
    """Fits a network to the windows. `owner`: text index of each window; by text: `attack`, and `share`, its weight.

    Texts with weight 0 are not trained on.
    """
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    network = Network(batches[0].embed.shape[2], batches[0].classify.shape[2])
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    labels = attack[owner].astype(np.float32)
    count = np.bincount(owner, minlength=len(share))[owner]
    scores = np.zeros(len(owner), dtype=np.float32)
    step, total = 0, _EPOCHS * len(batches)
    network.train()
    for epoch in range(_EPOCHS):
        weights = share[owner] / np.where(labels == 1, count if epoch == 0 else 1, np.sqrt(count))
        if epoch > 0:
            worst = np.full(len(share), -np.inf, dtype=np.float32)
            np.maximum.at(worst, owner, scores)
            weights[(labels == 1) & (scores < worst[owner])] = 0
        for index in draw.permutation(len(batches)):
            batch = batches[index]
            for group in optimiser.param_groups:
                group["lr"] = _RATE * min(1.0, (step + 1) / _WARM_UP) * max(0.02, 1 - step / total)
            first, whole = network(batch)
            target = torch.from_numpy(labels[batch.windows])
            weight = torch.from_numpy(weights[batch.windows].astype(np.float32))
            losses = [
                functional.binary_cross_entropy_with_logits(score, target, weight=weight, reduction="sum")
                for score in (whole, first)
            ]
            loss = (losses[0] + _FIRST_WEIGHT * losses[1]) / 64
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            scores[batch.windows] = whole.detach().numpy()
            step += 1
    network.eval()
    return network


@torch.no_grad()
def scores(network: Network, batches: Sequence[Batch], count: int) -> FloatArray:
    """Returns the first and the whole score of each window: [count, 2]."""
    found = np.empty((count, 2), dtype=np.float32)
    for batch in batches:
        first, whole = network(batch)
        found[batch.windows] = np.stack([first.numpy(), whole.numpy()], axis=1)
    return found


def serialized(network: Network, embed: Basis, classify: Basis, scale: Scale) -> Mapping[str, object]:
    """Returns the member in the form of head.json: bases and scale are folded into the layer behind them."""
    tensors: dict[str, FloatArray] = {}
    for name, pooling, basis in (("embed", network.embed, embed), ("classify", network.classify, classify)):
        weight = basis.project @ _numpy(pooling.project.weight).T
        tensors[f"{name}.project.weight"] = weight
        tensors[f"{name}.project.bias"] = _numpy(pooling.project.bias) - basis.mean @ weight
        tensors[f"{name}.queries.weight"] = _numpy(pooling.queries.weight).T
        tensors[f"{name}.queries.bias"] = _numpy(pooling.queries.bias)
        tensors[f"{name}.gain"] = _numpy(pooling.norm.weight)
        tensors[f"{name}.shift"] = _numpy(pooling.norm.bias)
    for name, joint, width in (
        ("first", network.first, EMBED_WIDTH),
        ("whole", network.whole, EMBED_WIDTH + CLASSIFIER_WIDTH + 1),
    ):
        weight = _numpy(joint.context.weight).T / scale.deviation[:width, None]
        tensors[f"{name}.tokens.weight"] = _numpy(joint.tokens.weight).T
        tensors[f"{name}.tokens.bias"] = _numpy(joint.tokens.bias)
        tensors[f"{name}.context.weight"] = weight
        tensors[f"{name}.context.bias"] = _numpy(joint.context.bias) - scale.mean[:width] @ weight
        tensors[f"{name}.out.weight"] = _numpy(joint.out.weight).T
        tensors[f"{name}.out.bias"] = _numpy(joint.out.bias)
    return {name: packed(tensor) for name, tensor in tensors.items()}


def _numpy(tensor: Tensor) -> FloatArray:
    values: FloatArray = tensor.detach().numpy()
    return values
