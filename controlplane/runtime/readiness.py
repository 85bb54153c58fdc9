"""Waits until a started gateway answers on every listener, or names the service that prevents it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.errors import RuntimeFault
from controlplane.runtime import listener_health
from controlplane.runtime.command_lines import ENVOY, TRITON, is_worker, worker_indices
from controlplane.runtime.gateway_state import State
from controlplane.runtime.model_status import (
    STARTING,
    BackendSummary,
    RoleSummary,
    merge_workers,
    mismatch,
    not_ready_reason,
)
from controlplane.runtime.runner import Runner, ServiceState
from extproc.shared.filter_config import Place

# A service that ended this often will not start by waiting longer.
_MAX_STARTS: Final = 3
_LOG_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class StartedGateway:
    """A gateway whose services are being started.

    `check` raises RuntimeFault if the supervisor, or Compose, has given up.
    """

    runner: Runner
    state: State
    check: Callable[[], None]


def wait_ready(started: StartedGateway, deadline_s: float, say: Callable[[str], None]) -> tuple[RoleSummary, ...]:
    """Return when every listener answers /healthz with 200. That needs Envoy, the filter and the models.

    Waits for local models even if a remote backend of their role is ready. Only warns about a remote model that is not
    ready if another backend of its role is. After `deadline_s`, one ready backend per role is enough.

    RuntimeFault if a service keeps failing, if a model does not fit its role, or after `deadline_s`. The message ends
    with the last log lines of the failing service, if there is one.
    """
    runner, state = started.runner, started.state
    deadline = time.monotonic() + deadline_s
    starts: defaultdict[str, set[int]] = defaultdict(set)
    last_progress = ""
    while True:
        started.check()
        services = runner.services() or ()
        for service in services:
            if service.since:
                starts[service.name].add(service.since)
            if service.state in {"BACKOFF", "EXITED"} and len(starts[service.name]) >= _MAX_STARTS:
                reason = f"{service.name} does not start ({service.fault or service.state.lower()})"
                raise fault_with_log(reason, runner, service.name)
        indices = worker_indices(state.services)
        workers = runner.workers(indices)
        roles = merge_workers(state.places, workers)
        if (fault := mismatch(roles)) is not None:
            raise RuntimeFault(fault)
        # A worker that has not reported yet may soon take requests, without knowing its models.
        waiting = _missing(state, roles) if len(workers) == len(indices) else "waiting for the filter"
        late = time.monotonic() > deadline
        if waiting is None and (late or (waiting := _loading_models(roles) or _starting(state, services)) is None):
            _warn(roles, say)
            return roles
        if waiting != last_progress:
            last_progress = waiting
            say(waiting)
        if late:
            faults = "".join(
                f"\n{role.role} is not ready on {not_ready_reason(backend)}" for role, backend in _remote_faults(roles)
            )
            reason = f"not ready after {deadline_s:g} s: {waiting}{faults}"
            raise fault_with_log(reason, runner, _failing_service(state, roles, services))
        time.sleep(runner.poll_s)


def _missing(state: State, roles: Sequence[RoleSummary]) -> str | None:
    """Return what is not ready, in words; None if a request would be answered."""
    if missing := [role.role for role in roles if not role.ready]:
        return f"waiting for {', '.join(missing)}"
    # Envoy picks a worker for each probe. With this many probes, each worker has most likely answered one.
    for _ in range(1 + 2 * len(worker_indices(state.services))):
        for listener in state.listeners:
            health = listener_health.probe(listener)
            if health.status is None:
                return f"waiting for the {listener.name} listener"
            if not health.ready:
                return f"waiting for {', '.join(health.not_ready) or 'the filter'}"
    return None


def _starting(state: State, services: Sequence[ServiceState]) -> str | None:
    """Name the first service that is not RUNNING yet; None if all are."""
    running = {service.name for service in services if service.running}
    return next((f"waiting for {name}" for name in state.services if name not in running), None)


def _remote_faults(roles: Sequence[RoleSummary]) -> Iterator[tuple[RoleSummary, BackendSummary]]:
    """Yield the faulty remote backends of roles without a ready one. The logs of local ones say more."""
    return (
        (role, backend)
        for role in roles
        if not role.ready
        for backend in role.places
        if backend.place is Place.REMOTE and backend.reason
    )


def _loading_models(roles: Sequence[RoleSummary]) -> str | None:
    """Name the models to wait for although requests are answered: local ones, and those not called yet."""
    names = [
        f"{role.role} on {backend.where}"
        for role in roles
        for backend in role.places
        if not backend.ready and (backend.place is Place.LOCAL or backend.reason == STARTING)
    ]
    return f"waiting for {', '.join(names)}" if names else None


def _warn(roles: Sequence[RoleSummary], say: Callable[[str], None]) -> None:
    for role in roles:
        for backend in role.places:
            if not backend.ready:
                say(f"warning: {role.role} is not ready on {not_ready_reason(backend)}; another place stands in for it")


def _failing_service(state: State, roles: Sequence[RoleSummary], services: Sequence[ServiceState]) -> str | None:
    """Return the service that most likely keeps the gateway from being ready; None if the cause is outside."""
    failing = [service.name for service in services if service.state not in {"RUNNING", "STARTING"}]
    name = failing[0] if failing else None
    if name is None and any(
        backend.place is Place.LOCAL and not backend.ready for role in roles for backend in role.places
    ):
        name = TRITON
    if name is None and any(listener_health.probe(listener).status is None for listener in state.listeners):
        name = ENVOY
    if name is None and all(role.ready for role in roles):
        name = next((service for service in state.services if is_worker(service)), None)
    return name if name in state.services else None


def fault_with_log(reason: str, runner: Runner, service: str | None) -> RuntimeFault:
    """Return a fault with the reason, and the last log lines of `service` unless it is None."""
    if service is None:
        return RuntimeFault(reason)
    shown = "".join(f"\n  {line}" for line in runner.last_lines(service, _LOG_LINES)) or " is empty"
    return RuntimeFault(f"{reason}\nlast lines of {runner.log_location(service)}:{shown}")
