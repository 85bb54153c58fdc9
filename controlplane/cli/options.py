"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic_core import PydanticCustomError

from controlplane.config.model_serving import Mode
from controlplane.config.quantities import MINUTE, SECOND, duration_between
from controlplane.errors import UsageError
from controlplane.runtime.runner import Runtime

RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", metavar="DIR", help="The folder of the gateway's files; each gateway needs its own."),
]
Local = Annotated[
    bool, typer.Option("--local", help="Run all models on this machine's NVIDIA GPU, none on a remote Triton.")
]
# Arch's documentation has always spelt it -cpu.
Cpu = Annotated[bool, typer.Option("--cpu", "-cpu", help="With --local: run them on the CPU.")]


class RuntimeName(StrEnum):
    """The values of `--runtime`."""

    AUTO = "auto"
    DOCKER = "docker"
    NATIVE = "native"

    @property
    def runtime(self) -> Runtime | None:
        """The runtime, None for the first that is available."""
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
        help="For missing images: as `docker build --network`; use `host` when containers cannot reach the network.",
    ),
]


def _grace(value: str) -> float:
    try:
        return _parse_grace(value) / SECOND
    except PydanticCustomError as error:
        raise typer.BadParameter(" ".join(filter(None, (error.message(), (error.context or {}).get("hint"))))) from None


_parse_grace: Final = duration_between(0, 60 * MINUTE)
# Seconds; few completions take longer.
DEFAULT_GRACE: Final = 30.0
Grace = Annotated[
    float | None,
    typer.Option(
        "--grace",
        metavar="DURATION",
        parser=_grace,
        help="The time for running requests to finish, such as 90s or 5m; 30s by default.",
    ),
]


def mode(*, local: bool, cpu: bool) -> Mode:
    """Returns the mode of the models. Raises UsageError for --cpu without --local."""
    if cpu and not local:
        raise UsageError("-cpu needs --local: write --local -cpu")
    if not local:
        return Mode.REMOTE
    return Mode.LOCAL_CPU if cpu else Mode.LOCAL_GPU
