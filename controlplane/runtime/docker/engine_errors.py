"""Turns failures of Docker into RuntimeFaults. Line 1 says what happened, the others give the way out. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.errors import RuntimeFault
from controlplane.runtime.docker.engine_requirements import INSTALL_URL
from controlplane.runtime.docker.error_patterns import BLAMED_CONTAINER, EXPLANATIONS, Failure, last_lines, quoted

# Longer lines are cut before the search: some patterns take quadratic time.
_MAX_SEARCHED: Final = 2_000


def no_cli() -> RuntimeFault:
    """Return the fault for a missing `docker` program."""
    return RuntimeFault(
        f"there is no `docker` on PATH\nInstall Docker: {INSTALL_URL}\nor run without containers: --runtime native"
    )


def timed_out(doing: str, seconds: float) -> RuntimeFault:
    """Return the fault for a command that did not end within `seconds`."""
    return RuntimeFault(
        f"Docker did not answer within {seconds:g} s: {doing}\n"
        "The engine hangs, is busy, or is far away. Look at: docker info, journalctl -u docker"
    )


def not_docker(reason: str) -> RuntimeFault:
    """Return the fault for a program named `docker` whose output is not Docker's."""
    return RuntimeFault(
        f"`docker` on PATH does not answer as Docker does: {reason}\n"
        f"Another program, like Podman's, may go by that name. Install Docker: {INSTALL_URL}"
    )


@dataclass(frozen=True, slots=True)
class BlamedContainer:
    """A container that an error message names, by its name or by its Compose service."""

    container: str | None = None
    service: str | None = None


def blamed_container(output: str) -> BlamedContainer | None:
    """Return the container whose failure made Docker fail; None if the output names none."""
    match = BLAMED_CONTAINER.search(output)
    return None if match is None else BlamedContainer(match["container"], match["service"])


def explain(
    doing: str, output: str, *, ports: Mapping[int, str] | None = None, lines: Sequence[str] = ()
) -> RuntimeFault:
    """Return the fault that explains Docker's `output`. `doing`: the action in words ("starting the containers").

    `ports`: published port -> configuration key. `lines`: last log lines of the blamed container.
    """
    output = "\n".join(line[:_MAX_SEARCHED] for line in output.splitlines())
    failure = Failure(doing, output, ports or {}, lines)
    for explanation, patterns in EXPLANATIONS:
        for pattern in patterns:
            if match := re.search(pattern, output, re.IGNORECASE):
                return RuntimeFault(explanation(failure, match))
    return RuntimeFault(f"{doing} failed, and Docker says:{quoted(last_lines(output))}")
