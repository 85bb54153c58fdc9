"""What `archgw up` was asked for, and what it brought up. The same for both runtimes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from controlplane.compile.plans import Gateway
from controlplane.config.model_serving import Mode
from controlplane.runtime.roles import RoleState
from controlplane.runtime.runner import Runtime
from controlplane.runtime.state import Door, State

QUICK_START: Final = "examples/quickstart"
SAMPLE_API_PORT: Final = 18083


@dataclass(frozen=True, slots=True)
class Wanted:
    """`runtime` None: whichever can be had, Docker first. `images`: a registry's folder with the images of ours."""

    config: Path
    mode: Mode
    deadline_s: float
    quick_start: bool = False
    runtime: Runtime | None = None
    images: str | None = None
    build_network: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers. `wait` returns when it has ended: 0 where it was told to."""

    state: State
    roles: tuple[RoleState, ...]
    wait: Callable[[], int]


def state_of(wanted: Wanted, gateway: Gateway, parts: tuple[str, ...]) -> State:
    """The state as it is saved before the parts are started."""
    return State(
        mode=wanted.mode,
        config=str(wanted.config.absolute()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        doors=tuple(Door(each.name, each.address.host, each.address.port) for each in gateway.envoy.listeners),
        places=gateway.places,
        parts=parts,
    )
