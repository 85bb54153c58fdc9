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
from controlplane.render.ca_bundle import ca_bundle
from controlplane.render.envoy_validation import find_envoy, validate_with_envoy
from controlplane.render.gateway_files import render as render_files
from controlplane.render.proto_validation import validate_types
from controlplane.render.rendered_files import RenderedFiles
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import run_directory
from controlplane.runtime.docker.compose_directory import write
from controlplane.runtime.docker.compose_file import host_paths, render_container_files, triton_variant
from controlplane.runtime.docker.container_environment import (
    CONTAINER_LAYOUT,
    container_environment,
    loopback_note,
    project_name,
)
from controlplane.runtime.docker.images import required_images
from controlplane.runtime.runner import Runtime
from controlplane.runtime.target_environment import compile_for, compile_native

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
            help=f"Write what containers read below {CONTAINER_LAYOUT.root}, by default there: "
            "for a Compose file of one's own.",
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
    selected_mode = mode(local=local, cpu=cpu)
    loaded = load(config, os.environ)
    for warning in loaded.warnings:
        _say(f"warning: {warning}")
    layout = CONTAINER_LAYOUT if output is None else RunLayout(output.absolute())
    if inside:
        rendered = _inside(_for_containers(loaded, selected_mode, workers), layout)
    elif runtime is Runtime.DOCKER:
        gateway = _for_containers(loaded, selected_mode, workers)
        needed = required_images(triton_variant(gateway.models), local=bool(gateway.models.names), registry=images)
        rendered = write(gateway, layout, project_name(layout), needed)
    else:
        layout = run_directory.run_layout(output, "--output")
        rendered = _native(compile_native(loaded, layout, selected_mode, _say), layout)
    typer.echo(f"{len(rendered.files)} files in {output or layout.root}, {_envoy_check_result(inside=inside)}")


def _envoy_check_result(*, inside: bool) -> str:
    if find_envoy():
        return "checked with Envoy"
    # The filter's image has no Envoy; the Envoy container will check the files.
    hint = "" if inside else ": pip install 'archgw[local]'"
    return f"not checked with Envoy, which is not installed{hint}"


def _native(gateway: Gateway, layout: RunLayout) -> RenderedFiles:
    rendered = render_files(gateway, layout)
    validate_types(rendered.files)
    if (envoy := find_envoy()) is not None:
        validate_with_envoy(envoy, rendered.files)
    rendered.write(layout.root)
    return rendered


def _for_containers(loaded: LoadedConfig, selected_mode: Mode, workers: int | None) -> Gateway:
    """Raises UsageError when the file and the command line give different numbers of workers."""
    cores = len(os.sched_getaffinity(0))
    environment = container_environment(
        selected_mode, workers or cores, _GPU if selected_mode is Mode.LOCAL_GPU else None
    )
    gateway = compile_for(environment, loaded, _NO_GPU, _say)
    if workers not in {None, gateway.envoy.workers}:
        raise UsageError(
            f"overrides.filter_workers is {gateway.envoy.workers} and --workers is {workers}; leave out either of them"
        )
    if gateway.loopback_keys:
        _say(loopback_note(gateway))
    return gateway


def _inside(gateway: Gateway, layout: RunLayout) -> RenderedFiles:
    """Renders files for containers. They belong to the current user, which all archgw containers share."""
    trusted = ca_bundle()
    rendered = render_container_files(gateway, trusted)
    validate_types(rendered.files)
    if (envoy := find_envoy()) is not None:
        validate_with_envoy(envoy, rendered.files, host_paths(gateway, trusted))
    run_directory.create(layout)
    if (
        layout == CONTAINER_LAYOUT
    ):  # what an earlier configuration left, a key above all; another folder's files are not ours
        run_directory.remove_stale(layout, {*rendered.files, *rendered.links})
    rendered.write(layout.root)
    return rendered


def _say(text: str) -> None:
    typer.echo(text, err=True)
