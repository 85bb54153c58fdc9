"""One gRPC call: the messages of its stream that are not read yet, and the bytes that are not sent yet."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

import grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from google.protobuf.message import DecodeError

from extproc.transport.http2 import frames, header_blocks
from extproc.transport.http2.frames import Http2Error
from extproc.transport.http2.header_blocks import CallHeaders
from extproc.transport.http2.messages import Messages, framed
from extproc.transport.service import PROCESS, MethodError, ProtocolError, Service, expect

log = logging.getLogger(__name__)

# The bytes that a peer may send before the call reads: a few messages. A longer message arrives in several windows.
RECEIVE_WINDOW: Final = 1 << 20


class Connection(Protocol):
    """The part of a connection that a call uses."""

    def write(self, frame: bytes) -> None:
        """Writes a frame that is not subject to flow control."""

    def pump(self, call: Call) -> None:
        """Sends `call.unsent` as far as the windows allow, now and as they open."""

    async def sent(self, call: Call) -> None:
        """Waits until all of the call is sent and the peer reads."""

    def forget(self, call: Call) -> None:
        """Removes a call that has ended."""


class Call:
    """Implements `extproc.transport.service.Stream`. `send_window`: bytes that the peer accepts on this stream."""

    __slots__ = (
        "_connection",
        "_finished",
        "_headers",
        "_messages",
        "_opened",
        "_queue",
        "_queued",
        "_reader",
        "_remote_ended",
        "_uncredited",
        "id",
        "send_window",
        "task",
        "unsent",
        "waiter",
    )

    def __init__(self, connection: Connection, stream: int, headers: CallHeaders, send_window: int) -> None:
        self.id = stream
        self.send_window = send_window
        self.unsent = bytearray()
        self.waiter: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None
        self._connection = connection
        self._headers = headers
        self._messages = Messages()
        self._queue: deque[bytes] = deque()
        # `_queued`: bytes of whole messages that are not read yet. `_uncredited`: received bytes by which the window is
        # still smaller.
        self._queued = 0
        self._uncredited = 0
        self._reader: asyncio.Future[None] | None = None
        self._remote_ended = False
        self._opened = False
        self._finished = False

    @property
    def path(self) -> str:
        return self._headers.path

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._headers.metadata

    async def read(self, *expected: str) -> ProcessingRequest:
        data = await self.message()
        if data is None:
            raise ProtocolError("Envoy ended the stream early")
        try:
            return expect(ProcessingRequest.FromString(data), expected)
        except DecodeError as error:
            raise ProtocolError("Envoy sent a message that is not a ProcessingRequest") from error

    async def send(self, response: ProcessingResponse) -> None:
        await self.write(response.SerializeToString())

    async def abort(self, code: grpc.StatusCode, reason: str) -> None:
        self.finish(code, reason)

    async def message(self) -> bytes | None:
        """Returns the next message; None if the peer sends no more."""
        while not self._queue:
            if self._remote_ended:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = self._queue.popleft()
        self._queued -= len(data)
        self._credit()
        return data

    async def write(self, message: bytes) -> None:
        if self._finished:
            raise ProtocolError("the filter sent a message after the end of the stream")
        if not self._opened:
            self._opened = True
            self._connection.write(frames.frame(frames.HEADERS, frames.END_HEADERS, self.id, header_blocks.HEADERS))
        self.unsent += framed(message)
        self._connection.pump(self)
        await self._connection.sent(self)

    def finish(self, code: grpc.StatusCode, reason: str = "") -> None:
        """Ends the call. A second end is ignored."""
        if self._finished:
            return
        self._finished = True
        block = header_blocks.OK if code is grpc.StatusCode.OK else header_blocks.trailers(code.value[0], reason)
        if not self._opened:
            block = header_blocks.HEADERS + block
        ends = frames.END_HEADERS | frames.END_STREAM
        self._connection.write(frames.frame(frames.HEADERS, ends, self.id, block))
        if not self._remote_ended:
            # RFC 9113, 8.1: the response is complete, and the rest of the request is not read.
            self._connection.write(frames.rst_stream(self.id, frames.NO_ERROR))
        self._connection.forget(self)

    def receive(self, data: bytes, size: int, *, end: bool) -> None:
        """Takes the `data` of a frame whose payload had `size` bytes. Raises `Http2Error` and `MethodError`."""
        self._uncredited += size
        if self._uncredited > RECEIVE_WINDOW:
            raise Http2Error(frames.FLOW_CONTROL_ERROR, "the peer exceeded the window of a stream")
        for message in self._messages.feed(data):
            self._queue.append(message)
            self._queued += len(message)
        if end:
            self.end()
        else:
            self._credit()
        if self._queue:
            self._wake()

    def end(self) -> None:
        """Marks the peer's side as ended."""
        self._remote_ended = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _credit(self) -> None:
        """Widens the window by the received bytes that were read or belong to an incomplete message."""
        free = self._uncredited - self._queued
        if free >= RECEIVE_WINDOW // 2 and not self._remote_ended:
            self._uncredited -= free
            self._connection.write(frames.window_update(self.id, free))


async def serve(call: Call, service: Service) -> None:
    """Answers a call: an ext_proc stream or a unary method."""
    try:
        if call.path == PROCESS:
            await service.process(call)
        else:
            await _serve_method(call, service)
    except MethodError as error:
        call.finish(error.code, str(error))
    except Exception:  # a bug must end only this call
        log.exception("gRPC call failed", extra={"fields": {"path": call.path}})
        call.finish(grpc.StatusCode.INTERNAL, "the call failed")
    call.finish(grpc.StatusCode.OK)


async def _serve_method(call: Call, service: Service) -> None:
    method = service.methods.get(call.path)
    if method is None:
        raise MethodError(grpc.StatusCode.UNIMPLEMENTED, "no such method")
    message = await call.message()
    if message is None:
        raise MethodError(grpc.StatusCode.INVALID_ARGUMENT, "the request has no message")
    await call.write(await method(message))
