"""`archgw up`: start a gateway and return when it answers."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from controlplane.assets import asset
from controlplane.cli.columns import columns
from controlplane.cli.options import (
    DEFAULT_GRACE,
    BuildNetwork,
    Cpu,
    Grace,
    Images,
    Local,
    RunDir,
    RuntimeChoice,
    RuntimeName,
    mode,
)
from controlplane.cli.wording import milliseconds, readiness
from controlplane.config.load import DEFAULT_PATH
from controlplane.errors import RuntimeFault, UsageError
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.gateway_state import State
from controlplane.runtime.run_directory import run_layout
from controlplane.runtime.runner_selection import runner_of
from controlplane.runtime.signals import InterruptedStartError, signals_ignored, signals_raise
from controlplane.runtime.start import start
from controlplane.runtime.start_options import QUICK_START, RunningGateway, StartOptions
from controlplane.runtime.stop import drain, stop

_READY_S: Final = 120.0


def up(  # noqa: PLR0913, PLR0917 - one a command line option
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="By default ./arch_config.yaml.")] = None,
    local: Local = False,
    cpu: Cpu = False,
    quick_start: Annotated[
        bool, typer.Option("--quick-start", help="Run the built-in sample and send it three prompts.")
    ] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop the gateway when ended.")] = False,
    grace: Grace = None,
    runtime: RuntimeChoice = RuntimeName.AUTO,
    images: Images = None,
    network: BuildNetwork = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long it may take to be ready.")
    ] = _READY_S,
    run_dir: RunDir = None,
) -> None:
    """Start Envoy, the filter and Triton, wait until everything answers, and say where to send a request.

    In Docker's containers where an engine can be had, else as processes of this machine: --runtime says which.

    Without --local, guard and function calling run on the remote Triton of `model_serving.remote.url`.
    """
    wanted = mode(local=local, cpu=cpu)
    if grace is not None and not foreground:
        raise UsageError("--grace goes with --foreground; otherwise it is `archgw down` that takes it")
    if quick_start and config is not None:
        raise UsageError("--quick-start brings its own configuration; leave out either it or CONFIG")
    path = asset(QUICK_START) / "arch_config.yaml" if quick_start else config or DEFAULT_PATH
    layout = run_layout(run_dir)
    with signals_raise():
        try:
            with _progress() as say:
                running = start(
                    StartOptions(path, wanted, timeout, quick_start, runtime.runtime, images, network), layout, say
                )
        except InterruptedStartError as interruption:
            typer.echo(f"archgw: {interruption}, {_left(layout)}", err=True)
            raise typer.Exit(128 + interruption.number) from None
        with _attached(layout, DEFAULT_GRACE if grace is None else grace) if foreground else _detached():
            _announce(running, layout)
            if quick_start:
                # Its HTTP client takes a third of a second to import, which no other start needs.
                from controlplane.quickstart import tour  # noqa: PLC0415

                tour.run(_door_url(running.state, "ingress"), typer.echo)
            if foreground:
                # Until `archgw down` or an end of its own; a supervisor that a signal killed is a failure.
                code = running.wait()
                raise typer.Exit(0 if code == 0 else 1)


def _left(layout: RunLayout) -> str:
    """What an interrupted start has left: one that should change a gateway which ran has not stopped it."""
    with signals_ignored(), suppress(RuntimeFault):
        if runner_of(layout).services() is not None:
            return "the gateway that ran before goes on, half changed maybe: say `archgw up` again"
    return "everything is stopped"


@contextmanager
def _attached(layout: RunLayout, grace_s: float) -> Iterator[None]:
    """The gateway ends with the block, however that ends. To be told to end is how a service ends well: exit 0.

    Told to end, it drains first; told again, it stops at once.
    """
    try:
        yield
    except InterruptedStartError:
        drain(layout, grace_s, lambda text: typer.echo(text, err=True))
        raise typer.Exit(0) from None
    finally:
        with signals_ignored():
            stop(layout)


@contextmanager
def _detached() -> Iterator[None]:
    """The gateway outlives the block."""
    try:
        yield
    except InterruptedStartError as interruption:
        typer.echo(f"archgw: {interruption}; the gateway goes on, stop it with `archgw down`", err=True)
        raise typer.Exit(128 + interruption.number) from None


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """One line that changes on a terminal, one line each elsewhere. Warnings and notes stay in both."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: typer.echo(text, err=True)
        return
    with console.status("starting") as status:

        def show(text: str) -> None:
            if text.startswith(("warning: ", "note: ")):
                console.print(text, markup=False, highlight=False)
            else:
                # A log line may hold square brackets, which are markup to rich.
                status.update(text.replace("[", r"\["))

        yield show


def _announce(running: RunningGateway, layout: RunLayout) -> None:
    listeners = running.state.listeners
    typer.echo(f"ready: {', '.join(f'{listener.name} on {listener.url}' for listener in listeners)}")
    rows = [
        (f"  {role.role}", place.model, place.where, readiness(place), f"p50 {milliseconds(place.p50_ms)}")
        for role in running.roles
        for place in role.places
    ]
    typer.echo("\n".join(["models:", *columns(rows)] if rows else ["models: none is asked"]))
    typer.echo(f"run directory {layout.root}")
    # Quoted where a shell would read the brackets of IPv6.
    url = shlex.quote(f"{listeners[0].url}/v1/chat/completions")
    body = '{"model": "none", "messages": [{"role": "user", "content": "Hello"}]}'
    typer.echo(f"try: curl {url} -H 'content-type: application/json' -d '{body}'")
    sys.stdout.flush()


def _door_url(state: State, name: str) -> str:
    return next(listener.url for listener in state.listeners if listener.name == name)
