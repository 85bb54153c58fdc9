"""The HTTP/2 server against peers that cut, delay, overrun, reset and break: `h2` is the client, or bytes by hand."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket as sockets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import hpack
import pytest
import uvloop
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import HttpBody, ProcessingRequest, ProcessingResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc.transport.http2 import frames
from extproc.transport.http2.call import RECEIVE_WINDOW
from extproc.transport.http2.header_blocks import Decoder
from extproc.transport.http2.messages import framed
from extproc.transport.http2.server import Http2Server
from extproc.transport.service import PROCESS, Service, Stream

HEADERS = (
    (":method", "POST"),
    (":path", PROCESS),
    (":scheme", "http"),
    (":authority", "extproc"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("x-archgw-listener", "egress"),
)
PATIENCE_S = 20.0
_COUNT = itertools.count()


def message(body: bytes, *, end: bool = True) -> bytes:
    request = ProcessingRequest(request_body=HttpBody(body=body, end_of_stream=end))
    return framed(request.SerializeToString())


def response(body: bytes) -> ProcessingResponse:
    answer = ProcessingResponse()
    answer.request_body.response.body_mutation.streamed_response.body = body
    return answer


@dataclass
class Echo:
    """Echoes the body of every message until the last. Records how each call ended."""

    seen: list[dict[str, str]] = field(default_factory=list)
    ends: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    answering: Callable[[Stream], Any] | None = None

    async def process(self, stream: Stream) -> None:
        self.seen.append(dict(stream.metadata))
        try:
            await (self._echo if self.answering is None else self.answering)(stream)
        except asyncio.CancelledError:
            self.ends.put_nowait("cancelled")
            raise
        self.ends.put_nowait("done")

    async def _echo(self, stream: Stream) -> None:
        end = False
        while not end:
            got = (await stream.read("request_body")).request_body
            end = got.end_of_stream
            await stream.send(response(got.body))


@dataclass
class Answer:
    headers: dict[str, str] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None

    @property
    def bodies(self) -> list[bytes]:
        found, data = [], bytes(self.data)
        while data:
            size = int.from_bytes(data[1:5], "big")
            answer = ProcessingResponse.FromString(data[5 : 5 + size])
            found.append(answer.request_body.response.body_mutation.streamed_response.body)
            data = data[5 + size :]
        return found


class Peer:
    """An HTTP/2 client on `h2`. It reads only while it waits."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reads: bool = True) -> None:
        self.reader, self.writer = reader, writer
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.answers: dict[int, Answer] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.pings = 0
        self._reads = reads
        self.h2.initiate_connection()

    def open(self, headers: Sequence[tuple[str, str]] = HEADERS) -> int:
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers)
        self.answers[stream] = Answer()
        return stream

    def out(self) -> bytes:
        data: bytes = self.h2.data_to_send()
        return data

    def flush(self) -> None:
        self.writer.write(self.out())

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """All of it, as the windows open."""
        while data:
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if not size:
                self.flush()
                await self._take()
                continue
            self.h2.send_data(stream, data[:size])
            data = data[size:]
        if end:
            self.h2.end_stream(stream)
        self.flush()

    async def until(self, done: Callable[[], bool]) -> None:
        self.flush()
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await self._take()

    async def _take(self) -> None:
        data = await self.reader.read(1 << 16)
        if not data:
            raise ConnectionResetError
        for event in self.h2.receive_data(data):
            self._event(event)
        self.flush()

    def _event(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                self.answers[event.stream_id].headers |= {str(name): str(value) for name, value in event.headers}
            case h2.events.DataReceived():
                self.answers[event.stream_id].data += event.data
                if self._reads:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.answers[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.answers[event.stream_id].reset = event.error_code
            case h2.events.ConnectionTerminated():
                self.goaway = event
            case h2.events.PingAckReceived():
                self.pings += 1


@dataclass
class Serving:
    socket: Path
    server: Http2Server
    echo: Echo

    @asynccontextmanager
    async def peer(self, **how: Any) -> AsyncIterator[Peer]:
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        try:
            yield Peer(reader, writer, **how)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def raw(self, data: bytes) -> bytes:
        """All that comes back for `data` until the server ends the connection."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    async with opened(tmp_path / "s") as found:
        yield found


@asynccontextmanager
async def opened(socket: Path) -> AsyncIterator[Serving]:
    echo = Echo()
    server = Http2Server(Service(echo.process, {}))
    await server.start(socket)
    yield Serving(socket, server, echo)
    await server.stop(0)


async def test_rest_of_an_answered_call_is_reset(serving: Serving) -> None:
    async with serving.peer() as peer:
        stream = peer.open()
        await peer.send(stream, message(b"one", end=False) + message(b"two"))
        answer = peer.answers[stream]
        await peer.until(lambda: answer.reset is not None)
    assert answer.bodies == [b"one", b"two"]
    assert (answer.headers[":status"], answer.headers["grpc-status"], answer.ended) == ("200", "0", True)
    assert answer.headers["content-type"] == "application/grpc"
    assert answer.reset == h2.errors.ErrorCodes.NO_ERROR
    assert serving.echo.seen[0]["x-archgw-listener"] == "egress"


async def test_call_that_the_peer_ended_is_not_reset(serving: Serving) -> None:
    async with serving.peer() as peer:
        stream = peer.open()
        await peer.send(stream, message(b"x"), end=True)
        await peer.until(lambda: peer.answers[stream].ended)
        peer.h2.ping(b"12345678")
        await peer.until(lambda: peer.pings == 1)
    assert peer.answers[stream].reset is None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 9, 10, 13, 64, 1000])
async def test_accepts_bytes_split_anywhere(serving: Serving, size: int) -> None:
    """Also the preface, a frame's head, and a message's."""
    async with serving.peer() as peer:
        streams = [peer.open() for _ in range(3)]
        for stream in streams:
            peer.h2.send_data(stream, message(b"a" * 50, end=False)[:30])
        for stream in streams:
            peer.h2.send_data(stream, message(b"a" * 50, end=False)[30:] + message(b"b"), pad_length=7)
        data = peer.out()
        for start in range(0, len(data), size):
            peer.writer.write(data[start : start + size])
            await peer.writer.drain()
            await asyncio.sleep(0)
        await peer.until(lambda: all(peer.answers[stream].ended for stream in streams))
    assert [peer.answers[stream].bodies for stream in streams] == [[b"a" * 50, b"b"]] * 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1 << 32))
def test_concurrent_calls_do_not_mix(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time

    async def run() -> None:
        async with opened(tmp_path / f"{next(_COUNT)}") as serving, serving.peer() as peer:
            bodies = [[chance.randbytes(chance.choice((0, 1, 100, 5000))) for _ in range(3)] for _ in range(5)]
            streams = [peer.open((*HEADERS, ("traceparent", str(index % 2)))) for index in range(5)]
            left = [b"".join(message(each, end=False) for each in its) + message(b"end") for its in bodies]
            while any(left):
                index = chance.randrange(5)
                size = min(chance.choice((1, 4, 7, 600, 16_000)), peer.h2.local_flow_control_window(streams[index]))
                if left[index][:size]:
                    peer.h2.send_data(streams[index], left[index][:size])
                    left[index] = left[index][size:]
                peer.flush()
                if chance.random() < 0.2:
                    await peer.writer.drain()
                    await asyncio.sleep(0)
                if not size:
                    await peer._take()
            await peer.until(lambda: all(peer.answers[stream].ended for stream in streams))
            assert [peer.answers[stream].bodies for stream in streams] == [[*its, b"end"] for its in bodies]

    uvloop.run(run())


@pytest.mark.parametrize("size", [RECEIVE_WINDOW - 100, RECEIVE_WINDOW + 1, 9 << 20])
async def test_echoes_a_message_longer_than_every_window(serving: Serving, size: int) -> None:
    body = random.Random(size).randbytes(size)  # noqa: S311 - the same each time
    async with serving.peer() as peer:
        stream = peer.open()
        await peer.send(stream, message(body))
        await peer.until(lambda: peer.answers[stream].ended)
    assert peer.answers[stream].bodies == [body]


async def test_peer_waits_while_the_call_does_not_read(serving: Serving) -> None:
    """The peer continues when the call reads."""
    go = asyncio.Event()

    async def late(stream: Stream) -> None:
        await go.wait()
        for _ in range(100):
            await stream.read("request_body")

    serving.echo.answering = late
    piece = message(bytes(50_000), end=False)
    async with serving.peer() as peer:
        stream = peer.open()
        sending = asyncio.ensure_future(peer.send(stream, piece * 100))
        other = asyncio.ensure_future(asyncio.wait_for(asyncio.shield(sending), 0.3))
        with pytest.raises(TimeoutError):
            await other
        assert peer.h2.local_flow_control_window(stream) == 0
        go.set()
        await sending
        await peer.until(lambda: peer.answers[stream].ended)


async def test_unread_stream_does_not_block_other_streams(serving: Serving) -> None:
    sent: list[int] = []

    async def much(stream: Stream) -> None:
        for index in range(100):
            await stream.send(response(bytes(10_000)))
            sent.append(index)

    async with serving.peer(reads=False) as peer:
        # The connection's window stays wide: it is the stream's that closes.
        peer.h2.increment_flow_control_window(10 << 20)
        serving.echo.answering = much
        slow = peer.open()
        await peer.until(lambda: len(peer.answers[slow].data) >= frames.DEFAULT_WINDOW)
        assert len(sent) < 10
        serving.echo.answering = None
        quick = peer.open()
        await peer.send(quick, message(b"x"))
        await peer.until(lambda: peer.answers[quick].ended)
        peer.h2.increment_flow_control_window(2 << 20, slow)
        await peer.until(lambda: peer.answers[slow].ended)
    assert len(peer.answers[slow].bodies) == 100


async def test_sends_again_when_the_connection_window_opens(serving: Serving) -> None:
    async with serving.peer(reads=False) as peer:
        streams = [peer.open() for _ in range(4)]
        for stream in streams:
            await peer.send(stream, message(bytes(40_000)))
        answers = peer.answers.values()
        await peer.until(lambda: sum(len(answer.data) for answer in answers) == frames.DEFAULT_WINDOW)
        for _ in range(10):
            peer.h2.increment_flow_control_window(20_000)
            peer.flush()
        await peer.until(lambda: all(peer.answers[stream].ended for stream in streams))
    assert [peer.answers[stream].bodies for stream in streams] == [[bytes(40_000)]] * 4


async def test_new_window_settings_apply_to_running_streams(serving: Serving) -> None:
    async with serving.peer(reads=False) as peer:
        peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
        stream = peer.open()
        await peer.send(stream, message(bytes(1000)))
        await peer.until(lambda: len(peer.answers[stream].data) == 10)
        peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 5000})
        await peer.until(lambda: peer.answers[stream].ended)
    assert peer.answers[stream].bodies == [bytes(1000)]


async def test_reset_cancels_the_call_and_later_frames_are_ignored(serving: Serving) -> None:
    async with serving.peer() as peer:
        stream = peer.open()
        await peer.send(stream, message(b"x", end=False))
        await peer.until(lambda: bool(peer.answers[stream].data))
        peer.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        late = frames.frame(frames.DATA, 0, stream, b"late") + frames.window_update(stream, 5)
        peer.writer.write(peer.out() + late + frames.rst_stream(stream, frames.CANCEL))
        other = peer.open()
        await peer.send(other, message(b"y"))
        await peer.until(lambda: peer.answers[other].ended)
    assert [await serving.echo.ends.get() for _ in range(2)] == ["cancelled", "done"]


async def test_lost_connection_cancels_its_calls(serving: Serving) -> None:
    async with serving.peer() as peer:
        stream = peer.open()
        await peer.send(stream, message(b"x", end=False))
        await peer.until(lambda: bool(peer.answers[stream].data))
    assert await asyncio.wait_for(serving.echo.ends.get(), PATIENCE_S) == "cancelled"


async def test_draining_lets_running_calls_finish(serving: Serving) -> None:
    async with serving.peer() as peer:
        stream = peer.open()
        await peer.send(stream, message(b"x", end=False))
        await peer.until(lambda: bool(peer.answers[stream].data))
        stopping = asyncio.ensure_future(serving.server.stop(PATIENCE_S))
        await peer.until(lambda: peer.goaway is not None)
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            await asyncio.open_unix_connection(str(serving.socket))
        # h2 sends nothing after GOAWAY: by hand.
        peer.writer.write(frames.frame(frames.DATA, 0, stream, message(b"y")))
        rest = await peer.reader.read()
        await stopping
    assert b"y" in rest
    assert await serving.echo.ends.get() == "done"


async def test_draining_ends_at_its_grace_period(serving: Serving) -> None:
    async with serving.peer() as peer:
        stream = peer.open()
        await peer.send(stream, message(b"x", end=False))
        await peer.until(lambda: bool(peer.answers[stream].data))
        await serving.server.stop(0.1)
        await peer.reader.read()
    assert await asyncio.wait_for(serving.echo.ends.get(), PATIENCE_S) == "cancelled"


async def test_aborts_when_the_peer_ends_early(serving: Serving) -> None:
    """Envoy would take a clean end for consent."""

    async def abort(stream: Stream) -> None:
        await stream.abort(grpc.StatusCode.FAILED_PRECONDITION, "no")

    serving.echo.answering = abort
    async with serving.peer() as peer:
        stream = peer.open()
        await peer.until(lambda: peer.answers[stream].ended)
    assert (peer.answers[stream].headers["grpc-status"], peer.answers[stream].headers["grpc-message"]) == ("9", "no")


async def test_exception_in_a_call_ends_that_call_alone(serving: Serving) -> None:
    async def fail(_stream: Stream) -> None:
        raise ValueError("secret")

    async with serving.peer() as peer:
        serving.echo.answering = fail
        stream = peer.open()
        await peer.until(lambda: peer.answers[stream].ended)
        serving.echo.answering = None
        other = peer.open()
        await peer.send(other, message(b"y"))
        await peer.until(lambda: peer.answers[other].ended)
    assert peer.answers[stream].headers["grpc-status"] == "13"
    assert "secret" not in str(peer.answers[stream].headers)


@pytest.mark.parametrize(
    ("sent", "code"),
    [(b"\x01\x00\x00\x00\x01x", "12"), (b"\x00\xff\xff\xff\xff", "8"), (framed(b"\xff\xff"), "13")],
)
async def test_unacceptable_message_ends_its_call(serving: Serving, sent: bytes, code: str) -> None:
    async with serving.peer() as peer:
        stream = peer.open()
        await peer.send(stream, sent)
        await peer.until(lambda: peer.answers[stream].ended)
    assert peer.answers[stream].headers["grpc-status"] == code


async def test_reads_headers_from_continuation_frames(serving: Serving) -> None:
    block = hpack.Encoder().encode([*HEADERS, ("long", "x" * 300)])
    pieces = [block[start : start + 40] for start in range(0, len(block), 40)]
    kinds = [frames.HEADERS, *[frames.CONTINUATION] * (len(pieces) - 1)]
    flags = [*[0] * (len(pieces) - 1), frames.END_HEADERS]
    opened_ = b"".join(
        frames.frame(kind, flag, 1, piece) for kind, flag, piece in zip(kinds, flags, pieces, strict=True)
    )
    async with serving.peer() as peer:
        peer.writer.write(peer.out() + opened_ + frames.frame(frames.DATA, frames.END_STREAM, 1, message(b"x")))
        assert await asyncio.wait_for(serving.echo.ends.get(), PATIENCE_S) == "done"
    assert serving.echo.seen[0]["long"] == "x" * 300


async def test_indexed_headers_follow_the_current_table(serving: Serving) -> None:
    """Headers that are remembered by their bytes must not outlive a change of the table."""
    async with serving.peer() as peer:
        for client in ("1", "1", "1", "2", "2", "1", "3", "1"):
            stream = peer.open((*HEADERS, ("x-archgw-client", client)))
            await peer.send(stream, message(b"x"))
            await peer.until(partial(ended, peer.answers[stream]))
    assert [seen["x-archgw-client"] for seen in serving.echo.seen] == ["1", "1", "1", "2", "2", "1", "3", "1"]


def test_cached_block_is_decoded_again_after_a_table_change() -> None:
    """Both blocks of indices have the same bytes: 63 is the path, 62 the client, whose value has changed."""

    def literals(client: bytes) -> bytes:
        """Returns literals that are added to the table."""
        path = PROCESS.encode()
        return b"\x40\x05:path" + bytes([len(path)]) + path + b"\x40\x06client" + bytes([len(client)]) + client

    decoder = Decoder()
    for client in (b"1", b"2"):
        decoder.decode(literals(client))
        for _ in range(2):
            call_ = decoder.decode(b"\x83\xbf\xbe")
            assert (call_.path, call_.metadata) == (PROCESS, {"client": client.decode()})


def ended(answer: Answer) -> bool:
    return answer.ended


def opening(*after: bytes) -> bytes:
    return frames.PREFACE + frames.settings(()) + b"".join(after)


def call(stream: int, headers: Sequence[tuple[str, str]] = HEADERS, flags: int = frames.END_HEADERS) -> bytes:
    return frames.frame(frames.HEADERS, flags, stream, hpack.Encoder().encode(headers))


BROKEN = {
    "no preface": (b"GET / HTTP/1.1\r\n\r\n", frames.PROTOCOL_ERROR),
    "a frame that is too long": (opening(b"\x7f\xff\xff\x00\x00\x00\x00\x00\x01"), frames.FRAME_SIZE_ERROR),
    "data on no stream": (opening(frames.frame(frames.DATA, 0, 0, b"x")), frames.PROTOCOL_ERROR),
    "data on a stream never opened": (opening(frames.frame(frames.DATA, 0, 5, b"x")), frames.PROTOCOL_ERROR),
    "a reset of a stream never opened": (opening(frames.rst_stream(3, 0)), frames.PROTOCOL_ERROR),
    "a stream of the server's": (opening(call(2)), frames.PROTOCOL_ERROR),
    "headers that are no HPACK": (
        opening(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff" * 20)),
        frames.COMPRESSION_ERROR,
    ),
    "headers without end": (
        opening(
            frames.frame(frames.HEADERS, 0, 1, bytes(16_000)),
            *(frames.frame(frames.CONTINUATION, 0, 1, bytes(16_000)) for _ in range(5)),
        ),
        frames.ENHANCE_YOUR_CALM,
    ),
    "something amid headers": (
        opening(frames.frame(frames.HEADERS, 0, 1, b"\x88"), frames.frame(frames.PING, 0, 0, bytes(8))),
        frames.PROTOCOL_ERROR,
    ),
    "the rest of nothing": (opening(frames.frame(frames.CONTINUATION, 0, 1, b"\x88")), frames.PROTOCOL_ERROR),
    "the rest on another stream": (
        opening(frames.frame(frames.HEADERS, 0, 1, b"\x88"), frames.frame(frames.CONTINUATION, 0, 3, b"\x88")),
        frames.PROTOCOL_ERROR,
    ),
    "headers twice": (opening(call(1), call(1)), frames.PROTOCOL_ERROR),
    "more padding than payload": (
        opening(call(1), frames.frame(frames.DATA, frames.PADDED, 1, b"\x09x")),
        frames.PROTOCOL_ERROR,
    ),
    "a window that grows by nothing": (opening(frames.window_update(0, 0)), frames.PROTOCOL_ERROR),
    "a window that is too large": (
        opening(frames.window_update(0, frames.LARGEST_WINDOW)),
        frames.FLOW_CONTROL_ERROR,
    ),
    "a stream's window that is too large": (
        opening(call(1), frames.window_update(1, frames.LARGEST_WINDOW)),
        frames.FLOW_CONTROL_ERROR,
    ),
    "an initial window that is too large": (
        opening(frames.settings(((frames.INITIAL_WINDOW_SIZE, 1 << 31),))),
        frames.FLOW_CONTROL_ERROR,
    ),
    "frames that are too small": (opening(frames.settings(((frames.MAX_FRAME_SIZE, 5),))), frames.PROTOCOL_ERROR),
    "settings of a wrong length": (opening(frames.frame(frames.SETTINGS, 0, 0, b"x")), frames.FRAME_SIZE_ERROR),
    "settings on a stream": (opening(frames.frame(frames.SETTINGS, 0, 1)), frames.PROTOCOL_ERROR),
    "a short ping": (opening(frames.frame(frames.PING, 0, 0, b"x")), frames.FRAME_SIZE_ERROR),
    "a short reset": (opening(call(1), frames.frame(frames.RST_STREAM, 0, 1, b"x")), frames.FRAME_SIZE_ERROR),
    "a promise": (opening(frames.frame(frames.PUSH_PROMISE, 0, 1, bytes(4))), frames.PROTOCOL_ERROR),
    "more data than the window": (
        opening(call(1), *(frames.frame(frames.DATA, 0, 1, framed(bytes(200_000))) for _ in range(6))),
        frames.FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize(("sent", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_protocol_error_ends_the_connection_with_its_code(serving: Serving, sent: bytes, code: int) -> None:
    async def wait(stream: Stream) -> None:
        await asyncio.Event().wait()

    serving.echo.answering = wait
    answer = await serving.raw(sent)
    assert [each for each in parsed(answer) if each[1] == frames.GOAWAY][-1][3][4:8] == code.to_bytes(4, "big")


def parsed(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Flags, type, stream and payload of each frame."""
    at = 0
    while at < len(data):
        size, kind, flags, stream = frames.read_head(data, at)
        yield flags, kind, stream, data[at + frames.HEAD_BYTES : at + frames.HEAD_BYTES + size]
        at += frames.HEAD_BYTES + size


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 6), st.binary(max_size=60))))
def test_server_survives_random_frames(tmp_path: Path, sent: list[tuple[int, int, int, bytes]]) -> None:
    """The connection may end, and the next one is served."""

    async def run() -> None:
        async with opened(tmp_path / "s") as serving:
            _, writer = await asyncio.open_unix_connection(str(serving.socket))
            writer.write(opening(call(1), *(frames.frame(*each) for each in sent)))
            writer.write_eof()
            async with serving.peer() as peer:
                stream = peer.open()
                await peer.send(stream, message(b"x"))
                await peer.until(lambda: peer.answers[stream].ended)
                assert peer.answers[stream].bodies == [b"x"]
            writer.close()

    uvloop.run(run())
    (tmp_path / "s").unlink(missing_ok=True)


