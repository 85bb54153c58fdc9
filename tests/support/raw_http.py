"""HTTP/1.1 on a bare socket, for requests that no client library sends."""

from __future__ import annotations

import socket
from typing import Final
from urllib.parse import urlsplit

_HEAD_END: Final = b"\r\n\r\n"
_TIMEOUT_S: Final = 60


def exchange(url: str, *writes: bytes, until: bytes = b"", until_closed: bool = False) -> bytes:
    """Send the pieces one by one and return what the gateway answers.

    Reads until one answer is complete, until `until` has come, or until the gateway closes the connection. Envoy closes
    one second after an early answer, so `until_closed` costs a second then.
    """
    where = urlsplit(url)
    received = b""
    with socket.create_connection((where.hostname, where.port), timeout=_TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in writes:
                connection.sendall(piece)
            while piece := connection.recv(65536):
                received += piece
                if until in received if until else not until_closed and _is_complete(received):
                    break
        except ConnectionError:
            # The gateway closed before all was sent.
            pass
    return received


def _is_complete(received: bytes) -> bool:
    """True for an answer with a content-length whose body has come. Others end with the connection."""
    head, end, body = received.partition(_HEAD_END)
    lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and bool(lengths) and len(body) >= int(lengths[0])


def chunked(*pieces: bytes, trailers: bytes = b"") -> list[bytes]:
    """A chunked body, a chunk for each piece."""
    framed = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
    return [*framed, b"0\r\n" + trailers + b"\r\n"]
