"""`archgw down`: stop a gateway, completely."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from controlplane.cli.options import RunDir
from controlplane.runtime import place
from controlplane.runtime.stop import stop


def down(
    volumes: Annotated[
        bool, typer.Option("--volumes", help="With Docker: remove the models as well, which are kept otherwise.")
    ] = False,
    run_dir: RunDir = None,
) -> None:
    """Stop the gateway of a run directory and remove its keys. Nothing to stop is no error."""
    layout = place.run_layout(run_dir)
    # Containers run on without it.
    with place.locked(layout) if layout.root.is_dir() else nullcontext():
        stopped = stop(layout, volumes=volumes)
    typer.echo(f"stopped the gateway in {layout.root}" if stopped else f"nothing runs in {layout.root}")
