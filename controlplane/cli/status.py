"""`archgw status`: is every part up, since when, on which ports."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from controlplane.cli.options import RunDir
from controlplane.runtime.place import run_layout
from controlplane.runtime.status import Status
from controlplane.runtime.status import status as ask


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Show each part: state, process id, ports, models ready, since when. Exit 0 when all is up, else 1."""
    found = ask(run_layout(run_dir))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    elif found.running:
        _show(found)
    else:
        typer.echo(f"nothing runs in {found.run_dir}")
    raise typer.Exit(0 if found.ready else 1)


def _show(found: Status) -> None:
    table = Table("part", "state", "pid", "ports", "since", box=None, pad_edge=False)
    for part in found.parts:
        ports = " ".join(f"{name}:{port}" for name, port in part.ports.items())
        table.add_row(part.name, part.state, str(part.pid or "-"), ports or "-", part.since or "-")
    Console().print(table, markup=False)
    for listener in found.listeners:
        typer.echo(f"{listener.name} {listener.url} {'ready' if listener.ready else f'not ready: {listener.reason}'}")
    models = found.models or {}
    typer.echo("models " + ", ".join(f"{name} {'ready' if ready else 'not ready'}" for name, ready in models.items()))
    typer.echo(f"{found.mode}, {found.config}, up since {found.since}")
