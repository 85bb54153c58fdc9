"""The server on a unix socket: accepts connections and drains them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from extproc.transport.http2.connection import Http2Connection
from extproc.transport.service import Service

_BACKLOG: Final = 1024


class Http2Server:
    """Implements `extproc.transport.service.Server`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connections: set[Http2Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, socket: Path) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._connection, str(socket), backlog=_BACKLOG)

    async def stop(self, grace_s: float) -> None:
        if self._server is not None:
            self._server.close()
        drains = [asyncio.ensure_future(connection.drain()) for connection in self._connections]
        if drains:
            await asyncio.wait(drains, timeout=grace_s)
        for connection in tuple(self._connections):
            connection.close()
        for drain in drains:
            drain.cancel()

    def _connection(self) -> Http2Connection:
        connection = Http2Connection(self._service, self._connections.discard)
        self._connections.add(connection)
        return connection
