"""`archgw status`: is every part up, since when, on which ports; where each role's model runs, and how it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import typer

from controlplane.cli.columns import columns
from controlplane.cli.options import RunDir
from controlplane.cli.wording import milliseconds, readiness
from controlplane.runtime.model_status import BackendSummary, RoleSummary, not_ready_reason
from controlplane.runtime.run_directory import run_layout
from controlplane.runtime.status import ServiceStatus, Status
from controlplane.runtime.status import status as ask


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Show each part and each role's model: state, place, times. Exit 0 when all is up, else 1."""
    found = ask(run_layout(run_dir))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    elif found.running:
        _show(found)
    else:
        _show_nothing(found)
    raise typer.Exit(0 if found.ready else 1)


def _show_nothing(found: Status) -> None:
    if found.unsupervised:
        pids = ", ".join(map(str, found.unsupervised))
        typer.echo(
            f"the supervisor of {found.run_dir} is gone, and nobody starts again what dies of its processes {pids}; "
            "`archgw up` ends them and starts anew, `archgw down` ends them"
        )
    else:
        typer.echo(f"nothing runs in {found.run_dir}")


def _show(found: Status) -> None:
    parts = [(part.name, part.state, str(part.pid or "-"), _ports(part), part.since or "-") for part in found.parts]
    _echo([("part", "state", "pid", "ports", "since"), *parts])
    for listener in found.listeners:
        typer.echo(f"{listener.name} {listener.url} {'ready' if listener.ready else f'not ready: {listener.reason}'}")
    if found.roles:
        places = [_place(role, place) for role in found.roles for place in role.places]
        _echo([("role", "model", "where", "state", "calls", "p50", "queue", "compute", "skipped"), *places])
    for role in found.roles:
        if role.failed:
            typer.echo(f"{role.role}: no place was left, {_counted(role.failed)}")
    for role in found.roles:
        for place in role.places:
            if not place.ready:
                typer.echo(f"{role.role} is not ready on {not_ready_reason(place)}")
    for log in found.logs:
        lost = f"{log.dropped} line{'' if log.dropped == 1 else 's'} of {log.name}"
        typer.echo(
            f"{log.reason}: {lost} dropped so far" if log.reason else f"written again: {lost} were dropped before"
        )
    typer.echo(f"{found.mode}, {found.runtime}, {found.config}, up since {found.since}")


def _echo(rows: Sequence[Sequence[str]]) -> None:
    typer.echo("\n".join(columns(rows)))


def _ports(part: ServiceStatus) -> str:
    return " ".join(f"{name}:{port}" for name, port in part.ports.items()) or "-"


def _place(role: RoleSummary, place: BackendSummary) -> Sequence[str]:
    return (
        *(role.role, place.model, place.where, readiness(place), str(place.calls)),
        *(milliseconds(each) for each in (place.p50_ms, place.queue_ms, place.compute_ms)),
        _counted(place.skipped) or "-",
    )


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in reasons.items())
