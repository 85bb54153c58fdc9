"""A raw socket server that sends a test's bytes, for responses that no HTTP library would send."""

from __future__ import annotations

import socket
import threading
from typing import Self


class Scripted:
    """Reads one request per connection, sends `script` and closes. With `keeps`, the client must close.

    `requests`: how many it has read. `closed_first`: set when the other side closes a connection that was kept.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.script = b""
        self.keeps = False
        self.requests = 0
        self.closed_first = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        received = b""
        # Every request here has the body `{}`.
        while not received.endswith(b"{}"):
            piece = connection.recv(65536)
            if not piece:
                return
            received += piece
        self.requests += 1
        connection.sendall(self.script)
        if self.keeps and not connection.recv(1):
            self.closed_first.set()
