"""A minimal custom NLI model: the share of the hypothesis' words that the premise has."""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [pb.InferenceResponse([pb.Tensor("ENTAILMENT", self._judge(request))]) for request in requests]

    def _judge(self, request: Any) -> Any:
        pairs = zip(_texts(request, "PREMISE"), _texts(request, "HYPOTHESIS"), strict=True)
        shares = [len(premise & hypothesis) / max(1, len(hypothesis)) for premise, hypothesis in pairs]
        return np.array(shares, dtype=np.float32).reshape(-1, 1)


def _texts(request: Any, name: str) -> list[set[str]]:
    tensor = pb.get_input_tensor_by_name(request, name).as_numpy().ravel()
    return [set(bytes(text).decode().lower().split()) for text in tensor]
