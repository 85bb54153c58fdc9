"""Run directories short enough for unix sockets. All processes of one are stopped after a test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.render.run_layout import RunLayout
from controlplane.runtime import run_directory
from controlplane.runtime.native import gateway_processes


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary folder whose path leaves room for the unix sockets of a run directory; pytest's may be too long."""
    with tempfile.TemporaryDirectory(prefix="ag-") as folder:
        yield Path(folder)


@pytest.fixture
def layout(short_path: Path) -> Iterator[RunLayout]:
    layout = run_directory.run_layout(short_path)
    run_directory.create(layout)
    try:
        yield layout
    finally:
        gateway_processes.stop_all(layout.root, grace_s=0)
