"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.compile.plans import Mode
from controlplane.errors import UsageError

RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", metavar="DIR", help="Where the gateway's files lie; several gateways need several."),
]
Local = Annotated[
    bool, typer.Option("--local", help="Run all models on this machine's NVIDIA GPU, none on a remote Triton.")
]
# With one dash too, as the documentation of Arch has always spelt it.
Cpu = Annotated[bool, typer.Option("--cpu", "-cpu", help="With --local: run them on the CPU.")]


def mode(*, local: bool, cpu: bool) -> Mode:
    """Where the command line says that models run. UsageError where it says half of it."""
    if cpu and not local:
        raise UsageError("-cpu goes with --local, which it says the processor of: write --local -cpu")
    if not local:
        return Mode.REMOTE
    return Mode.LOCAL_CPU if cpu else Mode.LOCAL_GPU
