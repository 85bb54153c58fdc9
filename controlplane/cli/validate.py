"""`archgw validate`: is this file right? Reads, checks and compiles it; starts nothing, writes nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import Mode, TargetEnvironment, TritonSockets
from controlplane.config.addresses import host_and_port
from controlplane.config.arch import ArchConfig
from controlplane.config.load import DEFAULT_PATH, load
from controlplane.errors import Problem

ConfigArgument = Annotated[Path, typer.Argument(metavar="[CONFIG]", help="The configuration file.", show_default=True)]

# A site that has everything: whether another has what the file needs is for `up` to say, there.
_SITE = TargetEnvironment(
    triton=TritonSockets(http="http", grpc="grpc"),
    workers=1,
    internal_socket="",
    repair_lock="",
    gpu="any",
    vllm=True,
)


def validate(config: ConfigArgument = DEFAULT_PATH) -> None:
    """Check a configuration file: exit 0 when it is right, else 2 and every problem with its line and column."""
    loaded = load(config, os.environ)
    # A role without a model of this machine may still have one on the remote Triton, where the file names it.
    mode = Mode.REMOTE if loaded.config.model_serving.remote else Mode.LOCAL_GPU
    compile_gateway(loaded.config, replace(_SITE, mode=mode), loaded.own)
    for warning in loaded.warnings:
        typer.echo(str(as_warning(warning)), err=True)
    typer.echo(f"{config}: {summary(loaded.config, len(loaded.warnings))}")


def summary(config: ArchConfig, warnings: int = 0) -> str:
    """One line that tells the author that the file was understood as meant."""
    ingress, egress = config.listeners.ingress, config.listeners.egress
    doors = [
        f"{name} on {host_and_port(door.address, door.port)}"
        for name, door in (("ingress", ingress), ("egress", egress))
        if door.enabled
    ]
    parts = [
        *doors,
        _counted(len(config.llm_providers), "provider"),
        _counted(len(config.prompt_targets), "prompt target"),
        _counted(len(config.endpoints), "endpoint"),
        f"guards: {', '.join(config.prompt_guards.input_guards.on) or 'none'}",
    ]
    warned = f" with {_counted(warnings, 'warning')}" if warnings else ""
    return f"valid{warned}: {', '.join(parts)}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def as_warning(problem: Problem) -> Problem:
    """The problem, marked as one that stops nothing."""
    return replace(problem, message=f"warning: {problem.message}")
