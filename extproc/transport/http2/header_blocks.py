"""Header blocks: what a call's headers say, and the ones that answer it. HPACK: https://www.rfc-editor.org/rfc/rfc7541"""

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

# Envoy sends the same block for every request of a listener and a client, once its table holds their headers.
_REMEMBERED: Final = 256
# A field that begins so is an index alone.
_INDEXED: Final = 0x80


@dataclass(frozen=True, slots=True)
class CallHeaders:
    """What a gRPC call asks for."""

    path: str
    metadata: Mapping[str, str]


class Decoder:
    """Header blocks of one connection, in the order in which they arrive: each may change what the next one means."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=MAX_BYTES)
        self._remembered: dict[bytes, CallHeaders] = {}

    def decode(self, block: bytes) -> CallHeaders:
        """Raises `Http2Error`."""
        # Nothing but indices: it changes nothing, and means the same until another block has changed the table.
        repeatable = min(block, default=0) >= _INDEXED
        if repeatable and (known := self._remembered.get(block)) is not None:
            return known
        try:
            headers = self._decoder.decode(block, raw=True)
        except hpack.HPACKError as error:
            raise Http2Error(COMPRESSION_ERROR, f"unreadable headers: {error}") from error
        call = _call(headers)
        if not repeatable:
            self._remembered.clear()
        elif len(self._remembered) < _REMEMBERED:
            self._remembered[block] = call
        return call


def _call(headers: Iterable[tuple[bytes, bytes]]) -> CallHeaders:
    fields = {name.decode("latin-1"): value.decode(errors="replace") for name, value in headers}
    path = fields.get(":path", "")
    return CallHeaders(
        path, MappingProxyType({name: value for name, value in fields.items() if not name.startswith(":")})
    )


def trailers(code: int, reason: str = "") -> bytes:
    """The block that ends a call."""
    status = _field("grpc-status", str(code))
    # https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: percent-encoded UTF-8.
    return status + (_field("grpc-message", quote(reason, safe=_PLAIN)) if reason else b"")


def _field(name: str, value: str) -> bytes:
    """A literal that no table remembers, so that the order in which blocks are made does not matter."""
    return b"\x00" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    data = text.encode()
    return bytes(hpack.hpack.encode_integer(len(data), 7)) + data


_PLAIN: Final = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

# Index 8 of the static table: `:status` 200.
HEADERS: Final = b"\x88" + _field("content-type", "application/grpc")
OK: Final = trailers(0)
