"""Triton's model `guard`: TEXT, ROLE -> PROB, the probability that the text is an attack.

ROLE is optional: the origin of the text in the request, `user` by default. Hugging Face's classifiers ignore it. Long
texts are read completely.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from triton_models.adaptor import Array, Parameters, answer_batched, answer_in_turn, gpu, optional_texts, texts
from triton_models.background import Background
from triton_models.guard.batching import BatchDetector
from triton_models.guard.detector import Detector
from triton_models.guard.sequence_guard import SequenceGuard

Guard = Detector | BatchDetector | SequenceGuard


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model."""
        parameters = Parameters(args["model_config"])
        threads, device = parameters.integer("threads", 1), gpu(args)
        self._background: Background | None = None
        directory = parameters.directory("model")
        if parameters.text("engine", "onnxruntime") == "transformers":
            positive, max_tokens = parameters.text("positive_labels", ""), parameters.integer("max_tokens", 512)
            self._guard: Guard = SequenceGuard.load(directory, positive, max_tokens, threads, device)
            return
        if background_threads := parameters.integer("background", 0):
            self._background = Background(background_threads)
        if device is None:
            self._guard = Detector.load(directory, threads)
        else:
            self._guard = BatchDetector.load(directory, threads, device)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Returns one response per request, None if it was sent already.

        A cancelled request stops between two windows, or between two batches of windows.
        """
        guard = self._guard
        if isinstance(guard, Detector):
            return answer_in_turn(requests, "TEXT", "PROB", partial(_probabilities, guard), self._background)
        return answer_batched(requests, _texts_with_roles, "PROB", partial(_batch_probabilities, guard))


def _texts_with_roles(request: Any) -> list[tuple[str, str]]:
    found = texts(request, "TEXT")
    return list(zip(found, optional_texts(request, "ROLE", "user", len(found)), strict=True))


def _probabilities(guard: Detector, request: Any) -> Array:
    return _column([guard.probability(text, role, request.is_cancelled) for text, role in _texts_with_roles(request)])


def _batch_probabilities(
    guard: BatchDetector | SequenceGuard, prompts: list[tuple[str, str]], cancelled: Callable[[], bool]
) -> Array:
    found, roles = [text for text, _ in prompts], [role for _, role in prompts]
    if isinstance(guard, SequenceGuard):
        return _column(guard.probabilities(found, cancelled))
    return _column(guard.probabilities(found, roles, cancelled))


def _column(probabilities: list[float]) -> Array:
    return np.array(probabilities, dtype=np.float32).reshape(-1, 1)
