"""KServe v2 over gRPC. The only module that knows Triton's client library.

It uses the library's message classes without its numpy wrappers: a call through those costs more than the round trip of
a small model.
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

from extproc.inference.call_failures import CallFailed, FailureReason
from extproc.inference.kserve import (
    DEAD_PROCESS,
    FULL_QUEUE,
    MAX_RESPONSE_BYTES,
    UNKNOWN_MODEL,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelStatistics,
    TensorMetadata,
    bytes_tensor,
    not_loaded,
    unauthenticated,
)
from extproc.shared.filter_config import Server
from extproc.shared.roles import BULK, COMPUTE_NS

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    # Reconnects to a restarted Triton within a second, not after gRPC's two-minute back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A Triton in a container comes back at another address. By default gRPC resolves the name every half minute at
    # most, and connects to the old address in vain.
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 2000),
    # Only a ping detects a lost network. A server may reject frequent pings. connections.py makes a round trip every
    # second, so that gRPC pings only if that gets no answer.
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 2000),
)

_UNIX: Final = "unix:"
_UNLOAD_TIMEOUT_S: Final = 10
_LOAD_TIMEOUT_S: Final = 60

# The server does not have the method, or does not permit it.
_UNSUPPORTED: Final = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED})

_REASONS: Final = {
    grpc.StatusCode.DEADLINE_EXCEEDED: FailureReason.TIMEOUT,
    grpc.StatusCode.UNAVAILABLE: FailureReason.UNREACHABLE,
    grpc.StatusCode.NOT_FOUND: FailureReason.UNLOADED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: FailureReason.OVERLOADED,
}

T = TypeVar("T")


class KServeGrpcClient:
    """Implements `KServeClient` over one channel."""

    def __init__(self, server: Server) -> None:
        self._address = server.address
        self._channel = grpc.aio.insecure_channel(_uri(server.address), options=_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._metadata = (("x-arch-upstream", server.upstream),) if server.upstream else None

    async def close(self) -> None:
        await self._channel.close()

    async def infer(self, request: InferRequest, timeout_s: float) -> InferResponse:
        response = await _response(
            self._stub.ModelInfer(_model_infer(request), timeout=timeout_s, metadata=self._metadata)
        )
        raws = response.raw_output_contents
        names = [output.name for output in response.outputs]
        if len(raws) != len(names) or request.output not in names:
            detail = f"expected the tensor {request.output} in binary form, found {names}"
            raise CallFailed(FailureReason.MALFORMED, detail)
        raw: bytes = raws[names.index(request.output)]
        return InferResponse(raw, _compute_ms(raws[names.index(COMPUTE_NS)]) if COMPUTE_NS in names else None)

    async def probe_decoupled(self, model: str, request: str, timeout_s: float) -> None:
        message = service_pb2.ModelInferRequest(
            model_name=model,
            inputs=[service_pb2.ModelInferRequest.InferInputTensor(name="REQUEST", datatype="BYTES", shape=[1])],
            outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name="RESPONSE")],
            raw_input_contents=[bytes_tensor([request.encode()])],
        )
        responses = self._stub.ModelStreamInfer(iter([message]), timeout=timeout_s, metadata=self._metadata)
        error = await _response(_first_error(responses))
        if DEAD_PROCESS in error:
            raise CallFailed(FailureReason.DEAD, error)
        if UNKNOWN_MODEL in error:
            raise CallFailed(FailureReason.UNLOADED, error)

    async def server_live(self, timeout_s: float) -> None:
        request = service_pb2.ServerLiveRequest()
        await _response(self._stub.ServerLive(request, timeout=timeout_s, metadata=self._metadata))

    async def model_metadata(self, model: str, timeout_s: float) -> ModelMetadata:
        await self._expect_ready(model, timeout_s)
        metadata = await _response(
            self._stub.ModelMetadata(
                service_pb2.ModelMetadataRequest(name=model), timeout=timeout_s, metadata=self._metadata
            )
        )
        max_batch_size = await self._max_batch_size(model, timeout_s)
        return ModelMetadata(_tensors(metadata.inputs), _tensors(metadata.outputs), max_batch_size)

    async def _expect_ready(self, model: str, timeout_s: float) -> None:
        model_state = await _response(
            self._stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=timeout_s, metadata=self._metadata)
        )
        if not model_state.ready:
            server_state = await _response(
                self._stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=timeout_s, metadata=self._metadata)
            )
            if server_state.ready:
                raise not_loaded(model)
            raise CallFailed(FailureReason.UNREACHABLE, "the server is not ready")

    async def _max_batch_size(self, model: str, timeout_s: float) -> int:
        """Returns 0 if the server does not have this extension of Triton's."""
        request = service_pb2.ModelConfigRequest(name=model)
        response = await _supported(self._stub.ModelConfig(request, timeout=timeout_s, metadata=self._metadata))
        return 0 if response is None else int(response.config.max_batch_size)

    async def model_statistics(self, model: str, timeout_s: float) -> ModelStatistics | None:
        request = service_pb2.ModelStatisticsRequest(name=model)
        response = await _supported(self._stub.ModelStatistics(request, timeout=timeout_s, metadata=self._metadata))
        return None if response is None else ModelStatistics.of(map(_counts, response.model_stats))

    async def unload_model(self, model: str) -> None:
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        await _response(self._stub.RepositoryModelUnload(request, timeout=_UNLOAD_TIMEOUT_S, metadata=self._metadata))

    async def load_model(self, model: str) -> None:
        # Without parameters: with them Triton would replace the repository's configuration or files.
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        await _response(self._stub.RepositoryModelLoad(request, timeout=_LOAD_TIMEOUT_S, metadata=self._metadata))


