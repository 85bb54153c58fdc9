"""A run directory short enough for unix sockets, and never left with anything running."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.runtime import place
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import processes


@pytest.fixture
def layout() -> Iterator[RunLayout]:
    with tempfile.TemporaryDirectory(prefix="ag-") as folder:
        layout = place.run_layout(Path(folder))
        place.make(layout)
        try:
            yield layout
        finally:
            processes.stop_all(layout.root, grace_s=0)
