"""The status of the gateway in a run directory: services, listeners, models, logs. Used by `archgw status`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from controlplane.render.run_layout import RunLayout
from controlplane.runtime import listener_health, model_status
from controlplane.runtime.command_lines import ENVOY, worker_indices
from controlplane.runtime.gateway_state import PublicListener, State, load_state
from controlplane.runtime.model_status import RoleSummary
from controlplane.runtime.native import gateway_processes
from controlplane.runtime.runner import DroppedLines, Runtime, ServiceState
from controlplane.runtime.runner_selection import runner_of


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service. `since`: RFC 3339; None if it does not run."""

    name: str
    state: str
    pid: int | None
    since: str | None
    ports: dict[str, int]


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """One public listener. `reason`: why it is not ready."""

    name: str
    url: str
    ready: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """A gateway. The field names are the keys of `archgw status --json`; there, services are called parts.

    `ready`: every service runs, every listener is ready, every role has a ready backend. `logs`: those that lost lines
    since the start. `unsupervised`: process ids of a gateway whose supervisor was killed. It still answers requests,
    but no process that dies is restarted.
    """

    run_dir: str
    running: bool
    ready: bool
    runtime: Runtime | None = None
    mode: str | None = None
    config: str | None = None
    since: str | None = None
    parts: tuple[ServiceStatus, ...] = ()
    listeners: tuple[ListenerStatus, ...] = ()
    roles: tuple[RoleSummary, ...] = ()
    logs: tuple[DroppedLines, ...] = ()
    unsupervised: tuple[int, ...] = ()


def status(layout: RunLayout) -> Status:
    runner = runner_of(layout)
    state, services = load_state(layout), runner.services()
    if state is None or services is None:
        return Status(
            run_dir=str(layout.root),
            running=False,
            ready=False,
            unsupervised=gateway_processes.find(layout.root)
            if runner.runtime is Runtime.NATIVE and services is None
            else (),
        )
    services = _with_missing(state, services)
    listeners = tuple(_listener(listener) for listener in state.listeners)
    roles = model_status.merge_workers(state.places, runner.workers(worker_indices(state.services)))
    return Status(
        run_dir=str(layout.root),
        running=True,
        ready=all(
            (
                *(service.running for service in services),
                *(listener.ready for listener in listeners),
                *(role.ready for role in roles),
            )
        ),
        runtime=runner.runtime,
        mode=state.mode,
        config=state.config,
        since=state.since,
        parts=tuple(
            ServiceStatus(
                name=service.name,
                state=service.state.lower(),
                pid=service.pid,
                since=_time(service.since) if service.pid else None,
                ports=_ports(service.name, state),
            )
            for service in services
        ),
        listeners=listeners,
        roles=roles,
        logs=runner.dropped_lines(),
    )


def _with_missing(state: State, services: Sequence[ServiceState]) -> tuple[ServiceState, ...]:
    """Return `services` plus those of the state that do not exist, such as a container that somebody removed."""
    names = {service.name for service in services}
    missing = (ServiceState(name, "MISSING", None, 0, "") for name in state.services if name not in names)
    return tuple(sorted((*services, *missing), key=lambda service: service.name))


def _listener(listener: PublicListener) -> ListenerStatus:
    health = listener_health.probe(listener)
    return ListenerStatus(listener.name, listener.url, health.ready, None if health.ready else health.text.strip())


def _ports(service: str, state: State) -> dict[str, int]:
    if service == ENVOY:
        return {listener.name: listener.port for listener in state.listeners}
    return {}


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
