"""Triton's model `embed`: TEXT -> EMBEDDING [width], L2-normalised. A text over the model's limit is cut."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from triton_models.adaptor import Array, Parameters, answer_batched, answer_in_turn, gpu, texts
from triton_models.embed.batching import BatchEncoder
from triton_models.embed.encoder import Encoder, EncoderSettings


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the encoder."""
        parameters = Parameters(args["model_config"])
        directory, threads = parameters.directory("model"), parameters.integer("threads", 1)
        default = EncoderSettings()
        settings = EncoderSettings(
            parameters.text("pooling", default.pooling),
            parameters.integer("width", default.width),
            parameters.integer("max_tokens", default.max_tokens),
        )
        device = gpu(args)
        self._batch_encoder = BatchEncoder(directory, threads, settings, device) if device is not None else None
        self._encoder = self._batch_encoder or Encoder(directory, threads, settings)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Returns one response per request, None if it was sent already. A GPU reads all requests in batches."""
        if self._batch_encoder is not None:
            return answer_batched(requests, partial(texts, name="TEXT"), "EMBEDDING", self._batch_encoder.encode_all)
        return answer_in_turn(requests, "TEXT", "EMBEDDING", self._embed)

    def _embed(self, request: Any) -> Array:
        return np.stack([self._encoder.encode(text) for text in texts(request, "TEXT")])
