"""A client that sends requests and reads no answers: HTTP/2 connections with a flow-control window of zero."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RemoteSettingsChanged, ResponseReceived, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

_TIMEOUT_S: Final = 20


@dataclass
class Unread:
    """One connection. `streams`: the number of requests sent. The server's limit of concurrent streams applies."""

    connection: socket.socket
    http2: H2Connection
    streams: int = 0
    answered: set[int] = field(default_factory=set)
    reset: set[int] = field(default_factory=set)

    def ask(self, streams: int, body: bytes, path: str) -> None:
        allowed = self.http2.remote_settings.max_concurrent_streams
        for _ in range(min(streams, allowed)):
            stream = self.http2.get_next_available_stream_id()
            fields = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
            self.http2.send_headers(stream, [*fields, ("content-type", "application/json")])
            self.http2.send_data(stream, body, end_stream=True)
            self.streams += 1
        self.connection.sendall(self.http2.data_to_send())

    def look(self, seconds: float) -> bool:
        """Reads frames for `seconds` at most; the zero window allows no data. False if the connection has ended."""
        self.connection.settimeout(seconds)
        try:
            received = self.connection.recv(65536)
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        if not received:
            return False
        try:
            events = self.http2.receive_data(received)
        except ProtocolError:
            # h2 treats a GOAWAY as the end, although the server continues to answer.
            return False
        for event in events:
            if isinstance(event, ResponseReceived) and event.stream_id is not None:
                self.answered.add(event.stream_id)
            if isinstance(event, StreamReset) and event.stream_id is not None:
                self.reset.add(event.stream_id)
        self.connection.sendall(self.http2.data_to_send())
        return True


@contextmanager
def unread(port: int, connections: int) -> Iterator[list[Unread]]:
    """Yields connections with a window of zero, ready for requests."""
    with ExitStack() as open_ones:
        yield [_connect(open_ones, port) for _ in range(connections)]


def _connect(open_ones: ExitStack, port: int) -> Unread:
    connection = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S))
    http2 = H2Connection(H2Configuration(client_side=True))
    http2.initiate_connection()
    http2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    connection.sendall(http2.data_to_send())
    settled = False
    while not settled:
        settled = any(isinstance(event, RemoteSettingsChanged) for event in http2.receive_data(connection.recv(65536)))
    connection.sendall(http2.data_to_send())
    return Unread(connection, http2)
