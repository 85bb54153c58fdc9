"""The answer of a mock server: its content, and faults of the transfer."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web

from tests.support.received import Outcome

# 16 + MAX_WBITS makes zlib write the gzip container.
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The default is a quick and correct answer. Each field changes one property; fields can be combined.

    Delays are in seconds. `cut_at` is the part of the body, 0.0 to 1.0, after which the connection is closed; 0.0
    closes it before the status line.
    """

    status: int = 200
    # Text of the answer; None lets the server choose.
    text: str | None = None
    # The body itself, sent as it is under `content_type`.
    raw: str | None = None
    content_type: str | None = None
    headers: dict[str, str] = {}
    first_byte_delay: float = 0.0
    chunk_delay: float = 0.0
    cut_at: float | None = None
    gzip: bool = False
    # Size of each write. It may split an event or a UTF-8 character.
    piece_bytes: int | None = None
    never: bool = False
    # The last write waits for `MockServer.release`.
    waits_for_release: bool = False


NORMAL: Final = Behaviour()
MALFORMED_JSON: Final = Behaviour(raw='{"choices": [{"message": ', content_type="application/json")
NEVER: Final = Behaviour(never=True)
WAITS_FOR_RELEASE: Final = Behaviour(waits_for_release=True)
CUT_BEFORE_ANSWER: Final = Behaviour(cut_at=0.0)
CUT_HALFWAY: Final = Behaviour(cut_at=0.5)


@dataclass(frozen=True, slots=True)
class Answer:
    """A correct body: one piece for JSON, one piece per event for a stream."""

    content_type: str
    pieces: tuple[bytes, ...]
    streamed: bool = False


def _gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compresses each piece so that it can be decompressed on arrival, as streaming servers do."""
    compressor = zlib.compressobj(wbits=_GZIP_WBITS)
    for piece in pieces:
        yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


def _pieces(answer: Answer, behaviour: Behaviour) -> list[bytes]:
    pieces = list(_gzipped(answer.pieces)) if behaviour.gzip else list(answer.pieces)
    if behaviour.piece_bytes is not None:
        whole = b"".join(pieces)
        step = behaviour.piece_bytes
        pieces = [whole[start : start + step] for start in range(0, len(whole), step)]
    return pieces


def _kept(pieces: list[bytes], part: float) -> list[bytes]:
    """Returns the first `part` of the bytes, never all of them."""
    left = min(int(sum(map(len, pieces)) * part), sum(map(len, pieces)) - 1)
    kept: list[bytes] = []
    for piece in pieces:
        kept.append(piece[:left])
        left -= len(kept[-1])
        if left <= 0:
            break
    return kept


async def deliver(
    request: web.Request, answer: Answer, behaviour: Behaviour, released: asyncio.Event
) -> tuple[web.StreamResponse, Outcome]:
    """Sends `answer` with the faults of `behaviour`. Raises `CancelledError` if the client disconnects."""
    if behaviour.never:
        await asyncio.Event().wait()
    await asyncio.sleep(behaviour.first_byte_delay)
    transport = request.transport
    if behaviour.cut_at == 0.0:
        if transport is not None:
            transport.close()
        return web.Response(), Outcome.CUT

    pieces = _pieces(answer, behaviour)
    response = web.StreamResponse(status=behaviour.status, headers=behaviour.headers)
    response.content_type = answer.content_type
    if behaviour.gzip:
        response.headers["content-encoding"] = "gzip"
    if answer.streamed:
        response.headers["cache-control"] = "no-cache"
        response.enable_chunked_encoding()
    else:
        response.content_length = sum(map(len, pieces))
    await response.prepare(request)
    cut = behaviour.cut_at is not None
    for number, piece in enumerate(_kept(pieces, behaviour.cut_at) if behaviour.cut_at is not None else pieces):
        if number:
            await asyncio.sleep(behaviour.chunk_delay)
        if behaviour.waits_for_release and number == len(pieces) - 1:
            await released.wait()
        await response.write(piece)
    if cut:
        # close() sends what is buffered first: the peer gets this part of the body and then the end of the connection.
        if transport is not None:
            transport.close()
        return response, Outcome.CUT
    await response.write_eof()
    return response, Outcome.ANSWERED
