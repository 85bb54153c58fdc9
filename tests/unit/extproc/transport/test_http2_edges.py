"""Limits and rarer frames of the HTTP/2 server. The peer sends and reads frames by hand, so it also breaks rules."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import hpack
import pytest
from envoy.service.ext_proc.v3.external_processor_pb2 import HttpBody, ProcessingRequest, ProcessingResponse

from extproc.transport.http2 import frames
from extproc.transport.http2.call import RECEIVE_WINDOW
from extproc.transport.http2.messages import framed
from extproc.transport.http2.server import Http2Server
from extproc.transport.service import PROCESS, ProtocolError, Service, Stream

TIMEOUT_S = 20.0
HEADERS = ((":method", "POST"), (":path", PROCESS), (":scheme", "http"), ("te", "trailers"))


def message(body: bytes) -> bytes:
    """Returns a gRPC message that holds a request body."""
    return framed(ProcessingRequest(request_body=HttpBody(body=body)).SerializeToString())


def response(body: bytes) -> ProcessingResponse:
    answer = ProcessingResponse()
    answer.request_body.response.body_mutation.streamed_response.body = body
    return answer


def headers_frame(
    stream: int,
    flags: int = frames.END_HEADERS,
    headers: Sequence[tuple[str, str]] = HEADERS,
    *,
    prefix: bytes = b"",
    suffix: bytes = b"",
) -> bytes:
    """Returns a HEADERS frame. `prefix` and `suffix` are its padding and priority."""
    return frames.frame(frames.HEADERS, flags, stream, prefix + hpack.Encoder().encode(headers) + suffix)


def data_frame(stream: int, data: bytes, flags: int = 0) -> bytes:
    return frames.frame(frames.DATA, flags, stream, data)


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass
class Peer:
    """A client. `frames` are all frames that it received."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: list[Frame] = field(default_factory=list)

    def send(self, *sent: bytes) -> None:
        self.writer.write(b"".join(sent))

    async def receive(self) -> Frame:
        """Returns the next frame. Raises `IncompleteReadError` at the end of the connection."""
        async with asyncio.timeout(TIMEOUT_S):
            head = await self.reader.readexactly(frames.HEAD_BYTES)
            size, kind, flags, stream = frames.read_head(head, 0)
            found = Frame(kind, flags, stream, await self.reader.readexactly(size))
        self.frames.append(found)
        return found

    async def until(self, kind: int, stream: int = 0) -> Frame:
        """Returns the next frame of this kind on this stream."""
        while True:
            found = await self.receive()
            if (found.kind, found.stream) == (kind, stream):
                return found

    async def ping(self) -> None:
        """Returns when the server has handled everything that was sent before."""
        self.send(frames.frame(frames.PING, 0, 0, b"edgetest"))
        while (await self.until(frames.PING)).payload != b"edgetest":
            pass

    async def goaway(self) -> Frame:
        """Returns the GOAWAY after which the server closes the connection."""
        with suppress(asyncio.IncompleteReadError):
            while True:
                await self.receive()
        return [each for each in self.frames if each.kind == frames.GOAWAY][-1]

    def data(self, stream: int) -> bytes:
        return b"".join(self.payloads(stream))

    def payloads(self, stream: int) -> list[bytes]:
        return [each.payload for each in self.frames if (each.kind, each.stream) == (frames.DATA, stream)]

    def credit(self, stream: int) -> int:
        """Returns by how many bytes the server has widened the window of `stream`."""
        updates = [each for each in self.frames if (each.kind, each.stream) == (frames.WINDOW_UPDATE, stream)]
        return sum(int.from_bytes(each.payload, "big") for each in updates)


