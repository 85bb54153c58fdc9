"""Completes prompts of Arch-Function with another model of this Triton, on its vLLM backend. Used by model.py.

Runs only inside Triton's stub process, as adaptor.py does.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]

from triton_models.adaptor import bytes_tensor
from triton_models.function.arch import END, Completion


class Vllm:
    """Completes prompts with the model `name`, which serves the requests of all instances concurrently."""

    def __init__(self, name: str, *, max_new_tokens: int) -> None:
        self._name = name
        self._sampling = json.dumps({"temperature": 0, "max_tokens": max_new_tokens, "stop": [END]})

    def complete(self, prompt: str, cancelled: Callable[[], bool]) -> Completion:
        """Returns the most likely completion, without log-probabilities: Triton's 24.10 backend gives none."""
        inputs = [
            pb.Tensor("text_input", bytes_tensor([prompt], (1,))),
            pb.Tensor("stream", np.array([False])),
            pb.Tensor("sampling_parameters", bytes_tensor([self._sampling], (1,))),
            pb.Tensor("exclude_input_in_output", np.array([True])),
        ]
        request = pb.InferenceRequest(model_name=self._name, requested_output_names=["text_output"], inputs=inputs)
        texts = []
        for response in request.exec(decoupled=True):
            if response.has_error():
                raise RuntimeError(f"{self._name}: {response.error().message()}")
            # The last response holds no tensor: it only marks the end.
            for tensor in response.output_tensors():
                texts += [bytes(value).decode("utf-8", errors="replace") for value in tensor.as_numpy().ravel()]
        return Completion("".join(texts))

    def check(self) -> None:
        """Raises RuntimeError if the vLLM model is not ready."""
        if not pb.is_model_ready(self._name):
            raise RuntimeError(f"{self._name} is not ready")
