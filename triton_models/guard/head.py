"""The trained logistic head that joins what the two models say.

Written by training/guard_head.py, read by detector.py.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triton_models.embed.encoder import WIDTH, FloatArray

CLIP = 20.0  # beyond it NanoGuard's logit says no more, and one saturated number should not outvote the embedding


@dataclass(frozen=True, slots=True)
class Head:
    """probability = sigmoid(embedding @ weights + logit_weight * clip(logit) / CLIP + bias), trained so that 0.5 is the
    threshold.
    """

    weights: FloatArray
    logit_weight: float
    bias: float

    def probability(self, embedding: FloatArray, logit: float) -> float:
        """Of attack, for one window."""
        clipped = max(-CLIP, min(CLIP, logit)) / CLIP
        score = float(embedding @ self.weights) + self.logit_weight * clipped + self.bias
        # The two forms of the sigmoid that cannot overflow.
        if score >= 0:
            return 1 / (1 + math.exp(-score))
        return math.exp(score) / (1 + math.exp(score))


def load_head(path: Path) -> Head:
    """Reads head.json; ValueError when it is not a head for these models."""
    document = json.loads(path.read_text(encoding="utf-8"))
    weights = np.array(document["weights"], dtype=np.float32)
    if weights.shape != (WIDTH,):
        raise ValueError(f"{path.name} has {weights.size} weights, not {WIDTH}")
    return Head(weights, float(document["logit_weight"]), float(document["bias"]))
