"""Triton's model `guard`: TEXT -> PROB, the probability that the text is an attack.

Texts of any length are read whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from triton_models.adaptor import Array, Parameters, answer, texts
from triton_models.guard.detector import Detector


class TritonPythonModel:
    """The shape that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads both models and the head that lies beside this file."""
        parameters = Parameters(args["model_config"])
        self._detector = Detector.load(
            parameters.directory("minilm"),
            parameters.directory("nanoguard"),
            Path(__file__).with_name("head.json"),
            parameters.integer("threads", 1),
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request. A request whose caller gave up stops between two windows."""
        return [answer(request, "PROB", self._judge) for request in requests]

    def _judge(self, request: Any) -> Array:
        judged = [self._detector.probability(text, request.is_cancelled) for text in texts(request, "TEXT")]
        return np.array(judged, dtype=np.float32).reshape(-1, 1)
