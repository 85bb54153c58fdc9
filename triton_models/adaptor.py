"""Between Triton's Python backend and the models: text tensors in, tensors and errors out. Used by each model.py.

It runs only inside Triton's stub process, the one place where triton_python_backend_utils can be imported.
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

# How long an answer is held back, so that it leaves together with others; and bytes of texts that no CPU reads within
# that.
_HELD_S: Final = 0.1
_SHORT: Final = 1_000
# The output that every model has besides its own: the nanoseconds that it computed for the request, in each row.
COMPUTE: Final = "COMPUTE_NS"
# The request's parameter that says: behind all others.
BULK: Final = "bulk"


def gpu(args: dict[str, str]) -> int | None:
    """The GPU that Triton placed this instance on; None: the CPU."""
    return int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None


class Parameters:
    """The `parameters` of config.pbtxt."""

    def __init__(self, model_config: str) -> None:
        self._values = {key: value["string_value"] for key, value in json.loads(model_config)["parameters"].items()}

    def text(self, name: str, default: str) -> str:
        """A text, `default` where config.pbtxt has none."""
        return str(self._values.get(name, default))

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


def answer(
    request: Any, output: str, compute: Callable[[Any], Array], clock: Callable[[], int] = time.perf_counter_ns
) -> Any:
    """One InferenceResponse with the tensor `output`, or with the error that `compute` raised."""
    started = clock()
    try:
        return _response(output, compute(request), clock() - started)
    except Exception as fault:  # noqa: BLE001 - the edge: a request's fault is its answer, its neighbours live
        return failure(fault)


def answer_in_turn(
    requests: Sequence[Any],
    name: str,
    output: str,
    compute: Callable[[Any], Array],
    background: Background | None = None,
) -> list[Any]:
    """As `answer`, for each request. Their answers leave together, but none waits long, or for a long text of the input
    `name`: those come last, and what is computed by then is sent before. None stands for what is sent already, or will
    be by `background`, which computes what asks for it.
    """
    responses: list[Any] = [None] * len(requests)
    lengths = [_length(request, name) for request in requests]
    bulk = set() if background is None else {place for place, request in enumerate(requests) if _is_bulk(request)}
    for place in bulk:
        assert background is not None  # noqa: S101 - bulk is empty without it
        background.submit(partial(_send, requests[place], output, compute))
    ready: list[int] = []
    began = time.perf_counter()
    for place in sorted(set(range(len(requests))) - bulk, key=lengths.__getitem__):
        if lengths[place] > _SHORT or time.perf_counter() - began > _HELD_S:
            for each in ready:
                sender = requests[each].get_response_sender()
                sender.send(responses[each], flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                responses[each] = None
            ready.clear()
            began = time.perf_counter()
        responses[place] = answer(requests[place], output, compute)
        ready.append(place)
    return responses


def _is_bulk(request: Any) -> bool:
    parameters = request.parameters()
    return bool(parameters) and bool(json.loads(parameters).get(BULK))


def _send(request: Any, output: str, compute: Callable[[Any], Array]) -> None:
    """The answer, whenever it is computed. Its compute time is the processor's: others are served meanwhile."""
    response = answer(request, output, compute, time.thread_time_ns)
    request.get_response_sender().send(response, flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _length(request: Any, name: str) -> int:
    return sum(len(value) for value in pb.get_input_tensor_by_name(request, name).as_numpy().ravel())


def answer_together(
    requests: Sequence[Any],
    read: Callable[[Any], list[Item]],
    output: str,
    compute: Callable[[list[Item], Callable[[], bool]], Array],
) -> list[Any]:
    """One InferenceResponse a request; `compute` is called once, with what `read` found in all of them.

    Nothing is computed for a caller who gave up, and `compute` may ask whether all have. The compute time of each is
    that of the whole.
    """
    started = time.perf_counter_ns()
    try:
        parts = [None if request.is_cancelled() else read(request) for request in requests]
        items = [item for part in parts if part is not None for item in part]
        values = compute(items, lambda: all(request.is_cancelled() for request in requests))
    except Exception as fault:  # noqa: BLE001 - the edge, as above
        return [failure(fault) for _ in requests]
    responses = []
    taken = 0
    for part in parts:
        if part is None:
            responses.append(failure(Cancelled("the caller no longer waits")))
        else:
            responses.append(_response(output, values[taken : taken + len(part)], time.perf_counter_ns() - started))
            taken += len(part)
    return responses


def _response(output: str, values: Array, spent_ns: int) -> Any:
    spent = np.full((len(values), 1), spent_ns, dtype=np.int64)
    return pb.InferenceResponse([pb.Tensor(output, values), pb.Tensor(COMPUTE, spent)])


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
