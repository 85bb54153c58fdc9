"""`archgw down`: stops a gateway and removes its keys."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from controlplane.cli.options import DEFAULT_GRACE, Grace, RunDir
from controlplane.errors import UsageError
from controlplane.runtime import place
from controlplane.runtime.signals import signals_ignored
from controlplane.runtime.stop import drain, stop


def down(
    grace: Grace = None,
    now: Annotated[bool, typer.Option("--now", help="Stop at once and cut running requests.")] = False,
    volumes: Annotated[
        bool, typer.Option("--volumes", help="With Docker: also remove the volume of the models.")
    ] = False,
    run_dir: RunDir = None,
) -> None:
    """Stop the gateway of a run directory and remove its keys. It is no error if none runs.

    New requests are refused at once; running requests may finish. Ctrl-C ends the wait for them.
    """
    if now and grace is not None:
        raise UsageError("--now means --grace 0s: leave out either --now or --grace")
    layout = place.run_layout(run_dir)
    # Containers can run without the directory.
    with place.locked(layout) if layout.root.is_dir() else nullcontext():
        drain(layout, 0 if now else DEFAULT_GRACE if grace is None else grace, lambda text: typer.echo(text, err=True))
        with signals_ignored():
            stopped = stop(layout, volumes=volumes)
    typer.echo(f"stopped the gateway in {layout.root}" if stopped else f"nothing runs in {layout.root}")
