"""One gRPC call: what its stream brought and nobody has read yet, and what it still has to send."""

from __future__ import annotations

import asyncio
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
from extproc.transport.service import ProtocolError, expect

# What a peer may send before the call reads: a few messages. One that is longer is let in piece by piece.
RECEIVE_WINDOW: Final = 1 << 20


class Connection(Protocol):
    """What a call needs of its connection."""

    def write(self, frame: bytes) -> None:
        """A frame that flow control does not hold up."""

    def pump(self, call: Call) -> None:
        """Send what the windows allow of `call.unsent`, now and as they open."""

    async def sent(self, call: Call) -> None:
        """Returns when nothing of the call waits, and the peer reads."""

    def forget(self, call: Call) -> None:
        """The call has ended."""


class Call:
    """See `extproc.transport.service.Stream`. `send_window`: bytes that the peer takes of this stream."""

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
        # Bytes of whole messages that nobody has read; of all received, those that the peer may not replace yet.
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
            raise ProtocolError("Envoy sent a message that is no ProcessingRequest") from error

    async def send(self, response: ProcessingResponse) -> None:
        await self.write(response.SerializeToString())

    async def abort(self, code: grpc.StatusCode, reason: str) -> None:
        self.finish(code, reason)

    async def message(self) -> bytes | None:
        """The next one; None where the peer sends no more."""
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
            raise ProtocolError("nothing may be sent after the end")
        if not self._opened:
            self._opened = True
            self._connection.write(frames.frame(frames.HEADERS, frames.END_HEADERS, self.id, header_blocks.HEADERS))
        self.unsent += framed(message)
        self._connection.pump(self)
        await self._connection.sent(self)

    def finish(self, code: grpc.StatusCode, reason: str = "") -> None:
        """End the call, once: what comes later changes nothing."""
        if self._finished:
            return
        self._finished = True
        block = header_blocks.OK if code is grpc.StatusCode.OK else header_blocks.trailers(code.value[0], reason)
        if not self._opened:
            block = header_blocks.HEADERS + block
        ends = frames.END_HEADERS | frames.END_STREAM
        self._connection.write(frames.frame(frames.HEADERS, ends, self.id, block))
        if not self._remote_ended:
            # RFC 9113, 8.1: the answer is whole, and nobody reads the rest of the request.
            self._connection.write(frames.rst_stream(self.id, frames.NO_ERROR))
        self._connection.forget(self)

    def receive(self, data: bytes, size: int, *, end: bool) -> None:
        """`data` of a frame whose payload had `size` bytes. Raises `Http2Error`, and `MethodError`."""
        self._uncredited += size
        if self._uncredited > RECEIVE_WINDOW:
            raise Http2Error(frames.FLOW_CONTROL_ERROR, "more data than the stream's window")
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
        """The peer sends no more."""
        self._remote_ended = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _credit(self) -> None:
        """Let the peer send as much again as has been read, or belongs to a message that has not arrived whole."""
        free = self._uncredited - self._queued
        if free >= RECEIVE_WINDOW // 2 and not self._remote_ended:
            self._uncredited -= free
            self._connection.write(frames.window_update(self.id, free))
