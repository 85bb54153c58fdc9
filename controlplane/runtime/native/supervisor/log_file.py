"""A log file: append, rotate by size, never leave half a line. Used by `log_writer`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from controlplane.runtime.native.supervisor.plan import LogSizes


class LogFile:
    """`x.log`, and the rotated files `x.log.1` (the newest) to `x.log.N`."""

    def __init__(self, path: Path, sizes: LogSizes) -> None:
        self.path = path
        self._sizes = sizes
        self._descriptor: int | None = None
        self._size = 0

    def write(self, lines: bytes) -> None:
        """Append whole lines. OSError if that fails; then the file contains none of them."""
        descriptor = self._current()
        if self._size and self._size + len(lines) > self._sizes.max_bytes:
            descriptor = self._rotate(descriptor)
        written = 0
        try:
            while written < len(lines):
                written += os.write(descriptor, lines[written:])
        except OSError:
            # A partial write would corrupt the next line.
            if written:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, self._size)
            raise
        self._size += written

    def close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _current(self) -> int:
        """Return the descriptor of the file with this name. Reopens it if somebody has removed or renamed the file."""
        if self._descriptor is not None and not self._is_same_file(self._descriptor):
            self.close()
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Somebody may also have truncated the file.
        self._size = os.fstat(self._descriptor).st_size
        return self._descriptor

    def _is_same_file(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _rotate(self, descriptor: int) -> int:
        keep = self._sizes.files
        if not keep:
            os.ftruncate(descriptor, 0)
            self._size = 0
            return descriptor
        for old in self._beyond(keep - 1):
            old.unlink(missing_ok=True)
        for number in range(keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._old(number).replace(self._old(number + 1))
        self.path.replace(self._old(1))
        self.close()
        return self._current()

    def _old(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _beyond(self, keep: int) -> list[Path]:
        """Return rotated files with a number above `keep`. More of them exist after `files` was lowered."""
        start = f"{self.path.name}."
        names = [each for each in self.path.parent.iterdir() if each.name.startswith(start)]
        return [each for each in names if (end := each.name.removeprefix(start)).isdecimal() and int(end) > keep]
