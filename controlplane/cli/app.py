"""The `archgw` command: assembles the subcommands and converts errors to exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import controlplane
from controlplane.cli import models
from controlplane.cli.build import build
from controlplane.cli.down import down
from controlplane.cli.generate_prompt_targets import generate_prompt_targets
from controlplane.cli.logs import logs
from controlplane.cli.render import render
from controlplane.cli.schema import schema
from controlplane.cli.status import status
from controlplane.cli.up import up
from controlplane.cli.validate import validate
from controlplane.errors import ArchgwError, ConfigError, SourceError

app = typer.Typer(
    name="archgw",
    help="An AI gateway for the edge of a platform: Envoy, and small models on your own Triton.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"archgw {controlplane.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


app.add_typer(models.app, name="models")
app.command()(validate)
app.command()(schema)
app.command()(generate_prompt_targets)
app.command()(render)
app.command()(up)
app.command()(down)
app.command()(status)
app.command()(logs)
app.command()(build)


def main() -> None:
    """Entry point. Exit codes: 0 success, 1 failure, 2 wrong usage or configuration. Errors go to stderr, as text."""
    try:
        app()
    except ArchgwError as error:
        # A problem in a file begins with file:line:column, which editors and CI systems expect at the line's start.
        typer.echo(str(error) if isinstance(error, ConfigError | SourceError) else f"archgw: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        # The message of an OSError names its file.
        typer.echo(f"archgw: {error}", err=True)
        sys.exit(1)
