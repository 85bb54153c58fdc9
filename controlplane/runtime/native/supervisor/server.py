"""The server on the supervisor's unix socket. See `protocol`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from controlplane.runtime.native.supervisor.protocol import Command, Request, SupervisorReport


async def serve(socket: Path, report: Callable[[], SupervisorReport], stop: Callable[[], None]) -> asyncio.Server:
    """Start the server. OSError if the socket cannot be created."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = msgspec.json.decode(await reader.readline(), type=Request)
            writer.write(msgspec.json.encode(report()) + b"\n")
            if request.command is Command.STOP:
                stop()
            await writer.drain()
        except (msgspec.DecodeError, ValueError, ConnectionError):
            # The client has another protocol or has gone. Closing the connection is answer enough.
            return
        finally:
            writer.close()

    return await asyncio.start_unix_server(answer, socket)
