"""The server of one filter worker: ext_proc, Envoy's health check and `archgw`'s status on one unix socket."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Generic

import grpc
import msgspec

from extproc import request_stream, response_stream
from extproc.current_gateway import CurrentGateway, GatewayT
from extproc.gateway import Gateway, open_gateway
from extproc.shared.filter_config import FilterConfig, Transport
from extproc.shared.worker_status import METHOD
from extproc.transport.grpc_aio import GrpcAioServer
from extproc.transport.health import CHECK, Health
from extproc.transport.http2.server import Http2Server
from extproc.transport.service import Method, ProtocolError, Server, Service, Stream

log = logging.getLogger(__name__)

# Envoy checks health once a second. After this time it has noticed the drain and opens no new streams.
_DRAIN_NOTICE_S: Final = 1.5
# Running streams have this long to finish.
_DRAIN_TIMEOUT_S: Final = 25.0

_SERVERS: Final[Mapping[Transport, Callable[[Service], Server]]] = {
    Transport.HTTP2: Http2Server,
    Transport.GRPC_AIO: GrpcAioServer,
}


class Processor(Generic[GatewayT]):
    """The ext_proc service: every stream is one half of one HTTP request."""

    def __init__(self, current: CurrentGateway[GatewayT]) -> None:
        self._current = current

    async def process(self, stream: Stream) -> None:
        """Answers one stream."""
        try:
            head = await stream.read("request_headers", "response_headers")
            with self._current.stream() as gateway:
                if head.WhichOneof("request") == "request_headers":
                    await request_stream.answer(stream, head, gateway)
                else:
                    await response_stream.edit(stream, head, gateway)
        except ProtocolError as fault:
            await _abort(stream, grpc.StatusCode.FAILED_PRECONDITION, str(fault))
        except Exception:  # a bug must fail only this stream, and Envoy must not let the request pass
            log.exception("ext_proc stream failed")
            await _abort(stream, grpc.StatusCode.INTERNAL, "the filter failed on this stream")


def open_server(
    transport: Transport, current: CurrentGateway[GatewayT], methods: Mapping[str, Method] = MappingProxyType({})
) -> Server:
    """Returns a server whose streams get the current gateway. It also serves `methods`, by path."""
    return _SERVERS[transport](Service(Processor(current).process, methods))


async def serve(config: FilterConfig, socket: Path) -> None:
    """Serves until SIGTERM or SIGINT, then lets running streams finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with open_gateway(config) as gateway:
        health = Health()
        current = CurrentGateway(gateway)
        server = open_server(config.transport, current, {CHECK: health.check, METHOD: _status_of(current)})
        socket.unlink(missing_ok=True)  # noqa: ASYNC240 - before anything is served
        await server.start(socket)
        health.serving = True
        log.info("serving", extra={"fields": {"socket": str(socket)}})
        await stop.wait()
        log.info("draining")
        health.serving = False
        await asyncio.sleep(_DRAIN_NOTICE_S)
        await server.stop(_DRAIN_TIMEOUT_S)
    log.info("stopped")


def _status_of(current: CurrentGateway[Gateway]) -> Method:
    async def read(_request: bytes) -> bytes:
        return msgspec.json.encode(await current.gateway.models.status())

    return read


async def _abort(stream: Stream, code: grpc.StatusCode, reason: str) -> None:
    log.error("ext_proc stream aborted: %s", reason)
    await stream.abort(code, reason)
