"""Triton's model `embed`: TEXT -> EMBEDDING [384], L2-normalised. A text over 256 tokens is cut there."""

from __future__ import annotations

from typing import Any

import numpy as np

from triton_models.adaptor import Array, Parameters, answer, texts
from triton_models.embed.encoder import Encoder


class TritonPythonModel:
    """The shape that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the encoder."""
        parameters = Parameters(args["model_config"])
        self._encoder = Encoder(parameters.directory("minilm"), parameters.integer("threads", 1))

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request."""
        return [answer(request, "EMBEDDING", self._embed) for request in requests]

    def _embed(self, request: Any) -> Array:
        return np.stack([self._encoder.encode(text) for text in texts(request, "TEXT")])
