"""nli: PREMISE, HYPOTHESIS -> ENTAILMENT, the share of the hypothesis' longer words that are in the premise."""

import re
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        began = time.perf_counter_ns()
        pairs = zip(words(request, "PREMISE"), words(request, "HYPOTHESIS"), strict=True)
        shares = [[len(premise & hypothesis) / max(1, len(hypothesis))] for premise, hypothesis in pairs]
        spent = np.full((len(shares), 1), time.perf_counter_ns() - began, dtype=np.int64)
        return pb.InferenceResponse(
            [pb.Tensor("ENTAILMENT", np.array(shares, dtype=np.float32)), pb.Tensor("COMPUTE_NS", spent)]
        )


def words(request: Any, name: str) -> list[set[str]]:
    texts = pb.get_input_tensor_by_name(request, name).as_numpy().ravel()
    return [set(re.findall(r"\w{4,}", bytes(text).decode(errors="replace").lower())) for text in texts]
