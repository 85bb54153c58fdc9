"""`archgw render`: writes all files that a gateway runs from, without starting it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.options import Cpu, Images, Local, mode
from controlplane.compile.plans import Gateway
from controlplane.config.load import DEFAULT_PATH, LoadedConfig, load
from controlplane.config.model_serving import Mode
from controlplane.errors import UsageError
from controlplane.render.envoy import check_with_envoy, find_envoy
from controlplane.render.files import Rendered
from controlplane.render.files import render as render_files
from controlplane.render.trust import ca_file
from controlplane.render.types import check_types
from controlplane.runtime import place
from controlplane.runtime.docker.compose import here, render_inside, variant
from controlplane.runtime.docker.directory import write
from controlplane.runtime.docker.images import wanted as wanted_images
from controlplane.runtime.docker.site import INSIDE, container_site, elsewhere_note, project_name
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.runner import Runtime
from controlplane.runtime.site import compile_at, compile_here

# `archgw render` does not contact the engine, which may be on another machine.
_GPU = "NVIDIA GPU"
_NO_GPU = "only `archgw up` asks the engine whether it has a GPU"


def render(  # noqa: PLR0913, PLR0917 - one a command line option
    config: Annotated[Path, typer.Argument(metavar="[CONFIG]", help="The configuration file.")] = DEFAULT_PATH,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The folder to write the files to.")
    ] = None,
    local: Local = False,
    cpu: Cpu = False,
    runtime: Annotated[
        Runtime, typer.Option("--runtime", help="For processes of this machine, or for containers with a compose.yaml.")
    ] = Runtime.NATIVE,
    images: Images = None,
    inside: Annotated[
        bool,
        typer.Option(
            "--inside",
            help=f"Write what containers read below {INSIDE.root}, by default there: for a Compose file of one's own.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="The number of filter workers; by default one a core."),
    ] = None,
) -> None:
    """Write Envoy's configuration, the filter configuration and the model repository; start nothing."""
    if output is None and not inside:
        raise UsageError("render needs an output folder: archgw render -o DIR")
    if runtime is Runtime.NATIVE and not inside and (workers is not None or images is not None):
        option = "--images" if workers is None else "--workers"
        raise UsageError(f"{option} is for containers: add --runtime docker, or leave it out")
    wanted = mode(local=local, cpu=cpu)
    loaded = load(config, os.environ)
    for warning in loaded.warnings:
        _say(f"warning: {warning}")
    layout = INSIDE if output is None else RunLayout(output.absolute())
    if inside:
        rendered = _inside(_for_containers(loaded, wanted, workers), layout)
    elif runtime is Runtime.DOCKER:
        gateway = _for_containers(loaded, wanted, workers)
        needed = wanted_images(variant(gateway.models), local=bool(gateway.models.names), registry=images)
        rendered = write(gateway, layout, project_name(layout), needed)
    else:
        layout = place.run_layout(output, "--output")
        rendered = _native(compile_here(loaded, layout, wanted, _say), layout)
    typer.echo(f"{len(rendered.files)} files in {output or layout.root}, {_envoy_check_result(inside=inside)}")


def _envoy_check_result(*, inside: bool) -> str:
    if find_envoy():
        return "checked with Envoy"
    # The filter's image has no Envoy; the Envoy container will check the files.
    hint = "" if inside else ": pip install 'archgw[local]'"
    return f"not checked with Envoy, which is not installed{hint}"


def _native(gateway: Gateway, layout: RunLayout) -> Rendered:
    rendered = render_files(gateway, layout)
    check_types(rendered.files)
    if (envoy := find_envoy()) is not None:
        check_with_envoy(envoy, rendered.files)
    rendered.write(layout.root)
    return rendered


def _for_containers(loaded: LoadedConfig, wanted: Mode, workers: int | None) -> Gateway:
    """Raises UsageError when the file and the command line give different numbers of workers."""
    cores = len(os.sched_getaffinity(0))
    site = container_site(wanted, workers or cores, _GPU if wanted is Mode.LOCAL_GPU else None)
    gateway = compile_at(site, loaded, _NO_GPU, _say)
    if workers not in {None, gateway.envoy.workers}:
        raise UsageError(
            f"overrides.filter_workers is {gateway.envoy.workers} and --workers is {workers}; leave out either of them"
        )
    if gateway.loopback_keys:
        _say(elsewhere_note(gateway))
    return gateway


def _inside(gateway: Gateway, layout: RunLayout) -> Rendered:
    """Renders files for containers. They belong to the current user, which all archgw containers share."""
    trusted = ca_file()
    rendered = render_inside(gateway, trusted)
    check_types(rendered.files)
    if (envoy := find_envoy()) is not None:
        check_with_envoy(envoy, rendered.files, here(gateway, trusted))
    place.make(layout)
    if layout == INSIDE:  # what an earlier configuration left, a key above all; another folder's files are not ours
        place.prune(layout, {*rendered.files, *rendered.links})
    rendered.write(layout.root)
    return rendered


def _say(text: str) -> None:
    typer.echo(text, err=True)
