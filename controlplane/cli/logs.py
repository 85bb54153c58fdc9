"""`archgw logs`: shows the last lines of a gateway's logs and follows them."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import typer

from controlplane.cli.options import RunDir
from controlplane.errors import RuntimeFault
from controlplane.runtime.log_lines import in_order, is_health_check
from controlplane.runtime.place import run_layout
from controlplane.runtime.runners import runner_of
from controlplane.runtime.signals import InterruptedStartError, signals_raise


class LogSource(StrEnum):
    """The logs of a gateway. `access` is Envoy's access log."""

    ENVOY = "envoy"
    EXTPROC = "extproc"
    TRITON = "triton"
    ACCESS = "access"


# Lines of the access log that are read: on an idle gateway most of them are health checks, which are not shown.
_ACCESS_LOG_LINES: Final = 10_000


def logs(
    part: Annotated[LogSource | None, typer.Argument(help="All of them by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep showing new lines.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="The number of last lines of each log.")] = 20,
    with_health_checks: Annotated[
        bool, typer.Option("--all", help="Also show requests of GET /healthz in the access log.")
    ] = False,
    run_dir: RunDir = None,
) -> None:
    """Show the logs of a gateway, the latest lines last. With several logs, each line begins with the log's name."""
    layout = run_layout(run_dir)
    runner = runner_of(layout)
    names = runner.logs(part)
    if not names:
        raise RuntimeFault(f"there are no logs in {layout.root}; check --run-dir, or start a gateway with `archgw up`")

    def is_shown(name: str, line: str) -> bool:
        return with_health_checks or name != LogSource.ACCESS or not is_health_check(line)

    def show(name: str, line: str) -> None:
        if is_shown(name, line):
            typer.echo(line if len(names) == 1 else f"{name}: {line}")

    def last(name: str) -> list[str]:
        count = lines if with_health_checks or name != LogSource.ACCESS else max(lines, _ACCESS_LOG_LINES)
        shown = [line for line in runner.last_lines(name, count) if is_shown(name, line)]
        return shown[len(shown) - min(lines, len(shown)) :]

    for name, line in in_order({name: last(name) for name in names}, datetime.now(UTC)):
        show(name, line)
    if follow:
        try:
            # Also on SIGTERM and SIGHUP: otherwise `docker logs` would outlive this process.
            with signals_raise():
                runner.follow(names, show)
        except InterruptedStartError as interruption:
            by_user = interruption.number == signal.SIGINT
            raise typer.Exit(0 if by_user else 128 + interruption.number) from None
