"""The trained head that combines the token states of both models. Written by training/guard_head.py, read by
detector.py.

A few learned queries pool each model's token states (attention pooling, Lin et al. 2017), so that one sentence of
attack is not lost among the words around it. A first, smaller part reads MiniLM alone. If it clears a window,
NanoGuard, which costs more, does not read it.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triton_models.embed.encoder import WIDTH as EMBED_WIDTH
from triton_models.guard.classifier import WIDTH as CLASSIFIER_WIDTH
from triton_models.guard.classifier import Judgement
from triton_models.onnx_session import FloatArray

CLIP = 20.0  # a larger logit of NanoGuard has no more information, and must not outvote the rest
_EPSILON = 1e-5  # of the layer normalisation: torch's default


@dataclass(frozen=True, slots=True)
class Linear:
    """x @ weight + bias; weight [in, out]."""

    weight: FloatArray
    bias: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        y: FloatArray = x @ self.weight + self.bias
        return y


@dataclass(frozen=True, slots=True)
class Pooling:
    """Pools token states [tokens, width] to one vector [queries * inner]: a weighted mean of tokens for each query."""

    project: Linear
    queries: Linear
    gain: FloatArray
    shift: FloatArray

    def __call__(self, hidden: FloatArray) -> FloatArray:
        inner = np.maximum(self.project(hidden), 0)
        scores = self.queries(inner)
        weights = np.exp(scores - scores.max(axis=0))
        pooled = ((weights / weights.sum(axis=0)).T @ inner).ravel()
        centred = pooled - pooled.mean()
        normal: FloatArray = centred / np.sqrt(centred @ centred / len(centred) + _EPSILON) * self.gain + self.shift
        return normal


@dataclass(frozen=True, slots=True)
class Joint:
    """Gives a score from pooled tokens and the models' own vectors: one layer, and a sum."""

    tokens: Linear
    context: Linear
    out: Linear

    def __call__(self, pooled: FloatArray, context: FloatArray) -> float:
        return float(self.out(np.maximum(self.tokens(pooled) + self.context(context), 0))[0])


@dataclass(frozen=True, slots=True)
class Member:
    """One trained network: the first part, which reads MiniLM alone, and the whole."""

    embed: Pooling
    classify: Pooling
    first: Joint
    whole: Joint


@dataclass(frozen=True, slots=True)
class Head:
    """Scores are means over the members. A window with a first score under `skip` counts as harmless.

    probability = sigmoid(score - threshold), trained so that 0.5 is the threshold.
    """

    members: tuple[Member, ...]
    skip: float
    threshold: float

    def first(self, embedding: FloatArray, hidden: FloatArray) -> tuple[float, tuple[FloatArray, ...]]:
        """Returns the score by MiniLM alone (shapes [384], [tokens, 384]), and the pooled tokens for `score`."""
        pooled = tuple(member.embed(hidden) for member in self.members)
        scores = [member.first(each, embedding) for member, each in zip(self.members, pooled, strict=True)]
        return math.fsum(scores) / len(scores), pooled

    def score(self, embedding: FloatArray, pooled: tuple[FloatArray, ...], judgement: Judgement) -> float:
        """Returns the score by both models."""
        logit = max(-CLIP, min(CLIP, judgement.logit)) / CLIP
        context = np.concatenate([embedding, judgement.pooled, np.array([logit], dtype=np.float32)])
        scores = [
            member.whole(np.concatenate([each, member.classify(judgement.hidden)]), context)
            for member, each in zip(self.members, pooled, strict=True)
        ]
        return math.fsum(scores) / len(scores)

    def probability(self, score: float) -> float:
        """Returns the probability of attack."""
        margin = score - self.threshold
        # Each form of the sigmoid cannot overflow on its side of 0.
        if margin >= 0:
            return 1 / (1 + math.exp(-margin))
        return math.exp(margin) / (1 + math.exp(margin))


def load_head(path: Path) -> Head:
    """Reads head.json. Raises ValueError if it is not a head for these models."""
    document = json.loads(path.read_text(encoding="utf-8"))
    members = tuple(_member(tensors) for tensors in document["members"])
    for member in members:
        widths = (member.embed.project.weight.shape[0], member.classify.project.weight.shape[0])
        if widths != (EMBED_WIDTH, CLASSIFIER_WIDTH):
            raise ValueError(f"{path.name} is for token states of width {widths}")
    if not members:
        raise ValueError(f"{path.name} has no members")
    return Head(members, float(document["skip"]), float(document["threshold"]))


def _member(tensors: Mapping[str, Mapping[str, Any]]) -> Member:
    found = {name: unpacked(tensor) for name, tensor in tensors.items()}

    def linear(name: str) -> Linear:
        return Linear(found[f"{name}.weight"], found[f"{name}.bias"])

    def pooling(name: str) -> Pooling:
        return Pooling(
            linear(f"{name}.project"), linear(f"{name}.queries"), found[f"{name}.gain"], found[f"{name}.shift"]
        )

    def joint(name: str) -> Joint:
        return Joint(linear(f"{name}.tokens"), linear(f"{name}.context"), linear(f"{name}.out"))

    return Member(pooling("embed"), pooling("classify"), joint("first"), joint("whole"))


def packed(values: FloatArray) -> dict[str, object]:
    """Returns a tensor as JSON: shape, and little-endian values in base64, FP16 for matrices and FP32 for vectors."""
    kind = "<f2" if values.ndim > 1 else "<f4"
    return {
        "shape": list(values.shape),
        "kind": kind,
        "values": base64.b64encode(values.astype(kind).tobytes()).decode(),
    }


def unpacked(tensor: Mapping[str, Any]) -> FloatArray:
    """Returns a tensor that `packed` wrote, as FP32."""
    values = np.frombuffer(base64.b64decode(tensor["values"]), dtype=tensor["kind"])
    return values.astype(np.float32).reshape(tensor["shape"])
