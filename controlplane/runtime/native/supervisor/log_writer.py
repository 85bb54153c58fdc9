"""Writes all logs in a thread, so that a full, broken or slow disk blocks neither the supervisor nor a service.

Lines that cannot be written are dropped and counted.
"""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controlplane.runtime.native.supervisor.log_file import LogFile
from controlplane.runtime.native.supervisor.plan import LogSizes
from controlplane.runtime.native.supervisor.protocol import LogReport

# Buffered for the disk per log: 15 s of a busy access log.
_WAITING_BYTES: Final = 4 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_SLOW: Final = "the disk is too slow"


class Log:
    """One log. `put` and `report` are called by the event loop, the rest by the writer's thread."""

    def __init__(self, path: Path, sizes: LogSizes, items: queue.SimpleQueue[tuple[Log, bytes] | None]) -> None:
        self._file = LogFile(path, sizes)
        self._items = items
        self._lock = threading.Lock()
        self._waiting = 0
        self._dropped = 0
        self._reason = ""

    def put(self, lines: bytes) -> None:
        """Queue whole lines for writing. Never blocks, never fails."""
        with self._lock:
            if self._waiting + len(lines) > _WAITING_BYTES:
                self._drop(lines, _SLOW)
                return
            self._waiting += len(lines)
        self._items.put((self, lines))

    def report(self) -> LogReport:
        with self._lock:
            return LogReport(name=self._file.path.name, dropped=self._dropped, reason=self._reason)

    def write(self, lines: bytes) -> bool:
        """Write lines. Returns True if this is the first success after failures."""
        reason = ""
        try:
            self._file.write(lines)
        except OSError as error:
            reason = "disk full" if error.errno in _FULL else os.strerror(error.errno or 0)
        with self._lock:
            self._waiting -= len(lines)
            if reason:
                self._drop(lines, reason)
                return False
            resumed, self._reason = bool(self._reason), ""
            return resumed

    def close(self) -> None:
        self._file.close()

    def _drop(self, lines: bytes, reason: str) -> None:
        self._dropped += lines.count(b"\n")
        self._reason = reason


class LogWriter:
    """All logs of a gateway. `on_resume` is called, in the writer's thread, when a log works again after failures."""

    def __init__(self, sizes: LogSizes, on_resume: Callable[[LogReport], None]) -> None:
        self._sizes = sizes
        self._on_resume = on_resume
        self._logs: dict[Path, Log] = {}
        self._items: queue.SimpleQueue[tuple[Log, bytes] | None] = queue.SimpleQueue()
        # A daemon thread: a disk that hangs must not keep the supervisor from exiting.
        self._thread = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._thread.start()

    def log(self, path: Path) -> Log:
        """Return the log with this path. Services may share one."""
        return self._logs.setdefault(path, Log(path, self._sizes, self._items))

    def dropped(self) -> tuple[LogReport, ...]:
        """Return the logs that lost lines."""
        return tuple(report for log in self._logs.values() if (report := log.report()).dropped)

    def close(self, timeout_s: float) -> None:
        """Write the queued lines, within `timeout_s`."""
        self._items.put(None)
        self._thread.join(timeout_s)

    def _write(self) -> None:
        while (item := self._items.get()) is not None:
            log, lines = item
            if log.write(lines):
                self._on_resume(log.report())
        for log in self._logs.values():
            log.close()
