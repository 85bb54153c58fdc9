"""The pipe for a service's output. It is always read, even if lines are lost: a full pipe would block the service."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from controlplane.runtime.native.supervisor.log_writer import Log

_CHUNK: Final = 64 << 10
# Longer lines are written in pieces.
_LONGEST_LINE: Final = 1 << 20


class OutputPipe:
    """Reads from one end in the event loop. The service gets `write_end`, which is then closed here."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._rest = b""
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_end, False)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._read_end, self._read)

    def close_write_end(self) -> None:
        """Close our copy of the write end, so that the pipe ends when the service's last process does."""
        os.close(self.write_end)

    def _read(self) -> None:
        chunk = os.read(self._read_end, _CHUNK)
        if not chunk:
            self._end()
            return
        lines, newline, rest = (self._rest + chunk).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, newline, rest = lines + newline + rest, b"", b""
        self._rest = rest
        if lines or newline:
            self._log.put(lines + newline)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)
        if self._rest:
            self._log.put(self._rest + b"\n")
        if not self.ended.done():
            self.ended.set_result(None)
