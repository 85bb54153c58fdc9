"""What runs in a run directory, part by part."""

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
    """One process. `since` is RFC 3339; None while it does not run."""

    name: str
    state: str
    pid: int | None
    since: str | None
    ports: dict[str, int]


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """One public listener: whether it answers, else why not."""

    name: str
    url: str
    ready: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """A gateway. `ready`: every part runs, every listener says that it is ready, every role has a place that is.

    `logs`: those of which lines were dropped since the start. `unsupervised`: process ids of a gateway whose supervisor
    was killed; it answers on, and nobody starts again what dies of it.
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
    state, parts = load_state(layout), runner.parts()
    if state is None or parts is None:
        return Status(
            run_dir=str(layout.root),
            running=False,
            ready=False,
            unsupervised=gateway_processes.find(layout.root)
            if runner.runtime is Runtime.NATIVE and parts is None
            else (),
        )
    shown = _all_of(state, parts)
    listeners = tuple(_door(door) for door in state.doors)
    models = model_status.merge(state.places, runner.workers(worker_indices(state.parts)))
    return Status(
        run_dir=str(layout.root),
        running=True,
        ready=all(
            (
                *(part.running for part in shown),
                *(door.ready for door in listeners),
                *(role.ready for role in models),
            )
        ),
        runtime=runner.runtime,
        mode=state.mode,
        config=state.config,
        since=state.since,
        parts=tuple(
            ServiceStatus(
                name=part.name,
                state=part.state.lower(),
                pid=part.pid,
                since=_time(part.since) if part.pid else None,
                ports=_ports(part.name, state),
            )
            for part in shown
        ),
        listeners=listeners,
        roles=models,
        logs=runner.dropped_lines(),
    )


def _all_of(state: State, parts: Sequence[ServiceState]) -> list[ServiceState]:
    """`parts`, and those that should be there and are not: a container that somebody removed."""
    names = {part.name for part in parts}
    missing = (ServiceState(name, "MISSING", None, 0, "") for name in state.parts if name not in names)
    return sorted((*parts, *missing), key=lambda part: part.name)


def _door(door: PublicListener) -> ListenerStatus:
    health = listener_health.probe(door)
    return ListenerStatus(door.name, door.url, health.ready, None if health.ready else health.text.strip())


def _ports(part: str, state: State) -> dict[str, int]:
    if part == ENVOY:
        return {door.name: door.port for door in state.doors}
    return {}


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
