"""`archgw logs`: the last lines of a gateway's parts, and what follows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.options import RunDir
from controlplane.errors import RuntimeFault
from controlplane.runtime import supervisord
from controlplane.runtime.logs import files, follow, last_lines
from controlplane.runtime.place import run_layout


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
    paths = files(layout, part)
    if not paths:
        raise RuntimeFault(f"there are no logs in {layout.root}; has a gateway been started there?")

    def show(path: Path, line: str) -> None:
        typer.echo(line if len(paths) == 1 else f"{path.stem}: {line}")

    for path in paths:
        for line in last_lines(path, lines):
            show(path, line)
    if following:
        try:
            follow(paths, show, lambda: supervisord.part_states(layout) is not None)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None
