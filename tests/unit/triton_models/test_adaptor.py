"""Between Triton's Python backend and the models, with a stand-in for the module that only Triton's stub has."""

import importlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from triton_models.guard.detector import Detector


@dataclass
class Tensor:
    name: str
    values: Any

    def as_numpy(self) -> Any:
        return self.values


@dataclass
class TritonError:
    text: str
    code: str

    INVALID_ARG = "invalid"
    INTERNAL = "internal"

    def message(self) -> str:
        return self.text


@dataclass
class InferenceResponse:
    tensors: list[Tensor] = field(default_factory=list)
    error_: TritonError | None = None

    def __init__(self, tensors: list[Tensor] | None = None, error: TritonError | None = None) -> None:
        self.tensors, self.error_ = tensors or [], error

    def has_error(self) -> bool:
        return self.error_ is not None

    def error(self) -> TritonError | None:
        return self.error_

    def output_tensors(self) -> list[Tensor]:
        return self.tensors


@dataclass
class Request:
    texts: list[str]
    cancelled: bool = False
    roles: list[str] | None = None
    sent: list[InferenceResponse] = field(default_factory=list)

    def is_cancelled(self) -> bool:
        return self.cancelled

    def get_response_sender(self) -> "Sender":
        return Sender(self)


@dataclass
class Sender:
    request: Request

    def send(self, response: InferenceResponse, flags: int) -> None:
        assert flags == 1
        self.request.sent.append(response)


class InferenceRequest:
    """A request from one model to another: records it, and answers as the test says."""

    made: ClassVar[list[dict[str, Any]]] = []
    answers: ClassVar[list[InferenceResponse]] = []

    def __init__(self, **given: Any) -> None:
        self.made.append(given)

    def exec(self, *, decoupled: bool) -> Iterator[InferenceResponse]:
        assert decoupled
        return iter(self.answers)