def _uri(address: str) -> str:
    """Returns the address with its path quoted: gRPC reads the path of a unix socket as a URI."""
    path = address.removeprefix(_UNIX)
    return address if path == address else f"{_UNIX}{quote(os.fsencode(path))}"


async def _response(call: Awaitable[T]) -> T:
    """Raises `CallFailed`."""
    try:
        return _message(await call)
    except grpc.aio.AioRpcError as error:
        raise _failure(error) from error


async def _supported(call: Awaitable[T]) -> T | None:
    """Returns None if the server does not support the method. Raises `CallFailed`."""
    try:
        return _message(await call)
    except grpc.aio.AioRpcError as error:
        if error.code() in _UNSUPPORTED:
            return None
        raise _failure(error) from error


def _message(response: T | None) -> T:
    """Returns `response`. Raises `CallFailed` for None, which grpcio returns for bytes that it cannot parse."""
    if response is None:
        raise CallFailed(FailureReason.MALFORMED, "the response is not a KServe message")
    return response


def _failure(error: grpc.aio.AioRpcError) -> CallFailed:
    code, details = error.code(), error.details() or error.code().name
    if DEAD_PROCESS in details:
        return CallFailed(FailureReason.DEAD, details)
    if FULL_QUEUE in details:
        return CallFailed(FailureReason.OVERLOADED, details)
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        return unauthenticated()
    reason = _REASONS.get(code, FailureReason.REFUSED)
    return CallFailed(reason, details, caused_by_request=code is grpc.StatusCode.INVALID_ARGUMENT)


async def _first_error(responses: AsyncIterable[Any]) -> str:
    """Returns the error message of a stream's first response, empty if it has none."""
    async for response in responses:
        message: str = _message(response).error_message
        return message
    raise CallFailed(FailureReason.MALFORMED, "the stream ended without a response")


def _model_infer(request: InferRequest) -> service_pb2.ModelInferRequest:
    outputs = (request.output, COMPUTE_NS) if request.with_compute_time else (request.output,)
    return service_pb2.ModelInferRequest(
        model_name=request.model,
        inputs=[
            service_pb2.ModelInferRequest.InferInputTensor(name=name, datatype="BYTES", shape=[len(column), 1])
            for name, column in request.inputs.items()
        ],
        outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=[bytes_tensor(column) for column in request.inputs.values()],
        parameters={BULK: service_pb2.InferParameter(bool_param=True)} if request.in_background else None,
    )


def _compute_ms(raw: bytes) -> float | None:
    """Returns the largest of the INT64 values: the texts of one call are computed together."""
    count = len(raw) // 8
    return max(0, *struct.unpack_from(f"<{count}q", raw)) / 1e6 if count else None


def _tensors(tensors: Sequence[Any]) -> tuple[TensorMetadata, ...]:
    return tuple(TensorMetadata(each.name, each.datatype, tuple(each.shape)) for each in tensors)


def _counts(version: Any) -> tuple[int, int, int]:
    """Returns the successful requests of a model version, and their nanoseconds in the queue and of computing."""
    stats = version.inference_stats
    compute = stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns
    return stats.success.count, stats.queue.ns, compute
