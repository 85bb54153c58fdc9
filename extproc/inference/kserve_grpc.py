"""KServe v2 over gRPC. The only module that knows Triton's client library.

It uses the library's message classes without its numpy wrappers: one call of those costs more than the round trip of a
small model.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.md
"""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterable, Awaitable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from extproc.inference.call_failures import CallFailed, Reason
from extproc.inference.kserve import (
    BULK,
    DEAD_STUB,
    FULL_QUEUE,
    MOST_BYTES,
    UNKNOWN_MODEL,
    Answer,
    Description,
    Question,
    Statistics,
    Tensor,
    bytes_tensor,
    keyless,
    unready,
)
from extproc.inference.model_signature import COMPUTE_NS
from extproc.shared.filter_config import Server

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MOST_BYTES),
    # A restarted Triton is found again within a second, not after gRPC's two-minute back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A Triton in a container comes back at another address, and gRPC would ask for it every half minute at most. An
    # attempt at the old one goes unanswered.
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 2000),
    # Nothing says that a network is gone. A round trip is measured every second, so that a ping is sent only where
    # those stay unanswered: a server would take more of them amiss.
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 2000),
)

_UNIX: Final = "unix:"
_UNLOAD_S: Final = 10
_LOAD_S: Final = 60

# What a server says that has no such method, or keeps it from us.
_UNSERVED: Final = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED})

_REASONS: Final = {
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.TIMEOUT,
    grpc.StatusCode.UNAVAILABLE: Reason.UNREACHABLE,
    grpc.StatusCode.NOT_FOUND: Reason.UNLOADED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Reason.OVERLOADED,
}

T = TypeVar("T")


class GrpcTransport:
    """`Transport` over one channel."""

    def __init__(self, server: Server) -> None:
        self._address = server.address
        self._channel = grpc.aio.insecure_channel(_uri(server.address), options=_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._metadata = (("x-arch-upstream", server.upstream),) if server.upstream else None

    async def close(self) -> None:
        await self._channel.close()

    async def infer(self, question: Question, timeout_s: float) -> Answer:
        request = _request(question)
        response = await _answered(self._stub.ModelInfer(request, timeout=timeout_s, metadata=self._metadata))
        raws = response.raw_output_contents
        names = [output.name for output in response.outputs]
        if len(raws) != len(names) or question.output not in names:
            raise CallFailed(Reason.MALFORMED, f"expected the tensor {question.output} in binary form, found {names}")
        raw: bytes = raws[names.index(question.output)]
        return Answer(raw, _compute_ms(raws[names.index(COMPUTE_NS)]) if COMPUTE_NS in names else None)

    async def reach_decoupled(self, model: str, timeout_s: float) -> None:
        request = service_pb2.ModelInferRequest(
            model_name=model,
            inputs=[service_pb2.ModelInferRequest.InferInputTensor(name="REQUEST", datatype="BYTES", shape=[1])],
            outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name="RESPONSE")],
            raw_input_contents=[bytes_tensor([b"{}"])],
        )
        answers = self._stub.ModelStreamInfer(iter([request]), timeout=timeout_s, metadata=self._metadata)
        message = await _answered(_first_error(answers))
        if DEAD_STUB in message:
            raise CallFailed(Reason.DEAD, message)
        if UNKNOWN_MODEL in message:
            raise CallFailed(Reason.UNLOADED, message)

    async def live(self, timeout_s: float) -> None:
        request = service_pb2.ServerLiveRequest()
        await _answered(self._stub.ServerLive(request, timeout=timeout_s, metadata=self._metadata))

    async def describe(self, model: str, timeout_s: float) -> Description:
        await self._expect_ready(model, timeout_s)
        found = await _answered(
            self._stub.ModelMetadata(
                service_pb2.ModelMetadataRequest(name=model), timeout=timeout_s, metadata=self._metadata
            )
        )
        most = await self._max_batch_size(model, timeout_s)
        return Description(_tensors(found.inputs), _tensors(found.outputs), most)

    async def _expect_ready(self, model: str, timeout_s: float) -> None:
        found = await _answered(
            self._stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=timeout_s, metadata=self._metadata)
        )
        if not found.ready:
            server = await _answered(
                self._stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=timeout_s, metadata=self._metadata)
            )
            raise unready(model) if server.ready else CallFailed(Reason.UNREACHABLE, "the server is not ready")

    async def _max_batch_size(self, model: str, timeout_s: float) -> int:
        """Triton's own extension: another server does not serve it."""
        request = service_pb2.ModelConfigRequest(name=model)
        found = await _served(self._stub.ModelConfig(request, timeout=timeout_s, metadata=self._metadata))
        return 0 if found is None else int(found.config.max_batch_size)

    async def statistics(self, model: str, timeout_s: float) -> Statistics | None:
        request = service_pb2.ModelStatisticsRequest(name=model)
        found = await _served(self._stub.ModelStatistics(request, timeout=timeout_s, metadata=self._metadata))
        return None if found is None else Statistics.of(map(_spent, found.model_stats))

    async def unload(self, model: str) -> None:
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        await _answered(self._stub.RepositoryModelUnload(request, timeout=_UNLOAD_S, metadata=self._metadata))

    async def load(self, model: str) -> None:
        # Without parameters: Triton would take another configuration and other files than the repository's.
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        await _answered(self._stub.RepositoryModelLoad(request, timeout=_LOAD_S, metadata=self._metadata))


