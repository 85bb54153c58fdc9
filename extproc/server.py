"""One filter worker: a gRPC server on its own unix socket, with the gRPC health service that Envoy asks, and the status
that `archgw` does.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Any, Final

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from extproc import request_stream, response_stream, status_service
from extproc.contract import FilterContract
from extproc.gateway import open_gateway
from extproc.request_stream import Decider
from extproc.stream import ProtocolError, Stream

log = logging.getLogger(__name__)

HEALTH_SERVICE: Final = "archgw"

# Envoy asks for health once a second; after this long it has noticed and sends nothing new.
_DRAIN_NOTICE_S: Final = 1.5
# How long running streams may take to finish after that.
_DRAIN_S: Final = 25.0

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_concurrent_streams", 100_000),
    # Envoy pings every half second, so that a stopped worker is noticed; gRPC takes that for an attack by default.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 100),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Processor(external_processor_pb2_grpc.ExternalProcessorServicer):  # type: ignore[misc]
    """The ext_proc service: every stream is one half of one HTTP request."""

    def __init__(self, gateway: Decider) -> None:
        self._gateway = gateway

    async def Process(self, _requests: object, context: Any) -> None:  # noqa: N802 - the name in the proto
        stream = Stream(context)
        try:
            head = await stream.read("request_headers", "response_headers")
            if head.WhichOneof("request") == "request_headers":
                await request_stream.answer(stream, head, self._gateway)
            else:
                await response_stream.edit(stream, head)
        except ProtocolError as fault:
            await stream.abort(grpc.StatusCode.FAILED_PRECONDITION, str(fault))
        except Exception:  # a bug must cost this stream alone, and Envoy must not take it for consent
            log.exception("ext_proc stream failed")
            await stream.abort(grpc.StatusCode.INTERNAL, "the filter failed on this stream")


async def serve(contract: FilterContract, socket: Path) -> None:
    """Serve until SIGTERM or SIGINT, then let running streams finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with open_gateway(contract) as gateway:
        server = grpc.aio.server(options=_OPTIONS)
        external_processor_pb2_grpc.add_ExternalProcessorServicer_to_server(Processor(gateway), server)
        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        server.add_generic_rpc_handlers((status_service.handler(gateway.models.status),))
        socket.unlink(missing_ok=True)  # noqa: ASYNC240 - before anything is served
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        await servicer.set(HEALTH_SERVICE, health_pb2.HealthCheckResponse.SERVING)
        log.info("serving", extra={"fields": {"socket": str(socket)}})
        await stop.wait()
        log.info("draining")
        await servicer.set(HEALTH_SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
        await asyncio.sleep(_DRAIN_NOTICE_S)
        await server.stop(_DRAIN_S)
    log.info("stopped")
