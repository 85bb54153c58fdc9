"""guard: TEXT -> PROB, the probability of an attack. It recognizes only a few phrases."""

import re
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]

# Phrases, and the probability of an attack for each.
PHRASES = {
    re.compile(r"\b(ignore|disregard|forget)\b.{0,40}\b(instructions?|rules?|prompts?)\b", re.I | re.S): 0.95,
    re.compile(r"\b(reveal|print|repeat)\b.{0,40}\bsystem prompt\b", re.I | re.S): 0.9,
    re.compile(r"\byou are now\b.{0,80}\b(without|no)\b.{0,40}\b(restrictions?|filters?|rules?)\b", re.I | re.S): 0.9,
    re.compile(r"\bpretend\b.{0,40}\b(no rules|anything)\b", re.I | re.S): 0.7,
}


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        began = time.perf_counter_ns()
        texts = pb.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()
        judged = np.array([[probability(bytes(text).decode(errors="replace"))] for text in texts], dtype=np.float32)
        spent = np.full(judged.shape, time.perf_counter_ns() - began, dtype=np.int64)
        return pb.InferenceResponse([pb.Tensor("PROB", judged), pb.Tensor("COMPUTE_NS", spent)])


def probability(text: str) -> float:
    return max((sure for phrase, sure in PHRASES.items() if phrase.search(text)), default=0.01)