def _uri(address: str) -> str:
    """gRPC reads the path of a unix socket as a URI, in which `%`, `#` and `?` have a meaning."""
    path = address.removeprefix(_UNIX)
    return address if path == address else f"{_UNIX}{quote(os.fsencode(path))}"


async def _answered(call: Awaitable[T]) -> T:
    """Raises `CallFailed`."""
    try:
        return _message(await call)
    except grpc.aio.AioRpcError as error:
        raise _failure(error) from error


async def _served(call: Awaitable[T]) -> T | None:
    """None where the server does not serve such a method to us. Raises `CallFailed`."""
    try:
        return _message(await call)
    except grpc.aio.AioRpcError as error:
        if error.code() in _UNSERVED:
            return None
        raise _failure(error) from error


def _message(answer: T | None) -> T:
    """gRPC's library gives None for bytes that are no such message. Raises `CallFailed`."""
    if answer is None:
        raise CallFailed(Reason.MALFORMED, "an answer that is no message of KServe's")
    return answer


def _failure(error: grpc.aio.AioRpcError) -> CallFailed:
    code, details = error.code(), error.details() or error.code().name
    if DEAD_STUB in details:
        return CallFailed(Reason.DEAD, details)
    if FULL_QUEUE in details:
        return CallFailed(Reason.OVERLOADED, details)
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        return keyless()
    of_question = code is grpc.StatusCode.INVALID_ARGUMENT
    return CallFailed(_REASONS.get(code, Reason.REFUSED), details, of_question=of_question)


async def _first_error(answers: AsyncIterable[Any]) -> str:
    """What the first answer of a stream complains of; nothing where it does not."""
    async for answer in answers:
        message: str = _message(answer).error_message
        return message
    raise CallFailed(Reason.MALFORMED, "no answer at all")


def _request(question: Question) -> service_pb2.ModelInferRequest:
    outputs = (question.output, COMPUTE_NS) if question.timed else (question.output,)
    return service_pb2.ModelInferRequest(
        model_name=question.model,
        inputs=[
            service_pb2.ModelInferRequest.InferInputTensor(name=name, datatype="BYTES", shape=[len(column), 1])
            for name, column in question.columns.items()
        ],
        outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=[bytes_tensor(column) for column in question.columns.values()],
        parameters={BULK: service_pb2.InferParameter(bool_param=True)} if question.bulk else None,
    )


def _compute_ms(raw: bytes) -> float | None:
    """The longest of the INT64s, in milliseconds: texts of one call are computed together."""
    count = len(raw) // 8
    return max(0, *struct.unpack_from(f"<{count}q", raw)) / 1e6 if count else None


def _tensors(found: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(Tensor(each.name, each.datatype, tuple(each.shape)) for each in found)


def _spent(version: Any) -> tuple[int, int, int]:
    """Requests that were answered, and the nanoseconds that they waited and were computed."""
    found = version.inference_stats
    compute = found.compute_input.ns + found.compute_infer.ns + found.compute_output.ns
    return found.success.count, found.queue.ns, compute
