"""How far a download is: a bar for each file on a terminal, a line for each elsewhere. Used by `archgw models pull`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from controlplane.models.pull import DownloadProgress


@contextmanager
def shown(console: Console) -> Iterator[Callable[[DownloadProgress], None]]:
    """What a pull is to tell of its progress, while the block lasts."""
    if not console.is_terminal:
        yield lambda advance: _line(console, advance)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def move(advance: DownloadProgress) -> None:
            if advance.path not in tasks:
                said = f"[{advance.index}/{advance.total}] {advance.path}"
                tasks[advance.path] = bars.add_task(said, total=advance.size)
            bars.update(tasks[advance.path], completed=advance.done)

        yield move


def _line(console: Console, advance: DownloadProgress) -> None:
    if advance.done == advance.size:
        said = f"[{advance.index}/{advance.total}] {advance.path}: {decimal(advance.size)}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
