"""What a transport serves, and what it gives to whoever answers: the interface between the filter and gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

PROCESS: Final = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"

# Envoy sends no more of a body than its buffer holds, and that in one message.
MAX_MESSAGE_BYTES: Final = 64 << 20
MAX_STREAMS: Final = 100_000


class ProtocolError(Exception):
    """Envoy sent what this state does not expect."""


class Stream(Protocol):
    """One ext_proc stream: it serves one half of an HTTP request.

    The filter of the request half ends it right after its one answer, so that a worker that dies later harms no running
    response; the filter of the response half exists only where a response is edited. They are two filters because
    ending a stream that has been configured for responses races with a fast upstream: Envoy has handed the response
    body over by then, and it is lost.

    A stream that cannot answer is aborted: were it closed cleanly without an answer, Envoy would take that for consent.
    """

    @property
    def metadata(self) -> Mapping[str, str]:
        """The headers of the gRPC call."""

    async def read(self, *expected: str) -> ProcessingRequest:
        """The next message, which must be one of the `expected` kinds. Raises `ProtocolError`."""

    async def send(self, response: ProcessingResponse) -> None:
        """Returns when the message is on its way: a slow reader holds the writer up."""

    async def abort(self, code: grpc.StatusCode, reason: str) -> None:
        """End the stream with an error. Nothing may be sent after it."""


class MethodError(Exception):
    """A method's answer is an error."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


Method = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Service:
    """`process` answers ext_proc streams; it is cancelled when Envoy resets its stream.

    `methods`: by path, those of one message in and one out. They may raise `MethodError`.
    """

    process: Callable[[Stream], Awaitable[None]]
    methods: Mapping[str, Method]


class Server(Protocol):
    """One worker's server."""

    async def start(self, socket: Path) -> None:
        """Serve on the unix socket."""

    async def stop(self, grace_s: float) -> None:
        """Take no new streams, let the running ones finish for so long, then end them."""


def expect(message: ProcessingRequest, expected: tuple[str, ...]) -> ProcessingRequest:
    """`message`, if it is of an expected kind. Raises `ProtocolError`."""
    if message.WhichOneof("request") not in expected:
        raise ProtocolError(f"Envoy sent {message.WhichOneof('request')}, expected {' or '.join(expected)}")
    return message
