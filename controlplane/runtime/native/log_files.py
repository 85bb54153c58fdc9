"""Reads and follows the log files of a native gateway."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controlplane.render.run_layout import RunLayout

_POLL_S: Final = 0.2
# Bytes read from the end of a file. Enough for any sensible number of lines.
_TAIL_BYTES: Final = 1 << 20


def log_paths(layout: RunLayout, service: str | None) -> tuple[Path, ...]:
    """Return the log files of `service` (`extproc`: all of the filter's workers); None: of all services."""
    pattern = "*.log" if service is None else f"{service}-*.log" if service == "extproc" else f"{service}.log"
    return tuple(sorted(layout.logs.glob(pattern)))


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last `count` lines; none if the file does not exist."""
    if count <= 0:
        return []
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            return [line.decode(errors="replace").rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


@dataclass(slots=True)
class _Followed:
    path: Path
    position: int
    inode: int


def follow(paths: Iterable[Path], show: Callable[[Path, str], None], alive: Callable[[], bool]) -> None:
    """Call `show(path, line)` for each new line of `paths`, across rotations, until `alive` returns False."""
    followed = [_Followed(path, (status := path.stat()).st_size, status.st_ino) for path in paths]
    while True:
        # Checked before reading, so that the last lines are shown.
        running = alive()
        for each in followed:
            _show_new(each, show)
        if not running:
            return
        time.sleep(_POLL_S)


def _show_new(followed: _Followed, show: Callable[[Path, str], None]) -> None:
    try:
        status = followed.path.stat()
        if status.st_ino != followed.inode or status.st_size < followed.position:
            followed.inode, followed.position = status.st_ino, 0
        with followed.path.open("rb") as file:
            file.seek(followed.position)
            for line in file:
                # An incomplete line is shown when it is complete.
                if not line.endswith(b"\n"):
                    break
                followed.position += len(line)
                show(followed.path, line.decode(errors="replace").rstrip("\n"))
    except FileNotFoundError:
        return