async def test_memory_is_bounded_for_a_peer_that_never_reads(serving: Serving) -> None:
    """Responses to pings fill the kernel's buffers and a little more. Then the server stops reading."""
    client = sockets.socket(sockets.AF_UNIX)
    client.connect(str(serving.socket))
    client.setblocking(False)
    pings = opening() + frames.frame(frames.PING, 0, 0, bytes(8)) * 1000
    taken = 0
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            while taken < 64 << 20:
                await loop.sock_sendall(client, pings if not taken else pings[len(opening()) :])
                taken += len(pings)
    client.close()
    assert taken < 8 << 20


async def test_grpcio_client_is_served(serving: Serving) -> None:
    async with grpc.aio.insecure_channel(f"unix:{serving.socket}") as channel:
        stub: Any = external_processor_pb2_grpc.ExternalProcessorStub(channel)

        async def one(index: int) -> list[bytes]:
            call_ = stub.Process(metadata=(("x-archgw-listener", str(index)),))
            for end in (False, True):
                body = HttpBody(body=b"%d" % index * 1000, end_of_stream=end)
                await call_.write(ProcessingRequest(request_body=body))
            return [each.request_body.response.body_mutation.streamed_response.body async for each in call_]

        answers = await asyncio.gather(*(one(index) for index in range(200)))
    assert answers == [[b"%d" % index * 1000] * 2 for index in range(200)]
