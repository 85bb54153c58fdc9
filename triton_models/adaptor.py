"""Between Triton's Python backend and the models: text tensors in, tensors and errors out. Used by each model.py.

It runs only inside Triton's stub process, the one place where triton_python_backend_utils can be imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb  # type: ignore[import-not-found]

from triton_models.errors import RequestError

Array = npt.NDArray[np.float32] | npt.NDArray[np.object_]


class Parameters:
    """The `parameters` of config.pbtxt."""

    def __init__(self, model_config: str) -> None:
        self._values = {key: value["string_value"] for key, value in json.loads(model_config)["parameters"].items()}

    def directory(self, name: str) -> Path:
        """A folder of the model cache."""
        return Path(self._values[name])

    def integer(self, name: str, default: int) -> int:
        """A number, `default` where config.pbtxt has none."""
        return int(self._values.get(name, default))


def texts(request: Any, name: str) -> list[str]:
    """Every text of the BYTES tensor `name`.

    Bytes that are no UTF-8 become U+FFFD: a prompt is judged, never refused.
    """
    tensor = pb.get_input_tensor_by_name(request, name)
    return [bytes(value).decode("utf-8", errors="replace") for value in tensor.as_numpy().ravel()]


def answer(request: Any, output: str, compute: Callable[[Any], Array]) -> Any:
    """One InferenceResponse with the tensor `output`, or with the error that `compute` raised."""
    try:
        return pb.InferenceResponse([pb.Tensor(output, compute(request))])
    except Exception as fault:  # noqa: BLE001 - the edge: a request's fault is its answer, its neighbours live
        return failure(fault)


def failure(fault: Exception) -> Any:
    """An InferenceResponse that carries `fault`."""
    if isinstance(fault, RequestError):
        error = pb.TritonError(str(fault), pb.TritonError.INVALID_ARG)
    else:
        error = pb.TritonError(f"{type(fault).__name__}: {fault}", pb.TritonError.INTERNAL)
    return pb.InferenceResponse(error=error)


def bytes_tensor(values: list[str], shape: tuple[int, ...]) -> npt.NDArray[np.object_]:
    """A BYTES tensor."""
    array = np.empty(len(values), dtype=np.object_)
    array[:] = [value.encode() for value in values]
    return array.reshape(shape)
