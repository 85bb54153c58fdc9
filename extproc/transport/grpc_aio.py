"""The reference transport: grpcio's asyncio server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

from extproc.transport.service import (
    MAX_MESSAGE_BYTES,
    MAX_STREAMS,
    Method,
    MethodError,
    ProtocolError,
    Service,
    expect,
)

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    # Envoy pings every half second to notice a stopped worker. By default gRPC treats that as an attack.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 100),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


class _Stream:
    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._context = context
        self.metadata: Mapping[str, str] = {
            key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
        }

    async def read(self, *expected: str) -> ProcessingRequest:
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise ProtocolError("Envoy ended the stream early")
        return expect(message, expected)

    async def send(self, response: ProcessingResponse) -> None:
        await self._context.write(response)

    async def abort(self, code: grpc.StatusCode, reason: str) -> None:
        await self._context.abort(code, reason)


class _Processor(external_processor_pb2_grpc.ExternalProcessorServicer):  # type: ignore[misc]
    def __init__(self, service: Service) -> None:
        self._service = service

    async def Process(self, _requests: object, context: Any) -> None:  # noqa: N802 - the name in the proto
        await self._service.process(_Stream(context))


class GrpcAioServer:
    """Implements `extproc.transport.service.Server`."""

    def __init__(self, service: Service) -> None:
        self._server = grpc.aio.server(options=_OPTIONS)
        external_processor_pb2_grpc.add_ExternalProcessorServicer_to_server(_Processor(service), self._server)
        self._server.add_generic_rpc_handlers(tuple(_handler(*each) for each in service.methods.items()))

    async def start(self, socket: Path) -> None:
        self._server.add_insecure_port(f"unix:{socket}")
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        await self._server.stop(grace_s)


def _handler(path: str, method: Method) -> grpc.GenericRpcHandler:
    async def answer(request: bytes, context: Any) -> bytes:
        try:
            return await method(request)
        except MethodError as error:
            await context.abort(error.code, str(error))
            raise AssertionError("abort raises") from error

    _, service, name = path.split("/")
    return grpc.method_handlers_generic_handler(service, {name: grpc.unary_unary_rpc_method_handler(answer)})
