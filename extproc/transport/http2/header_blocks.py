"""Decodes the header block of a call, and encodes those of the response (HPACK).

https://www.rfc-editor.org/rfc/rfc7541
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import hpack
import hpack.hpack

from extproc.transport.http2.frames import COMPRESSION_ERROR, Http2Error

MAX_BYTES: Final = 64 << 10

# Envoy repeats the same block for each request of a listener and client, once its table holds their headers.
_CACHED_BLOCKS: Final = 256
# The first bit of a field that is an index alone.
_INDEXED: Final = 0x80


@dataclass(frozen=True, slots=True)
class CallHeaders:
    """The method of a gRPC call and its metadata."""

    path: str
    metadata: Mapping[str, str]


class Decoder:
    """Decodes the header blocks of one connection in their order: each may change the table for the next one."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=MAX_BYTES)
        self._cache: dict[bytes, CallHeaders] = {}

    def decode(self, block: bytes) -> CallHeaders:
        """Raises `Http2Error`."""
        # A block of indices alone means the same until another block changes the table.
        repeatable = min(block, default=0) >= _INDEXED
        if repeatable and (known := self._cache.get(block)) is not None:
            return known
        try:
            headers = self._decoder.decode(block, raw=True)
        except hpack.HPACKError as error:
            raise Http2Error(COMPRESSION_ERROR, f"headers cannot be decoded: {error}") from error
        call = _call(headers)
        if not repeatable:
            self._cache.clear()
        elif len(self._cache) < _CACHED_BLOCKS:
            self._cache[block] = call
        return call


def _call(headers: Iterable[tuple[bytes, bytes]]) -> CallHeaders:
    fields = {name.decode("latin-1"): value.decode(errors="replace") for name, value in headers}
    path = fields.get(":path", "")
    return CallHeaders(
        path, MappingProxyType({name: value for name, value in fields.items() if not name.startswith(":")})
    )


def trailers(code: int, reason: str = "") -> bytes:
    """Returns the block that ends a call."""
    status = _field("grpc-status", str(code))
    # https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: percent-encoded UTF-8.
    return status + (_field("grpc-message", quote(reason, safe=_PLAIN)) if reason else b"")


def _field(name: str, value: str) -> bytes:
    """Returns a literal without indexing, so that blocks are independent of their order."""
    return b"\x00" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    data = text.encode()
    return bytes(hpack.hpack.encode_integer(len(data), 7)) + data


_PLAIN: Final = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

# Index 8 of the static table: `:status` 200.
HEADERS: Final = b"\x88" + _field("content-type", "application/grpc")
OK: Final = trailers(0)
