"""Triton's model `nli`: PREMISE, HYPOTHESIS -> ENTAILMENT, the probability that the first entails the second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from triton_models.adaptor import Array, Parameters, answer_batched, gpu, texts
from triton_models.sequence_classifier import Item, SequenceClassifier


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the classifier."""
        parameters = Parameters(args["model_config"])
        self._classifier = SequenceClassifier(
            parameters.directory("model"),
            parameters.text("positive_labels", "entailment"),
            parameters.integer("max_tokens", 512),
            parameters.integer("threads", 1),
            gpu(args),
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Returns one response per request. All requests are read in batches."""
        return answer_batched(requests, _pairs, "ENTAILMENT", self._entail)

    def _entail(self, pairs: list[Item], cancelled: Callable[[], bool]) -> Array:
        return np.array(self._classifier.probabilities(pairs, cancelled), dtype=np.float32).reshape(-1, 1)


def _pairs(request: Any) -> list[Item]:
    return list(zip(texts(request, "PREMISE"), texts(request, "HYPOTHESIS"), strict=True))
