"""`archgw down`: stop a gateway, completely."""

from __future__ import annotations

import typer

from controlplane.cli.options import RunDir
from controlplane.runtime import place
from controlplane.runtime.stop import stop


def down(run_dir: RunDir = None) -> None:
    """Stop the gateway of a run directory and remove its keys. Nothing to stop is no error."""
    layout = place.run_layout(run_dir)
    if not layout.root.is_dir():
        typer.echo(f"nothing runs in {layout.root}")
        return
    with place.locked(layout):
        stopped = stop(layout)
    typer.echo(f"stopped the gateway in {layout.root}" if stopped else f"nothing runs in {layout.root}")
