"""The options of `archgw up` and its result, for both runtimes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from controlplane.compile.plans import Gateway
from controlplane.config.model_serving import Mode
from controlplane.runtime.gateway_state import PublicListener, State
from controlplane.runtime.model_status import RoleSummary
from controlplane.runtime.runner import Runtime

QUICK_START: Final = "examples/quickstart"
SAMPLE_API_PORT: Final = 18083


@dataclass(frozen=True, slots=True)
class StartOptions:
    """`runtime` None: Docker if available, else native. `images`: registry folder of archgw's images."""

    config: Path
    mode: Mode
    deadline_s: float
    quick_start: bool = False
    runtime: Runtime | None = None
    images: str | None = None
    build_network: str | None = None


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that answers. `wait` blocks until it ends and returns an exit code: 0 if it was told to stop."""

    state: State
    roles: tuple[RoleSummary, ...]
    wait: Callable[[], int]


def initial_state(options: StartOptions, gateway: Gateway, services: tuple[str, ...]) -> State:
    """Return the state to save before the services are started."""
    return State(
        mode=options.mode,
        config=str(options.config.absolute()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        listeners=tuple(
            PublicListener(each.name, each.address.host, each.address.port) for each in gateway.envoy.listeners
        ),
        places=gateway.places,
        services=services,
    )
