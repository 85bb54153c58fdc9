"""Triton's model `guard`: TEXT -> PROB, the probability that the text is an attack.

Texts of any length are read whole.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from triton_models.adaptor import Array, Parameters, answer_in_turn, answer_together, gpu, texts
from triton_models.background import Background
from triton_models.guard.batching import BatchDetector
from triton_models.guard.detector import Detector
from triton_models.guard.sequence_guard import SequenceGuard

Guard = Detector | BatchDetector | SequenceGuard


class TritonPythonModel:
    """The shape that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the models; for the default guard also the head that lies beside this file."""
        parameters = Parameters(args["model_config"])
        threads, device = parameters.integer("threads", 1), gpu(args)
        self._background: Background | None = None
        if parameters.text("engine", "onnxruntime") == "transformers":
            directory, positive = parameters.directory("model"), parameters.text("positive_labels", "")
            most = parameters.integer("max_tokens", 512)
            self._guard: Guard = SequenceGuard.load(directory, positive, most, threads, device)
            return
        if lanes := parameters.integer("background", 0):
            self._background = Background(lanes)
        folders = (parameters.directory("encoder"), parameters.directory("classifier"))
        head = Path(__file__).with_name("head.json")
        if device is None:
            self._guard = Detector.load(*folders, head, threads)
        else:
            self._guard = BatchDetector.load(*folders, head, threads, device)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, None where it is sent already.

        A request whose caller gave up stops between two windows, or batches of them.
        """
        guard = self._guard
        if isinstance(guard, Detector):
            return answer_in_turn(requests, "TEXT", "PROB", partial(_judge, guard), self._background)
        return answer_together(requests, partial(texts, name="TEXT"), "PROB", partial(_judge_all, guard))


def _judge(guard: Detector, request: Any) -> Array:
    return _column([guard.probability(text, request.is_cancelled) for text in texts(request, "TEXT")])


def _judge_all(guard: BatchDetector | SequenceGuard, found: list[str], cancelled: Callable[[], bool]) -> Array:
    return _column(guard.probabilities(found, cancelled))


def _column(probabilities: list[float]) -> Array:
    return np.array(probabilities, dtype=np.float32).reshape(-1, 1)