@dataclass
class Handler:
    """Runs `process` for each call. `metadata` and `ended` record the calls."""

    process: Callable[[Stream], Awaitable[None]]
    metadata: list[dict[str, str]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def __call__(self, stream: Stream) -> None:
        self.metadata.append(dict(stream.metadata))
        try:
            await self.process(stream)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("done")


async def wait_forever(_: Stream) -> None:
    await asyncio.Event().wait()


async def echo_once(stream: Stream) -> None:
    body = (await stream.read("request_body")).request_body.body
    await stream.send(response(body))


@pytest.fixture
def handler() -> Handler:
    return Handler(echo_once)


@pytest.fixture
async def server(tmp_path: Path, handler: Handler) -> AsyncIterator[Http2Server]:
    server = Http2Server(Service(handler, {}))
    await server.start(tmp_path / "s")
    yield server
    await server.stop(0)


@pytest.fixture
async def peer(tmp_path: Path, server: Http2Server) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"), limit=1 << 24)
    peer = Peer(reader, writer)
    peer.send(frames.PREFACE, frames.settings(()))
    yield peer
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def code(goaway: Frame) -> int:
    return int.from_bytes(goaway.payload[4:8], "big")


async def test_the_server_announces_its_limits_first(peer: Peer) -> None:
    first = await peer.receive()
    assert (first.kind, first.flags, first.stream) == (frames.SETTINGS, 0, 0)
    announced = dict(frames.read_settings(first.payload))
    assert announced[frames.INITIAL_WINDOW_SIZE] == RECEIVE_WINDOW
    assert announced[frames.MAX_FRAME_SIZE] == 256 << 10
    await peer.ping()
    assert frames.DEFAULT_WINDOW + peer.credit(0) == 1 << 30


@pytest.mark.parametrize(
    ("flags", "prefix", "suffix"),
    [
        (frames.PADDED, b"\x03", bytes(3)),
        (frames.WITH_PRIORITY, bytes(5), b""),
        (frames.PADDED | frames.WITH_PRIORITY, b"\x03" + bytes(5), bytes(3)),
    ],
)
async def test_padding_and_priority_are_no_part_of_the_headers(
    peer: Peer, handler: Handler, flags: int, prefix: bytes, suffix: bytes
) -> None:
    headers = (*HEADERS, ("x-archgw-client", "10.0.0.1"))
    peer.send(headers_frame(1, flags | frames.END_HEADERS, headers, prefix=prefix, suffix=suffix))
    peer.send(data_frame(1, message(b"x")))
    await peer.until(frames.DATA, 1)
    assert handler.metadata[0]["x-archgw-client"] == "10.0.0.1"


async def test_a_call_may_end_with_its_headers(peer: Peer, handler: Handler) -> None:
    peer.send(headers_frame(1, frames.END_HEADERS | frames.END_STREAM))
    # The stream ended before the message that the call reads: an error, and no reset of an ended stream.
    trailers = await peer.until(frames.HEADERS, 1)
    assert trailers.flags & frames.END_STREAM
    await peer.ping()
    assert [each for each in peer.frames if each.kind == frames.RST_STREAM] == []


async def test_a_call_may_end_with_trailers(peer: Peer, handler: Handler) -> None:
    peer.send(headers_frame(1), data_frame(1, message(b"x")))
    peer.send(headers_frame(1, frames.END_HEADERS | frames.END_STREAM, (("x-end", "1"),)))
    await peer.until(frames.HEADERS, 1)
    await peer.until(frames.HEADERS, 1)
    await peer.ping()
    assert [each for each in peer.frames if each.kind == frames.RST_STREAM] == []
    assert handler.ended == ["done"]


async def test_frame_is_no_larger_than_the_peer_accepts(peer: Peer) -> None:
    body = bytes(50_000)
    peer.send(headers_frame(1), data_frame(1, message(body)))
    await peer.until(frames.RST_STREAM, 1)
    sizes = [len(each) for each in peer.payloads(1)]
    assert (max(sizes), len(sizes)) == (frames.DEFAULT_FRAME_BYTES, 4)
    peer.send(frames.settings(((frames.MAX_FRAME_SIZE, 100_000),)), frames.window_update(0, 1 << 20))
    peer.send(headers_frame(3), data_frame(3, message(body)))
    await peer.until(frames.RST_STREAM, 3)
    assert [len(each) for each in peer.payloads(3)] == [len(framed(response(body).SerializeToString()))]


@pytest.mark.parametrize("size", [frames.DEFAULT_FRAME_BYTES, frames.LARGEST_FRAME_BYTES])
async def test_the_smallest_and_the_largest_frame_size_are_allowed(peer: Peer, size: int) -> None:
    peer.send(frames.settings(((frames.MAX_FRAME_SIZE, size),)))
    await peer.ping()
    assert frames.GOAWAY not in {each.kind for each in peer.frames}


@pytest.mark.parametrize("size", [frames.DEFAULT_FRAME_BYTES - 1, frames.LARGEST_FRAME_BYTES + 1])
async def test_other_frame_sizes_are_an_error(peer: Peer, size: int) -> None:
    peer.send(frames.settings(((frames.MAX_FRAME_SIZE, size),)))
    assert code(await peer.goaway()) == frames.PROTOCOL_ERROR


async def test_windows_may_be_as_large_as_the_protocol_allows(peer: Peer, handler: Handler) -> None:
    handler.process = wait_forever
    peer.send(frames.window_update(0, frames.LARGEST_WINDOW - frames.DEFAULT_WINDOW), headers_frame(1))
    peer.send(frames.window_update(1, frames.LARGEST_WINDOW - frames.DEFAULT_WINDOW))
    await peer.ping()
    peer.send(frames.window_update(1, 1))
    assert code(await peer.goaway()) == frames.FLOW_CONTROL_ERROR


async def test_settings_may_widen_windows_as_far_as_the_protocol_allows(peer: Peer, handler: Handler) -> None:
    handler.process = wait_forever
    peer.send(headers_frame(1), frames.settings(((frames.INITIAL_WINDOW_SIZE, frames.LARGEST_WINDOW),)))
    await peer.ping()
    peer.send(frames.window_update(1, 1))
    assert code(await peer.goaway()) == frames.FLOW_CONTROL_ERROR


async def test_a_frame_of_the_announced_size_is_taken_and_a_longer_one_is_an_error(peer: Peer) -> None:
    limit = 256 << 10
    # A DATA frame of an ended stream is ignored.
    peer.send(headers_frame(1), frames.rst_stream(1, frames.CANCEL), data_frame(1, bytes(limit)))
    await peer.ping()
    # The head alone: the server does not wait for the rest.
    peer.send(data_frame(1, bytes(limit + 1))[: frames.HEAD_BYTES])
    assert code(await peer.goaway()) == frames.FRAME_SIZE_ERROR


async def test_ping_acknowledgment_gets_no_answer(peer: Peer) -> None:
    peer.send(frames.frame(frames.PING, frames.ACK, 0, bytes(8)))
    await peer.ping()
    assert [each.payload for each in peer.frames if each.kind == frames.PING] == [b"edgetest"]


async def test_settings_are_acknowledged_and_acknowledgments_are_not(peer: Peer) -> None:
    await peer.ping()
    peer.send(frames.frame(frames.SETTINGS, frames.ACK, 0))
    await peer.ping()
    acks = [each for each in peer.frames if (each.kind, each.flags) == (frames.SETTINGS, frames.ACK)]
    assert len(acks) == 1


async def test_goaway_names_the_last_stream_and_the_reason(peer: Peer, handler: Handler) -> None:
    handler.process = wait_forever
    peer.send(headers_frame(1), headers_frame(5), frames.frame(frames.PING, 0, 0, b"short"))
    goaway = await peer.goaway()
    assert goaway.payload[:4] == (5).to_bytes(4, "big")
    assert b"PING" in goaway.payload[8:]
    assert handler.ended == ["cancelled"] * 2


async def test_draining_is_announced_without_refusing_streams_that_are_on_their_way(
    peer: Peer, server: Http2Server, handler: Handler
) -> None:
    await peer.ping()
    peer.send(headers_frame(1))
    await peer.ping()
    stopping = asyncio.create_task(server.stop(TIMEOUT_S))
    goaway = await peer.until(frames.GOAWAY)
    assert goaway.payload[:8] == frames.LARGEST_STREAM.to_bytes(4, "big") + frames.NO_ERROR.to_bytes(4, "big")
    peer.send(headers_frame(3), data_frame(3, message(b"late")), data_frame(1, message(b"x")))
    await asyncio.wait_for(stopping, TIMEOUT_S / 2)
    assert handler.ended == ["done"] * 2


async def test_draining_an_idle_connection_ends_at_once(peer: Peer, server: Http2Server) -> None:
    await peer.ping()
    async with asyncio.timeout(TIMEOUT_S / 2):
        await server.stop(TIMEOUT_S)
    assert code(await peer.goaway()) == frames.NO_ERROR


async def test_more_streams_than_announced_are_refused(
    peer: Peer, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extproc.transport.http2.connection.MAX_STREAMS", 2)
    handler.process = wait_forever
    peer.send(headers_frame(1), headers_frame(3), headers_frame(5))
    reset = await peer.until(frames.RST_STREAM, 5)
    assert reset.payload == frames.REFUSED_STREAM.to_bytes(4, "big")
    peer.send(frames.rst_stream(1, frames.CANCEL), headers_frame(7))
    await peer.ping()
    assert len(handler.metadata) == 3
    assert handler.ended == ["cancelled"]


async def test_connection_window_is_replenished_when_half_is_used(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extproc.transport.http2.connection._WINDOW", 1 << 20)
    peer.send(headers_frame(1), frames.rst_stream(1, frames.CANCEL))
    await peer.ping()
    announced = peer.credit(0)
    for given_back in (0, 1 << 19, 1 << 19, 1 << 20):
        peer.send(data_frame(1, bytes(256 << 10)))
        await peer.ping()
        assert peer.credit(0) == announced + given_back


async def test_stream_window_is_replenished_as_messages_are_read(peer: Peer, handler: Handler) -> None:
    read = asyncio.Event()

    async def read_one(stream: Stream) -> None:
        await read.wait()
        await stream.read("request_body")
        await wait_forever(stream)

    handler.process = read_one
    sent = message(bytes(RECEIVE_WINDOW // 2))
    peer.send(headers_frame(1))
    for start in range(0, len(sent), 200_000):
        peer.send(data_frame(1, sent[start : start + 200_000]))
    await peer.ping()
    assert peer.credit(1) in range(0, len(sent))
    credited = peer.credit(1)
    read.set()
    while peer.credit(1) == credited:
        await peer.until(frames.WINDOW_UPDATE, 1)
    assert peer.credit(1) == len(sent)


async def test_an_aborted_call_ends_once_and_sends_nothing_more(peer: Peer, handler: Handler) -> None:
    errors: list[ProtocolError] = []

    async def abort(stream: Stream) -> None:
        await stream.abort(grpc.StatusCode.ABORTED, "first")
        await stream.abort(grpc.StatusCode.INTERNAL, "second")
        try:
            await stream.send(response(b"x"))
        except ProtocolError as error:
            errors.append(error)

    handler.process = abort
    peer.send(headers_frame(1))
    await peer.until(frames.RST_STREAM, 1)
    await peer.ping()
    ends = [each for each in peer.frames if each.stream == 1]
    assert [each.kind for each in ends] == [frames.HEADERS, frames.RST_STREAM]
    assert b"first" in ends[0].payload
    assert len(errors) == 1


async def test_response_headers_are_sent_once(peer: Peer, handler: Handler) -> None:
    async def send_twice(stream: Stream) -> None:
        await stream.send(response(b"a"))
        await stream.send(response(b"b"))

    handler.process = send_twice
    peer.send(headers_frame(1))
    await peer.until(frames.RST_STREAM, 1)
    kinds = [each.kind for each in peer.frames if each.stream == 1]
    assert kinds == [frames.HEADERS, frames.DATA, frames.DATA, frames.HEADERS, frames.RST_STREAM]


async def test_messages_that_arrived_before_the_end_are_read(peer: Peer, handler: Handler) -> None:
    read = asyncio.Event()

    async def late(stream: Stream) -> None:
        await read.wait()
        await echo_once(stream)
        await echo_once(stream)
        await echo_once(stream)

    handler.process = late
    peer.send(headers_frame(1), data_frame(1, message(b"a") + message(b"b"), frames.END_STREAM))
    await peer.ping()
    read.set()
    await peer.until(frames.HEADERS, 1)
    trailers = await peer.until(frames.HEADERS, 1)
    assert (peer.data(1).count(b"a"), peer.data(1).count(b"b")) == (1, 1)
    # The third message does not come: the handler raises `ProtocolError`.
    assert b"grpc-status" in trailers.payload
    assert handler.ended == []


async def test_unread_messages_can_fill_the_stream_window_completely(peer: Peer, handler: Handler) -> None:
    handler.process = wait_forever
    peer.send(headers_frame(1))
    count = 16
    for _ in range(count):
        peer.send(data_frame(1, framed(bytes(RECEIVE_WINDOW // count - len(framed(b""))))))
    await peer.ping()
    assert peer.credit(1) == 0
    peer.send(data_frame(1, b"x"))
    assert code(await peer.goaway()) == frames.FLOW_CONTROL_ERROR


async def test_the_window_of_a_stream_that_the_peer_has_ended_is_not_widened(peer: Peer, handler: Handler) -> None:
    ended = asyncio.Event()

    async def read_all(stream: Stream) -> None:
        await ended.wait()
        for _ in range(12):
            await stream.read("request_body")

    handler.process = read_all
    each = message(bytes(RECEIVE_WINDOW // 16))
    peer.send(headers_frame(1), *(data_frame(1, each) for _ in range(11)))
    peer.send(data_frame(1, each, frames.END_STREAM))
    await peer.ping()
    ended.set()
    await peer.until(frames.HEADERS, 1)
    await peer.ping()
    assert peer.credit(1) == 0


async def test_draining_does_not_wait_for_a_connection_that_is_lost(
    peer: Peer, server: Http2Server, handler: Handler
) -> None:
    handler.process = wait_forever
    peer.send(headers_frame(1))
    await peer.ping()
    stopping = asyncio.create_task(server.stop(TIMEOUT_S))
    await peer.until(frames.GOAWAY)
    peer.writer.close()
    await asyncio.wait_for(stopping, TIMEOUT_S / 2)
    assert handler.ended == ["cancelled"]


def test_frame_types_flags_settings_and_errors_are_those_of_rfc_9113() -> None:
    assert frames.PREFACE == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    types = (frames.DATA, frames.HEADERS, frames.RST_STREAM, frames.SETTINGS, frames.PUSH_PROMISE, frames.PING)
    assert (*types, frames.GOAWAY, frames.WINDOW_UPDATE, frames.CONTINUATION) == (0, 1, 3, 4, 5, 6, 7, 8, 9)
    flags = (frames.ACK, frames.END_STREAM, frames.END_HEADERS, frames.PADDED, frames.WITH_PRIORITY)
    assert flags == (0x1, 0x1, 0x4, 0x8, 0x20)
    settings = (frames.MAX_CONCURRENT_STREAMS, frames.INITIAL_WINDOW_SIZE, frames.MAX_FRAME_SIZE)
    assert (*settings, frames.MAX_HEADER_LIST_SIZE) == (3, 4, 5, 6)
    errors = (frames.NO_ERROR, frames.PROTOCOL_ERROR, frames.FLOW_CONTROL_ERROR, frames.FRAME_SIZE_ERROR)
    assert errors == (0, 1, 3, 6)
    errors = (frames.REFUSED_STREAM, frames.CANCEL, frames.COMPRESSION_ERROR, frames.ENHANCE_YOUR_CALM)
    assert errors == (7, 8, 9, 11)
    assert (frames.DEFAULT_WINDOW, frames.DEFAULT_FRAME_BYTES) == (65_535, 16_384)
    assert (frames.LARGEST_WINDOW, frames.LARGEST_FRAME_BYTES) == (2_147_483_647, 16_777_215)
    assert frames.LARGEST_STREAM == 2_147_483_647


def test_the_head_of_a_frame_has_the_bytes_of_rfc_9113() -> None:
    frame = frames.frame(frames.DATA, frames.END_STREAM, 0x01020304, bytes(0x010203))
    assert frame[: frames.HEAD_BYTES] == bytes.fromhex("010203 00 01 01020304")
    # The reserved bit of the stream is ignored.
    assert frames.read_head(b"??" + bytes.fromhex("010203 04 05 86070809"), 2) == (0x010203, 4, 5, 0x06070809)
    assert frames.settings([(3, 5), (4, 6)])[frames.HEAD_BYTES :] == bytes.fromhex("0003 00000005 0004 00000006")
    assert frames.goaway(1, 2, "why")[frames.HEAD_BYTES :] == bytes.fromhex("00000001 00000002") + b"why"
    assert frames.rst_stream(3, 8) == bytes.fromhex("000004 03 00 00000003 00000008")
    assert frames.window_update(3, 8) == bytes.fromhex("000004 08 00 00000003 00000008")


@pytest.mark.parametrize(
    ("flags", "payload", "content"),
    [
        (0, b"abc", b"abc"),
        (frames.PADDED, b"\x01abc", b"ab"),
        (frames.PADDED, b"\x03abc", b""),
        (frames.PADDED, b"\x00abc", b"abc"),
        (frames.WITH_PRIORITY, b"12345", b""),
        (frames.WITH_PRIORITY, b"12345abc", b"abc"),
        (frames.PADDED | frames.WITH_PRIORITY, b"\x0212345abc", b"a"),
    ],
)
def test_padding_and_priority_are_removed_from_a_payload(flags: int, payload: bytes, content: bytes) -> None:
    assert frames.content(payload, flags) == content


@pytest.mark.parametrize(
    ("flags", "payload"),
    [
        (frames.PADDED, b""),
        (frames.PADDED, b"\x04abc"),
        (frames.WITH_PRIORITY, b"1234"),
        (frames.PADDED | frames.WITH_PRIORITY, b"\x0112345"),
    ],
)
def test_padding_and_priority_that_exceed_the_payload_are_an_error(flags: int, payload: bytes) -> None:
    with pytest.raises(frames.Http2Error) as caught:
        frames.content(payload, flags)
    assert caught.value.code == frames.PROTOCOL_ERROR


async def test_a_peer_that_reads_again_is_read_again(tmp_path: Path, server: Http2Server) -> None:
    loop = asyncio.get_running_loop()
    client = sockets.socket(sockets.AF_UNIX)
    client.connect(str(tmp_path / "s"))
    client.setblocking(False)
    sent = frames.PREFACE + frames.settings(()) + frames.frame(frames.PING, 0, 0, bytes(8)) * 100_000
    sending = asyncio.create_task(loop.sock_sendall(client, sent + frames.frame(frames.PING, 0, 0, b"the last")))
    # The server stops reading before it has read all.
    done, _ = await asyncio.wait({sending}, timeout=0.2)
    assert not done
    received = b""
    async with asyncio.timeout(TIMEOUT_S):
        while not received.endswith(frames.frame(frames.PING, frames.ACK, 0, b"the last")):
            received += await loop.sock_recv(client, 1 << 20)
        await sending
    client.close()
