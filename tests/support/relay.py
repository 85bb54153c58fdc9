"""A network path on real sockets: it forwards bytes, delays them, drops them, or refuses connections."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Final, Self

_CHUNK: Final = 64 * 1024
_SECONDS: Final = 10.0


class Relay:
    """Forwards connections from its own port to `target` on 127.0.0.1. A context manager."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="Relay", daemon=True)
        self._open = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    # Called by tests.

    def pass_on(self) -> None:
        """Forwards everything at once, also the bytes that a black hole kept, as after a cable is plugged in again."""
        self._do(self._set(is_open=True, delay_s=0.0))

    def delay(self, seconds: float) -> None:
        """Delays each piece, in both directions."""
        self._do(self._set(is_open=True, delay_s=seconds))

    def black_hole(self) -> None:
        """Forwards nothing, without an error: connections stay open, new ones are accepted."""
        self._do(self._set(is_open=False, delay_s=0.0))

    def refuse(self) -> None:
        """Breaks all connections and refuses new ones, until `pass_on`."""
        self._do(self._close())

    def __enter__(self) -> Self:
        self._thread.start()
        self.pass_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()

    # Runs in the relay's own thread.

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(_SECONDS)

    async def _set(self, *, is_open: bool, delay_s: float) -> None:
        self._delay_s = delay_s
        if is_open:
            self._open.set()
        else:
            self._open.clear()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # The target does not listen, or `refuse` was called: this side's connection breaks too.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._join(reader, writer)
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copies bytes until one side ends. Then the other is closed, which ends the copy in the other direction."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(_CHUNK):
                await asyncio.sleep(self._delay_s)
                await self._open.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()
