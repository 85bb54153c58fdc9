"""The adaptor between Triton's Python backend and the models: reads text tensors, builds responses and errors.

Used by each model.py. It runs only inside Triton's stub process, where triton_python_backend_utils can be imported.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb  # type: ignore[import-not-found]

from triton_models.background import Background
from triton_models.errors import Cancelled, RequestError

Array = npt.NDArray[np.float32] | npt.NDArray[np.object_]
Item = TypeVar("Item")

# Longest time that a finished response waits for others, to be sent with them. On any CPU, a text of more than
# _SHORT_BYTES takes longer than that.
_MAX_DELAY_S: Final = 0.1
_SHORT_BYTES: Final = 1_000
# The filter has both names in its role table. A test checks that they agree.
# Extra output of every model. Each row has the nanoseconds that the model computed for the request.
COMPUTE_NS: Final = "COMPUTE_NS"
# The request parameter that asks for low priority.
BULK: Final = "bulk"


def gpu(args: dict[str, str]) -> int | None:
    """Returns the device id of this instance's GPU; None on the CPU."""
    return int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None


class Parameters:
    """The `parameters` of config.pbtxt. Each method returns `default` if the parameter is missing."""

    def __init__(self, model_config: str) -> None:
        self._values = {key: value["string_value"] for key, value in json.loads(model_config)["parameters"].items()}

    def text(self, name: str, default: str) -> str:
        """Returns a text."""
        return str(self._values.get(name, default))

    def directory(self, name: str) -> Path:
        """Returns a folder of the model cache."""
        return Path(self._values[name])

    def integer(self, name: str, default: int) -> int:
        """Returns a number."""
        return int(self._values.get(name, default))


def texts(request: Any, name: str) -> list[str]:
    """Returns every text of the BYTES tensor `name`. Bytes that are not UTF-8 become U+FFFD and are not refused."""
    tensor = pb.get_input_tensor_by_name(request, name)
    return [bytes(value).decode("utf-8", errors="replace") for value in tensor.as_numpy().ravel()]


def optional_texts(request: Any, name: str, default: str, count: int) -> list[str]:
    """Returns every text of the optional BYTES tensor `name`, or `count` times `default` if the request lacks it."""
    return [default] * count if pb.get_input_tensor_by_name(request, name) is None else texts(request, name)


def answer(
    request: Any, output: str, compute: Callable[[Any], Array], clock: Callable[[], int] = time.perf_counter_ns
) -> Any:
    """Returns one InferenceResponse with the tensor `output`, or with the error that `compute` raised."""
    started = clock()
    try:
        return _response(output, compute(request), clock() - started)
    except Exception as error:  # noqa: BLE001 - the error is this request's response; others go on
        return error_response(error)


def answer_in_turn(
    requests: Sequence[Any],
    name: str,
    output: str,
    compute: Callable[[Any], Array],
    background: Background | None = None,
) -> list[Any]:
    """Returns a response for each request, computed one after the other, the shortest text of the input `name` first.

    Responses are sent together, but none waits long, and none waits for a long text. A response is None if it was sent
    already, or if `background` will send it: bulk requests are computed there.
    """
    responses: list[Any] = [None] * len(requests)
    lengths = [_length(request, name) for request in requests]
    bulk = set() if background is None else {index for index, request in enumerate(requests) if _is_bulk(request)}
    for index in bulk:
        assert background is not None  # noqa: S101 - bulk is empty without it
        background.submit(partial(_send, requests[index], output, compute))
    ready: list[int] = []
    began = time.perf_counter()
    for index in sorted(set(range(len(requests))) - bulk, key=lengths.__getitem__):
        if lengths[index] > _SHORT_BYTES or time.perf_counter() - began > _MAX_DELAY_S:
            for earlier in ready:
                sender = requests[earlier].get_response_sender()
                sender.send(responses[earlier], flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                responses[earlier] = None
            ready.clear()
            began = time.perf_counter()
        responses[index] = answer(requests[index], output, compute)
        ready.append(index)
    return responses


def _is_bulk(request: Any) -> bool:
    parameters = request.parameters()
    return bool(parameters) and bool(json.loads(parameters).get(BULK))


def _send(request: Any, output: str, compute: Callable[[Any], Array]) -> None:
    """Computes and sends a response. Its compute time is processor time, since other requests run meanwhile."""
    response = answer(request, output, compute, time.thread_time_ns)
    request.get_response_sender().send(response, flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _length(request: Any, name: str) -> int:
    return sum(len(value) for value in pb.get_input_tensor_by_name(request, name).as_numpy().ravel())


def answer_batched(
    requests: Sequence[Any],
    read: Callable[[Any], list[Item]],
    output: str,
    compute: Callable[[list[Item], Callable[[], bool]], Array],
) -> list[Any]:
    """Returns one InferenceResponse per request. `compute` is called once, with the items of all requests.

    Cancelled requests are left out, and `compute` may ask whether all are cancelled by now. Each response has the
    compute time of the whole batch.
    """
    started = time.perf_counter_ns()
    try:
        columns = [None if request.is_cancelled() else read(request) for request in requests]
        items = [item for column in columns if column is not None for item in column]
        values = compute(items, lambda: all(request.is_cancelled() for request in requests))
    except Exception as error:  # noqa: BLE001 - the error is the response of each request
        return [error_response(error) for _ in requests]
    responses = []
    start = 0
    for column in columns:
        if column is None:
            responses.append(error_response(Cancelled("the caller no longer waits")))
        else:
            responses.append(_response(output, values[start : start + len(column)], time.perf_counter_ns() - started))
            start += len(column)
    return responses


def _response(output: str, values: Array, compute_ns: int) -> Any:
    times = np.full((len(values), 1), compute_ns, dtype=np.int64)
    return pb.InferenceResponse([pb.Tensor(output, values), pb.Tensor(COMPUTE_NS, times)])


def error_response(error: Exception) -> Any:
    """Returns an InferenceResponse with `error`."""
    if isinstance(error, RequestError):
        triton_error = pb.TritonError(str(error), pb.TritonError.INVALID_ARG)
    else:
        triton_error = pb.TritonError(f"{type(error).__name__}: {error}", pb.TritonError.INTERNAL)
    return pb.InferenceResponse(error=triton_error)


def bytes_tensor(values: list[str], shape: tuple[int, ...]) -> npt.NDArray[np.object_]:
    """Returns a BYTES tensor."""
    array = np.empty(len(values), dtype=np.object_)
    array[:] = [value.encode() for value in values]
    return array.reshape(shape)