def input_tensor(request: Request, name: str) -> Tensor | None:
    texts = {"TEXT": request.texts, "ROLE": request.roles}[name]
    return None if texts is None else Tensor(name, np.array([text.encode() for text in texts], dtype=np.object_))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("triton_python_backend_utils")
    InferenceRequest.made, InferenceRequest.answers = [], []
    for each in (Tensor, TritonError, InferenceResponse, InferenceRequest):
        setattr(module, each.__name__, each)
    module.get_input_tensor_by_name = input_tensor  # type: ignore[attr-defined]
    module.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1  # type: ignore[attr-defined]
    module.is_model_ready = lambda name: name == "ready"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("triton_models.adaptor", "triton_models.function.vllm", "triton_models.guard.model"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return module


@pytest.fixture
def adaptor(backend: types.ModuleType) -> Any:
    return importlib.import_module("triton_models.adaptor")


def lengths(items: list[str], _: Callable[[], bool]) -> Any:
    return np.array([[float(len(item))] for item in items], dtype=np.float32)


def read(request: Request) -> list[str]:
    return request.texts


def test_response_has_the_compute_time_in_each_row(adaptor: Any) -> None:
    response = adaptor.answer(Request(["a", "b"]), "PROB", lambda _: np.zeros((2, 1), dtype=np.float32))
    output, spent = response.tensors
    assert (output.name, spent.name) == ("PROB", "COMPUTE_NS")
    assert spent.values.dtype == np.int64
    assert spent.values.shape == (2, 1)
    assert 0 < spent.values[0, 0] < 5e9


def in_turn(adaptor: Any, requests: list[Request]) -> tuple[list[str], list[Any]]:
    """The texts in the order in which they were computed, and what is answered at the end."""
    read: list[str] = []

    def compute(request: Request) -> Any:
        if request.texts == ["fails"]:
            raise RuntimeError("out of memory")
        read.extend(request.texts)
        return np.zeros((len(request.texts), 1), dtype=np.float32)

    return read, adaptor.answer_in_turn(requests, "TEXT", "PROB", compute)


def test_short_texts_are_answered_together(adaptor: Any) -> None:
    requests = [Request(["bb"]), Request(["a", "a"]), Request(["fails"]), Request(["c"])]
    read, responses = in_turn(adaptor, requests)
    assert sorted(read) == ["a", "a", "bb", "c"]
    assert [each.has_error() for each in responses] == [False, False, True, False]
    assert responses[1].tensors[0].values.shape == (2, 1)
    assert not any(request.sent for request in requests)


def test_no_response_waits_for_a_long_text(adaptor: Any) -> None:
    requests = [Request(["L" * 9_000]), Request(["a"]), Request(["M" * 5_000]), Request(["fails"])]
    read, responses = in_turn(adaptor, requests)
    assert [text[0] for text in read] == ["a", "M", "L"]
    assert [response is None for response in responses] == [False, True, True, True]
    assert [len(request.sent) for request in requests] == [0, 1, 1, 1]
    assert requests[3].sent[0].has_error()


def test_batched_requests_get_separate_responses(adaptor: Any) -> None:
    seen: list[list[str]] = []

    def compute(items: list[str], _: object) -> Any:
        seen.append(items)
        return lengths(items, lambda: False)

    requests = [Request(["a", "bb"]), Request(["left"], cancelled=True), Request(["cccc"])]
    first, left, last = adaptor.answer_batched(requests, read, "PROB", compute)
    assert seen == [["a", "bb", "cccc"]]
    assert first.tensors[0].values.tolist() == [[1.0], [2.0]]
    assert left.error_.code == "invalid"
    assert last.tensors[0].values.tolist() == [[4.0]]
    assert [each.tensors[1].values.shape for each in (first, last)] == [(2, 1), (1, 1)]


def test_failure_of_a_batch_fails_each_request(adaptor: Any) -> None:
    def compute(*_: object) -> Any:
        raise RuntimeError("out of memory")

    responses = adaptor.answer_batched([Request(["a"]), Request(["b"])], read, "PROB", compute)
    assert [each.error_.text for each in responses] == ["RuntimeError: out of memory"] * 2


def test_batch_stops_when_every_request_is_cancelled(adaptor: Any) -> None:
    requests = [Request(["a"]), Request(["b"])]

    def compute(items: list[str], cancelled: Callable[[], bool]) -> Any:
        requests[0].cancelled = True
        assert not cancelled()
        requests[1].cancelled = True
        assert cancelled()
        return lengths(items, cancelled)

    adaptor.answer_batched(requests, read, "PROB", compute)


@pytest.mark.parametrize(("roles", "read"), [(["tool", "system"], ["tool", "system"]), (None, ["user", "user"])])
def test_the_guard_reads_the_role_of_each_text(backend: types.ModuleType, roles: list[str] | None, read: str) -> None:
    model = importlib.import_module("triton_models.guard.model")
    seen: list[Any] = []

    class StandIn(Detector):
        def __init__(self) -> None:
            pass

        def probability(self, text: str, role: str = "", cancelled: Callable[[], bool] = lambda: False) -> float:
            seen.append((text, role, cancelled()))
            return 0.5

    guard = model.TritonPythonModel()
    guard._guard, guard._background = StandIn(), None
    (response,) = guard.execute([Request(["a", "b"], roles=roles)])
    assert response.tensors[0].values.tolist() == [[0.5], [0.5]]
    assert seen == [("a", read[0], False), ("b", read[1], False)]


@pytest.mark.parametrize(("kind", "expected"), [("CPU", None), ("GPU", 1)])
def test_reads_the_device_from_the_arguments(adaptor: Any, kind: str, expected: int | None) -> None:
    assert adaptor.gpu({"model_instance_kind": kind, "model_instance_device_id": "1"}) == expected


def text_output(*texts: str) -> InferenceResponse:
    return InferenceResponse([Tensor("text_output", np.array([text.encode() for text in texts], dtype=np.object_))])


def test_vllm_request_excludes_the_prompt_from_the_output(backend: types.ModuleType) -> None:
    vllm = importlib.import_module("triton_models.function.vllm")
    InferenceRequest.answers = [text_output("<tool_call>"), InferenceResponse()]
    assert vllm.Vllm("function_vllm", max_new_tokens=64).complete("a prompt", lambda: False).text == "<tool_call>"
    (inference_request,) = InferenceRequest.made
    assert inference_request["model_name"] == "function_vllm"
    assert inference_request["requested_output_names"] == ["text_output"]
    tensors = {tensor.name: tensor.values for tensor in inference_request["inputs"]}
    assert tensors["text_input"].tolist() == [b"a prompt"]
    assert json.loads(tensors["sampling_parameters"][0]) == {"temperature": 0, "max_tokens": 64, "stop": ["<|im_end|>"]}
    assert tensors["stream"].tolist() == [False]
    assert tensors["exclude_input_in_output"].tolist() == [True]


def test_error_of_vllm_is_raised(backend: types.ModuleType) -> None:
    vllm = importlib.import_module("triton_models.function.vllm")
    InferenceRequest.answers = [InferenceResponse(error=TritonError("too long", "internal"))]
    with pytest.raises(RuntimeError, match="function_vllm: too long"):
        vllm.Vllm("function_vllm", max_new_tokens=64).complete("a prompt", lambda: False)


def test_check_fails_if_the_vllm_model_is_not_ready(backend: types.ModuleType) -> None:
    vllm = importlib.import_module("triton_models.function.vllm")
    vllm.Vllm("ready", max_new_tokens=64).check()
    with pytest.raises(RuntimeError, match="gone is not ready"):
        vllm.Vllm("gone", max_new_tokens=64).check()
