"""`archgw status`: shows the state of each service and listener, and of each role's models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import typer

from controlplane.cli.columns import columns
from controlplane.cli.model_status_text import milliseconds, readiness
from controlplane.cli.options import RunDir
from controlplane.runtime.place import run_layout
from controlplane.runtime.roles import PlaceState, RoleState, why
from controlplane.runtime.status import PartStatus, Status
from controlplane.runtime.status import status as read_status


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Show the services and each role's models with their backends and times. Exit 0 when all are ready, else 1."""
    current = read_status(run_layout(run_dir))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(current), indent=2).decode())
    elif current.running:
        _show(current)
    else:
        _show_stopped(current)
    raise typer.Exit(0 if current.ready else 1)


def _show_stopped(current: Status) -> None:
    if current.unsupervised:
        pids = ", ".join(map(str, current.unsupervised))
        typer.echo(
            f"the supervisor of {current.run_dir} is gone; its processes {pids} still run, but nothing restarts them: "
            "`archgw up` replaces them, `archgw down` stops them"
        )
    else:
        typer.echo(f"nothing runs in {current.run_dir}")


def _show(current: Status) -> None:
    parts = [(part.name, part.state, str(part.pid or "-"), _ports(part), part.since or "-") for part in current.parts]
    _echo([("part", "state", "pid", "ports", "since"), *parts])
    for listener in current.listeners:
        typer.echo(f"{listener.name} {listener.url} {'ready' if listener.ready else f'not ready: {listener.reason}'}")
    if current.roles:
        backends = [_backend_row(role, backend) for role in current.roles for backend in role.places]
        _echo([("role", "model", "where", "state", "calls", "p50", "queue", "compute", "skipped"), *backends])
    for role in current.roles:
        if role.failed:
            typer.echo(f"{role.role}: no backend was available, {_counted(role.failed)}")
    for role in current.roles:
        for backend in role.places:
            if not backend.ready:
                typer.echo(f"{role.role} is not ready on {why(backend)}")
    for log in current.logs:
        lines = f"{log.dropped} line{'' if log.dropped == 1 else 's'} of {log.name}"
        typer.echo(
            f"{log.reason}: {lines} dropped so far" if log.reason else f"written again: {lines} were dropped before"
        )
    typer.echo(f"{current.mode}, {current.runtime}, {current.config}, up since {current.since}")


def _echo(rows: Sequence[Sequence[str]]) -> None:
    typer.echo("\n".join(columns(rows)))


def _ports(part: PartStatus) -> str:
    return " ".join(f"{name}:{port}" for name, port in part.ports.items()) or "-"


def _backend_row(role: RoleState, backend: PlaceState) -> Sequence[str]:
    return (
        *(role.role, backend.model, backend.where, readiness(backend), str(backend.calls)),
        *(milliseconds(each) for each in (backend.p50_ms, backend.queue_ms, backend.compute_ms)),
        _counted(backend.skipped) or "-",
    )


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in reasons.items())
