"""Shows download progress: a bar a file on a terminal, else a line a file. Used by `archgw models pull`."""

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
def download_progress(console: Console) -> Iterator[Callable[[DownloadProgress], None]]:
    """Yields the function to call on each advance of the download."""
    if not console.is_terminal:
        yield lambda advance: _print_finished(console, advance)
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

        def update_bar(advance: DownloadProgress) -> None:
            if advance.path not in tasks:
                label = f"[{advance.index}/{advance.total}] {advance.path}"
                tasks[advance.path] = bars.add_task(label, total=advance.size)
            bars.update(tasks[advance.path], completed=advance.done)

        yield update_bar


def _print_finished(console: Console, advance: DownloadProgress) -> None:
    if advance.done == advance.size:
        line = f"[{advance.index}/{advance.total}] {advance.path}: {decimal(advance.size)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
