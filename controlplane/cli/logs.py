"""`archgw logs`: the last lines of a gateway's parts, and what follows."""

from __future__ import annotations

import signal
from enum import StrEnum
from typing import Annotated

import typer

from controlplane.cli.options import RunDir
from controlplane.errors import RuntimeFault
from controlplane.runtime.place import run_layout
from controlplane.runtime.runners import runner_of
from controlplane.runtime.signals import InterruptedStartError, signals_raise


class LogPart(StrEnum):
    """What has a log. `access` is Envoy's line a request."""

    ENVOY = "envoy"
    EXTPROC = "extproc"
    TRITON = "triton"
    ACCESS = "access"


def logs(
    part: Annotated[LogPart | None, typer.Argument(help="All of them by default.")] = None,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines of each.")] = 50,
    run_dir: RunDir = None,
) -> None:
    """Show the logs of a gateway. Several files are told apart by their names before each line."""
    layout = run_layout(run_dir)
    runner = runner_of(layout)
    names = runner.logs(part)
    if not names:
        raise RuntimeFault(f"there are no logs in {layout.root}; has a gateway been started there?")

    def show(name: str, line: str) -> None:
        typer.echo(line if len(names) == 1 else f"{name}: {line}")

    for name in names:
        for line in runner.last_lines(name, lines):
            show(name, line)
    if following:
        try:
            # Also where it is told to end, or its terminal is closed: `docker logs` would outlive it.
            with signals_raise():
                runner.follow(names, show)
        except InterruptedStartError as interruption:
            asked = interruption.number == signal.SIGINT
            raise typer.Exit(0 if asked else 128 + interruption.number) from None
