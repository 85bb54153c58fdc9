"""Triton's model `embed`: TEXT -> EMBEDDING [width], L2-normalised. A text over the model's limit is cut there."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from triton_models.adaptor import Array, Parameters, answer_in_turn, answer_together, gpu, texts
from triton_models.embed.batching import BatchEncoder
from triton_models.embed.encoder import Encoder, Form


class TritonPythonModel:
    """The shape that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the encoder."""
        parameters = Parameters(args["model_config"])
        directory, threads = parameters.directory("model"), parameters.integer("threads", 1)
        usual = Form()
        form = Form(
            parameters.text("pooling", usual.pooling),
            parameters.integer("width", usual.width),
            parameters.integer("max_tokens", usual.max_tokens),
        )
        device = gpu(args)
        self._together = BatchEncoder(directory, threads, form, device) if device is not None else None
        self._encoder = self._together or Encoder(directory, threads, form)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, None where it is sent already; on a GPU, what comes together is read together."""
        if self._together is not None:
            return answer_together(requests, partial(texts, name="TEXT"), "EMBEDDING", self._together.encode_all)
        return answer_in_turn(requests, "TEXT", "EMBEDDING", self._embed)

    def _embed(self, request: Any) -> Array:
        return np.stack([self._encoder.encode(text) for text in texts(request, "TEXT")])
