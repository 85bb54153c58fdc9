"""A stretch of network on real sockets: it passes bytes on, late, not at all, or refuses to be connected to."""

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
    """From a port of its own to `target` on 127.0.0.1. A context manager; it begins by passing everything on."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="Relay", daemon=True)
        self._open = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    # What a test says.

    def pass_on(self) -> None:
        """Everything passes at once, also what a black hole has held back, as after a cable was plugged in again."""
        self._do(self._set(is_open=True, delay_s=0.0))

    def delay(self, seconds: float) -> None:
        """Each piece passes so much later, in both directions."""
        self._do(self._set(is_open=True, delay_s=seconds))

    def black_hole(self) -> None:
        """Nothing passes any more, and nobody is told: connections stand, new ones are taken."""
        self._do(self._set(is_open=False, delay_s=0.0))

    def refuse(self) -> None:
        """Connections break, new ones are refused, until `pass_on`."""
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

    # In the relay's own thread.

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
            # Nobody listens there, or `refuse`: this side's connection breaks too, and nobody waits for this task.
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
        """Until one side ends or breaks; the other is closed then, which ends the pump back."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(_CHUNK):
                await asyncio.sleep(self._delay_s)
                await self._open.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()
