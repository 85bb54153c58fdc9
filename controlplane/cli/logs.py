"""`archgw logs`: the last lines of a gateway's parts, and what follows."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import typer

from controlplane.cli.options import RunDir
from controlplane.errors import RuntimeFault
from controlplane.runtime.log_merge import is_health_check, merge_logs
from controlplane.runtime.run_directory import run_layout
from controlplane.runtime.runner_selection import runner_of
from controlplane.runtime.signals import InterruptedStartError, signals_raise


class LogPart(StrEnum):
    """What has a log. `access` is Envoy's line a request."""

    ENVOY = "envoy"
    EXTPROC = "extproc"
    TRITON = "triton"
    ACCESS = "access"


# Of the access log so many lines are read: most of an idle gateway's are health checks.
_READ: Final = 10_000


def logs(
    part: Annotated[LogPart | None, typer.Argument(help="All of them by default.")] = None,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines of each.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="Also requests of GET /healthz in the access log.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Show the logs of a gateway, the latest lines last. Several are told apart by their names before each line."""
    layout = run_layout(run_dir)
    runner = runner_of(layout)
    names = runner.logs(part)
    if not names:
        raise RuntimeFault(f"there are no logs in {layout.root}; has a gateway been started there?")

    def is_shown(name: str, line: str) -> bool:
        return every or name != LogPart.ACCESS or not is_health_check(line)

    def show(name: str, line: str) -> None:
        if is_shown(name, line):
            typer.echo(line if len(names) == 1 else f"{name}: {line}")

    def last(name: str) -> list[str]:
        read = lines if every or name != LogPart.ACCESS else max(lines, _READ)
        found = [line for line in runner.last_lines(name, read) if is_shown(name, line)]
        return found[len(found) - min(lines, len(found)) :]

    for name, line in merge_logs({name: last(name) for name in names}, datetime.now(UTC)):
        show(name, line)
    if following:
        try:
            # Also where it is told to end, or its terminal is closed: `docker logs` would outlive it.
            with signals_raise():
                runner.follow(names, show)
        except InterruptedStartError as interruption:
            asked = interruption.number == signal.SIGINT
            raise typer.Exit(0 if asked else 128 + interruption.number) from None
