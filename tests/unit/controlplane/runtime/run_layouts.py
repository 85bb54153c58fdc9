"""A run directory short enough for unix sockets. All its processes are stopped after a test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.render.run_layout import RunLayout
from controlplane.runtime import run_directory
from controlplane.runtime.native import gateway_processes


@pytest.fixture
def layout() -> Iterator[RunLayout]:
    with tempfile.TemporaryDirectory(prefix="ag-") as folder:
        layout = run_directory.run_layout(Path(folder))
        run_directory.create(layout)
        try:
            yield layout
        finally:
            gateway_processes.stop_all(layout.root, grace_s=0)
