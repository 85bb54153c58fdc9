"""`archgw up`: starts a gateway and returns when it is ready."""

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
from controlplane.cli.model_status_text import milliseconds, readiness
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
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay in the foreground; stop the gateway on exit.")
    ] = False,
    grace: Grace = None,
    runtime: RuntimeChoice = RuntimeName.AUTO,
    images: Images = None,
    network: BuildNetwork = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="The time until the gateway must be ready.")
    ] = _READY_S,
    run_dir: RunDir = None,
) -> None:
    """Start Envoy, the filter and Triton, wait until all are ready, and print an example request.

    They run as Docker containers if an engine is available, else as processes of this machine; --runtime chooses.

    Without --local, guard and function calling run on the remote Triton of `model_serving.remote.url`.
    """
    selected_mode = mode(local=local, cpu=cpu)
    if grace is not None and not foreground:
        raise UsageError("--grace needs --foreground; without it, give --grace to `archgw down`")
    if quick_start and config is not None:
        raise UsageError("--quick-start has its own configuration; leave out either --quick-start or CONFIG")
    path = asset(QUICK_START) / "arch_config.yaml" if quick_start else config or DEFAULT_PATH
    layout = run_layout(run_dir)
    with signals_raise():
        try:
            with _progress() as say:
                running = start(
                    StartOptions(path, selected_mode, timeout, quick_start, runtime.runtime, images, network),
                    layout,
                    say,
                )
        except InterruptedStartError as interruption:
            typer.echo(f"archgw: {interruption}, {_state_after_interruption(layout)}", err=True)
            raise typer.Exit(128 + interruption.number) from None
        with _attached(layout, DEFAULT_GRACE if grace is None else grace) if foreground else _detached():
            _announce(running, layout)
            if quick_start:
                # Imported here: its HTTP client takes a third of a second to import.
                from controlplane.quickstart import sample_prompts  # noqa: PLC0415

                sample_prompts.run(_listener_url(running.state, "ingress"), typer.echo)
            if foreground:
                # Returns on `archgw down` or the supervisor's own end; one killed by a signal is a failure.
                code = running.wait()
                raise typer.Exit(0 if code == 0 else 1)


def _state_after_interruption(layout: RunLayout) -> str:
    """Returns what an interrupted start leaves: an interrupted update does not stop the running gateway."""
    with signals_ignored(), suppress(RuntimeFault):
        if runner_of(layout).services() is not None:
            return "the gateway is still running, possibly partly updated: run `archgw up` again"
    return "everything is stopped"


@contextmanager
def _attached(layout: RunLayout, grace_s: float) -> Iterator[None]:
    """Stops the gateway after the block. A first signal drains it and exits 0; a second one stops it at once."""
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
    """Leaves the gateway running after the block."""
    try:
        yield
    except InterruptedStartError as interruption:
        typer.echo(f"archgw: {interruption}; the gateway keeps running, stop it with `archgw down`", err=True)
        raise typer.Exit(128 + interruption.number) from None


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows progress as one changing line on a terminal, as a line each elsewhere. Warnings and notes always stay."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: typer.echo(text, err=True)
        return
    with console.status("starting") as status:

        def show(text: str) -> None:
            if text.startswith(("warning: ", "note: ")):
                console.print(text, markup=False, highlight=False)
            else:
                # Square brackets are markup to rich.
                status.update(text.replace("[", r"\["))

        yield show


def _announce(running: RunningGateway, layout: RunLayout) -> None:
    listeners = running.state.listeners
    typer.echo(f"ready: {', '.join(f'{listener.name} on {listener.url}' for listener in listeners)}")
    rows = [
        (f"  {role.role}", backend.model, backend.where, readiness(backend), f"p50 {milliseconds(backend.p50_ms)}")
        for role in running.roles
        for backend in role.places
    ]
    typer.echo("\n".join(["models:", *columns(rows)] if rows else ["models: none is used"]))
    typer.echo(f"run directory {layout.root}")
    # Quotes the brackets of IPv6.
    url = shlex.quote(f"{listeners[0].url}/v1/chat/completions")
    body = '{"model": "none", "messages": [{"role": "user", "content": "Hello"}]}'
    typer.echo(f"try: curl {url} -H 'content-type: application/json' -d '{body}'")
    sys.stdout.flush()


def _listener_url(state: State, name: str) -> str:
    return next(listener.url for listener in state.listeners if listener.name == name)
