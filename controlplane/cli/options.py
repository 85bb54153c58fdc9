"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controlplane.compile.plans import Mode
from controlplane.errors import UsageError
from controlplane.runtime.runner import Runtime

RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", metavar="DIR", help="Where the gateway's files lie; several gateways need several."),
]
Local = Annotated[
    bool, typer.Option("--local", help="Run all models on this machine's NVIDIA GPU, none on a remote Triton.")
]
# With one dash too, as the documentation of Arch has always spelt it.
Cpu = Annotated[bool, typer.Option("--cpu", "-cpu", help="With --local: run them on the CPU.")]


class RuntimeName(StrEnum):
    """What `--runtime` takes."""

    AUTO = "auto"
    DOCKER = "docker"
    NATIVE = "native"

    @property
    def runtime(self) -> Runtime | None:
        """None: whichever can be had."""
        return None if self is RuntimeName.AUTO else Runtime(self)


RuntimeChoice = Annotated[RuntimeName, typer.Option("--runtime", help="Containers, or processes of this machine.")]
Images = Annotated[
    str | None,
    typer.Option(
        "--images", metavar="REPO", envvar="ARCHGW_IMAGES", help="With Docker: a registry's images of archgw."
    ),
]
BuildNetwork = Annotated[
    str | None,
    typer.Option(
        "--build-network",
        metavar="NET",
        envvar="ARCHGW_BUILD_NETWORK",
        help="For images that are built first: `docker build --network`; `host` where containers have no way out.",
    ),
]


def mode(*, local: bool, cpu: bool) -> Mode:
    """Where the command line says that models run. UsageError where it says half of it."""
    if cpu and not local:
        raise UsageError("-cpu goes with --local, which it says the processor of: write --local -cpu")
    if not local:
        return Mode.REMOTE
    return Mode.LOCAL_CPU if cpu else Mode.LOCAL_GPU
