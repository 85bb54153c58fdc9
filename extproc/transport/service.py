"""The interface between the filter and the gRPC servers: `Stream` and `Server`, which both servers implement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

PROCESS: Final = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"

# Envoy sends a body of at most its buffer limit, in one message.
MAX_MESSAGE_BYTES: Final = 64 << 20
MAX_STREAMS: Final = 100_000


class ProtocolError(Exception):
    """Envoy sent a message that is not allowed in this state."""


class Stream(Protocol):
    """One ext_proc stream, which serves one half of an HTTP request.

    The stream of the request half ends right after its one answer, so that a worker that dies later harms no running
    response. The stream of the response half exists only if a response is edited.

    The halves are two Envoy filters. With one filter for both, the end of the request half's stream would race with a
    fast upstream: a response body that Envoy has already sent to that stream would be lost.

    A stream that cannot answer is aborted: Envoy lets a request pass if its stream ends cleanly without an answer.
    """

    @property
    def metadata(self) -> Mapping[str, str]:
        """The headers of the gRPC call."""

    async def read(self, *expected: str) -> ProcessingRequest:
        """Returns the next message. Raises `ProtocolError` if it is not one of the `expected` kinds."""

    async def send(self, response: ProcessingResponse) -> None:
        """Sends a message. Returns when it is written, so a slow reader delays the writer."""

    async def abort(self, code: grpc.StatusCode, reason: str) -> None:
        """Ends the stream with an error. Nothing may be sent after it."""


class MethodError(Exception):
    """A method failed with a gRPC status."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


Method = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Service:
    """`process` answers one ext_proc stream, and is cancelled when Envoy resets it.

    `methods` are the unary methods by path. They may raise `MethodError`.
    """

    process: Callable[[Stream], Awaitable[None]]
    methods: Mapping[str, Method]


class Server(Protocol):
    """The server of one worker."""

    async def start(self, socket: Path) -> None:
        """Starts to serve on the unix socket."""

    async def stop(self, grace_s: float) -> None:
        """Takes no new streams, gives the running ones `grace_s` to finish, then ends them."""


def expect(message: ProcessingRequest, expected: tuple[str, ...]) -> ProcessingRequest:
    """Returns `message`. Raises `ProtocolError` if it is not of an expected kind."""
    if message.WhichOneof("request") not in expected:
        raise ProtocolError(f"Envoy sent {message.WhichOneof('request')}, expected {' or '.join(expected)}")
    return message
