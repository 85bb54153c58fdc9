"""One ext_proc stream: reading and sending in the order that the protocol allows; what happens when Envoy errs.

A stream serves one half of an HTTP request. The filter of the request half ends it right after its one answer, so that
a worker that dies later harms no running response; the filter of the response half exists only where a response is
edited. They are two filters because ending a stream that has been configured for responses races with a fast upstream:
Envoy has handed the response body over by then, and it is lost.

A stream that cannot answer is aborted: were it closed cleanly without an answer, Envoy would take that for consent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import grpc
from envoy.config.core.v3.base_pb2 import HeaderMap
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

log = logging.getLogger(__name__)


class ProtocolError(Exception):
    """Envoy sent what this state does not expect."""


class Stream:
    """`context` is a grpc.aio.ServicerContext."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._context = context
        self.metadata: Mapping[str, str] = {
            key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
        }

    async def read(self, *expected: str) -> ProcessingRequest:
        """The next message, which must be one of the `expected` kinds. Raises `ProtocolError`."""
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise ProtocolError("Envoy ended the stream early")
        if message.WhichOneof("request") not in expected:
            raise ProtocolError(f"Envoy sent {message.WhichOneof('request')}, expected {' or '.join(expected)}")
        return message

    async def send(self, response: ProcessingResponse) -> None:
        await self._context.write(response)

    async def abort(self, code: grpc.StatusCode, reason: str) -> None:
        log.error("ext_proc stream aborted: %s", reason)
        await self._context.abort(code, reason)


def read_headers(headers: HeaderMap) -> Mapping[str, str]:
    """Header names are lower-case; of a repeated header the last value counts."""
    return {header.key: header.raw_value.decode(errors="replace") or header.value for header in headers.headers}
