"""`archgw validate`: reads, checks and compiles a configuration file; starts nothing, writes nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import TargetEnvironment, TritonSockets
from controlplane.config.addresses import host_and_port
from controlplane.config.arch_config import ArchConfig
from controlplane.config.load import DEFAULT_PATH, load
from controlplane.config.model_serving import Mode
from controlplane.errors import Problem

ConfigArgument = Annotated[Path, typer.Argument(metavar="[CONFIG]", help="The configuration file.", show_default=True)]

# An environment with all features: `archgw up` checks those of the real one.
_SITE = TargetEnvironment(
    triton=TritonSockets(http="http", grpc="grpc"),
    workers=1,
    internal_socket="",
    reload_lock="",
    gpu="any",
    vllm=True,
)


def validate(config: ConfigArgument = DEFAULT_PATH) -> None:
    """Check a configuration file: exit 0 when it is valid, else 2 with the line and column of every problem."""
    loaded = load(config, os.environ)
    # With a remote Triton, a role may do without a local model.
    mode = Mode.REMOTE if loaded.config.model_serving.remote else Mode.LOCAL_GPU
    compile_gateway(loaded.config, replace(_SITE, mode=mode), loaded.custom_models)
    for warning in loaded.warnings:
        typer.echo(str(as_warning(warning)), err=True)
    typer.echo(f"{config}: {summary(loaded.config, len(loaded.warnings))}")


def summary(config: ArchConfig, warnings: int = 0) -> str:
    """Returns one line about the content of the file, so that the author can see that it was understood."""
    ingress, egress = config.listeners.ingress, config.listeners.egress
    listeners = [
        f"{name} on {host_and_port(listener.address, listener.port)}"
        for name, listener in (("ingress", ingress), ("egress", egress))
        if listener.enabled
    ]
    parts = [
        *listeners,
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
    """Returns the problem with its message marked as a warning."""
    return replace(problem, message=f"warning: {problem.message}")
