"""One peer's connection: turns frames into calls and their messages, and the calls' messages into frames."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, cast

from extproc.transport.http2 import frames
from extproc.transport.http2.call import RECEIVE_WINDOW, Call, serve
from extproc.transport.http2.frames import Http2Error
from extproc.transport.http2.header_blocks import MAX_BYTES as MAX_HEADER_BYTES
from extproc.transport.http2.header_blocks import Decoder
from extproc.transport.service import MAX_STREAMS, MethodError, Service

log = logging.getLogger(__name__)

# Each stream has a window of its own. The window of the whole connection is too large to matter.
_WINDOW: Final = 1 << 30
_FRAME_BYTES: Final = 256 << 10
# Bytes that may wait for a peer that does not read, before its calls wait too.
_WRITE_BUFFER: Final = 256 << 10
_PING_BYTES: Final = 8

_SETTINGS: Final = frames.settings(
    (
        (frames.MAX_CONCURRENT_STREAMS, MAX_STREAMS),
        (frames.INITIAL_WINDOW_SIZE, RECEIVE_WINDOW),
        (frames.MAX_FRAME_SIZE, _FRAME_BYTES),
        (frames.MAX_HEADER_LIST_SIZE, MAX_HEADER_BYTES),
    )
) + frames.window_update(0, _WINDOW - frames.DEFAULT_WINDOW)


class Http2Connection(asyncio.Protocol):
    """`closed` is called when the connection is gone."""

    def __init__(self, service: Service, closed: Callable[[Http2Connection], None]) -> None:
        self._service = service
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._greeted = False
        self._decoder = Decoder()
        self._calls: dict[int, Call] = {}
        self._last_stream = 0
        # An incomplete header block: its stream, the flags of its first frame, its bytes.
        self._block: tuple[int, int, bytearray] | None = None
        self._received = 0
        self._out: list[bytes] = []
        self._window = frames.DEFAULT_WINDOW
        self._stream_window = frames.DEFAULT_WINDOW
        self._largest_frame = frames.DEFAULT_FRAME_BYTES
        # Calls that wait for a window, in the order of their turns.
        self._waiting: dict[int, Call] = {}
        self._writable = asyncio.Event()
        self._writable.set()
        self._draining: asyncio.Future[None] | None = None
        self._ended = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self.write(_SETTINGS)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            self._receive()
        except Http2Error as fault:
            log.error("HTTP/2 connection ended", extra={"fields": {"code": fault.code, "reason": str(fault)}})
            self.close(fault.code, str(fault))

    def connection_lost(self, _error: Exception | None) -> None:
        self._ended = True
        for call in self._calls.values():
            if call.task is not None:
                call.task.cancel()
        self._calls.clear()
        self._waiting.clear()
        self._out.clear()
        self._end_drain_if_idle()
        self._closed(self)

    def pause_writing(self) -> None:
        # Stops reading from a peer that does not read: responses to its pings and resets would pile up.
        self._writable.clear()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._transport is not None and not self._ended:
            self._transport.resume_reading()

    # Called by the server.

    async def drain(self) -> None:
        """Tells the peer to open no new calls, and waits until the running ones have ended."""
        self.write(frames.goaway(frames.LARGEST_STREAM, frames.NO_ERROR, "draining"))
        self._draining = self._loop.create_future()
        self._end_drain_if_idle()
        await self._draining

    def close(self, code: int = frames.NO_ERROR, reason: str = "") -> None:
        """Ends the connection and its running calls."""
        if self._ended:
            return
        self.write(frames.goaway(self._last_stream, code, reason))
        self._flush()
        self._ended = True
        if self._transport is not None:
            self._transport.close()

    # Called by calls: implements `call.Connection`.

    def write(self, frame: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)

    def pump(self, call: Call) -> None:
        while call.unsent:
            size = min(len(call.unsent), self._window, call.send_window, self._largest_frame)
            if size <= 0:
                self._waiting[call.id] = call
                return
            self.write(frames.frame(frames.DATA, 0, call.id, bytes(call.unsent[:size])))
            del call.unsent[:size]
            self._window -= size
            call.send_window -= size
        if call.waiter is not None and not call.waiter.done():
            call.waiter.set_result(None)

    async def sent(self, call: Call) -> None:
        while call.unsent:
            call.waiter = self._loop.create_future()
            await call.waiter
        if not self._writable.is_set():
            await self._writable.wait()

    def forget(self, call: Call) -> None:
        self._calls.pop(call.id, None)
        self._waiting.pop(call.id, None)
        self._end_drain_if_idle()

    # Incoming frames.

    def _receive(self) -> None:
        buffer, at = self._buffer, 0
        if not self._greeted:
            if not buffer.startswith(frames.PREFACE[: len(buffer)]):
                raise Http2Error(frames.PROTOCOL_ERROR, "the connection does not start as HTTP/2")
            if len(buffer) < len(frames.PREFACE):
                return
            self._greeted, at = True, len(frames.PREFACE)
        try:
            while len(buffer) - at >= frames.HEAD_BYTES and not self._ended:
                size, kind, flags, stream = frames.read_head(buffer, at)
                if size > _FRAME_BYTES:
                    raise Http2Error(frames.FRAME_SIZE_ERROR, f"a frame has {size} bytes, more than {_FRAME_BYTES}")
                end = at + frames.HEAD_BYTES + size
                if end > len(buffer):
                    return
                payload = bytes(buffer[at + frames.HEAD_BYTES : end])
                at = end
                self._frame(kind, flags, stream, payload)
        finally:
            del buffer[:at]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if (self._block is not None) != (kind == frames.CONTINUATION):
            raise Http2Error(
                frames.PROTOCOL_ERROR, "CONTINUATION must follow an incomplete header block, and nothing else may"
            )
        # GOAWAY and PRIORITY need no action, and unknown frames are ignored (RFC 9113, section 4.1).
        if (handle := _HANDLERS.get(kind)) is not None:
            handle(self, flags, stream, payload)

    def _known(self, stream: int) -> Call | None:
        """Returns the running call on `stream`; None if it has ended. Raises `Http2Error`."""
        call = self._calls.get(stream)
        if call is None and (stream > self._last_stream or not stream % 2):
            raise Http2Error(frames.PROTOCOL_ERROR, "a frame on a stream that was never opened")
        return call

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > _WINDOW:
            raise Http2Error(frames.FLOW_CONTROL_ERROR, "the peer exceeded the window of the connection")
        if self._received >= _WINDOW // 2:
            self.write(frames.window_update(0, self._received))
            self._received = 0
        if (call := self._known(stream)) is None:
            return
        data = frames.content(payload, flags & frames.PADDED)
        try:
            call.receive(data, len(payload), end=bool(flags & frames.END_STREAM))
        except MethodError as error:
            if call.task is not None:
                call.task.cancel()
            call.finish(error.code, str(error))

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        self._on_block(stream, flags, bytearray(frames.content(payload, flags)), whole=bool(flags & frames.END_HEADERS))

    def _on_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        assert self._block is not None  # noqa: S101 - `_frame` has checked it
        first, first_flags, block = self._block
        if stream != first:
            raise Http2Error(frames.PROTOCOL_ERROR, "CONTINUATION on another stream than its header block")
        block += payload
        self._on_block(first, first_flags, block, whole=bool(flags & frames.END_HEADERS))

    def _on_block(self, stream: int, flags: int, block: bytearray, *, whole: bool) -> None:
        if len(block) > MAX_HEADER_BYTES:
            raise Http2Error(frames.ENHANCE_YOUR_CALM, f"headers have more than {MAX_HEADER_BYTES} bytes")
        if not whole:
            self._block = (stream, flags, block)
            return
        self._block = None
        # Decodes the block of an ended call too: each block may change the table for the next one.
        headers = self._decoder.decode(bytes(block))
        end = bool(flags & frames.END_STREAM)
        if stream > self._last_stream and stream % 2:
            self._last_stream = stream
            if len(self._calls) >= MAX_STREAMS:
                self.write(frames.rst_stream(stream, frames.REFUSED_STREAM))
                return
            call = Call(self, stream, headers, self._stream_window)
            self._calls[stream] = call
            if end:
                call.end()
            call.task = self._loop.create_task(serve(call, self._service))
        elif (known := self._known(stream)) is not None:
            if not end:
                raise Http2Error(frames.PROTOCOL_ERROR, "headers within a stream must end it")
            known.end()

    def _on_rst_stream(self, _flags: int, stream: int, payload: bytes) -> None:
        frames.read_word(payload)
        if (call := self._known(stream)) is not None:
            self.forget(call)
            if call.task is not None:
                call.task.cancel()

    def _on_window_update(self, _flags: int, stream: int, payload: bytes) -> None:
        size = frames.read_word(payload) & frames.LARGEST_WINDOW
        if not size:
            raise Http2Error(frames.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 bytes")
        if not stream:
            self._window += size
            if self._window > frames.LARGEST_WINDOW:
                raise Http2Error(frames.FLOW_CONTROL_ERROR, "a window is too large")
            self._send_waiting()
        elif (call := self._known(stream)) is not None:
            self._widen(call, size)

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise Http2Error(frames.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            return
        # The acknowledgement precedes any data that the new windows allow.
        self.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        for name, value in frames.read_settings(payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise Http2Error(frames.FLOW_CONTROL_ERROR, "a window is too large")
                grown, self._stream_window = value - self._stream_window, value
                for call in list(self._calls.values()):
                    self._widen(call, grown)
            elif name == frames.MAX_FRAME_SIZE:
                if not frames.DEFAULT_FRAME_BYTES <= value <= frames.LARGEST_FRAME_BYTES:
                    raise Http2Error(frames.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of bounds")
                self._largest_frame = value

    def _on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != _PING_BYTES or stream:
            raise Http2Error(frames.FRAME_SIZE_ERROR, "PING must have eight bytes, on stream 0")
        if not flags & frames.ACK:
            self.write(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _on_push_promise(self, _flags: int, _stream: int, _payload: bytes) -> None:
        raise Http2Error(frames.PROTOCOL_ERROR, "a client must not send PUSH_PROMISE")

    def _widen(self, call: Call, size: int) -> None:
        call.send_window += size
        if call.send_window > frames.LARGEST_WINDOW:
            raise Http2Error(frames.FLOW_CONTROL_ERROR, "a window is too large")
        if self._waiting.pop(call.id, None) is not None:
            self.pump(call)

    # Outgoing frames.

    def _send_waiting(self) -> None:
        """Gives each waiting call a turn. A call that cannot send everything goes to the end."""
        for call in list(self._waiting.values()):
            if self._window <= 0:
                return
            del self._waiting[call.id]
            self.pump(call)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._ended:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _end_drain_if_idle(self) -> None:
        if self._draining is not None and not self._draining.done() and not self._calls:
            self._draining.set_result(None)


_HANDLERS: Final[Mapping[int, Callable[[Http2Connection, int, int, bytes], None]]] = {
    frames.DATA: Http2Connection._on_data,
    frames.HEADERS: Http2Connection._on_headers,
    frames.RST_STREAM: Http2Connection._on_rst_stream,
    frames.SETTINGS: Http2Connection._on_settings,
    frames.PUSH_PROMISE: Http2Connection._on_push_promise,
    frames.PING: Http2Connection._on_ping,
    frames.WINDOW_UPDATE: Http2Connection._on_window_update,
    frames.CONTINUATION: Http2Connection._on_continuation,
}
