"""The gRPC method that `archgw` asks a worker about its models (status.py says what it answers)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc
import msgspec

from extproc.status import METHOD, WorkerStatus

_, _SERVICE, _NAME = METHOD.split("/")


def handler(read: Callable[[], Awaitable[WorkerStatus]]) -> grpc.GenericRpcHandler:
    """For `grpc.aio.Server.add_generic_rpc_handlers`. Messages are bytes: an empty one in, JSON out."""

    async def answer(_request: bytes, _context: object) -> bytes:
        return msgspec.json.encode(await read())

    return grpc.method_handlers_generic_handler(_SERVICE, {_NAME: grpc.unary_unary_rpc_method_handler(answer)})
