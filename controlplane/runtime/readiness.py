"""Waiting until a gateway answers on every listener, or saying which part is to blame."""

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
from controlplane.runtime.model_status import STARTING, BackendSummary, RoleSummary, merge, mismatch, why
from controlplane.runtime.runner import Runner, ServiceState
from extproc.shared.filter_config import Place

# A part that has been started so often will not come up by waiting.
_STARTS: Final = 3
_LOG_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class StartedGateway:
    """A gateway that has been started and may answer soon.

    `check` raises RuntimeFault when whoever starts its parts has given up.
    """

    runner: Runner
    state: State
    check: Callable[[], None]


def wait_ready(started: StartedGateway, deadline_s: float, say: Callable[[str], None]) -> tuple[RoleSummary, ...]:
    """Return when every listener answers /healthz with 200, which takes Envoy, the filter and its models.

    The gateway's own models are waited for, also where a remote one would do; a remote one for which another place
    stands in is warned about. Where `deadline_s` has passed, a gateway is good enough that has one place a role.

    RuntimeFault when a part keeps failing, when a model is not what the gateway needs, or when it is not ready in time;
    with the last lines of the part that is service, if one is.
    """
    runner, state = started.runner, started.state
    deadline = time.monotonic() + deadline_s
    starts: defaultdict[str, set[int]] = defaultdict(set)
    said = ""
    while True:
        started.check()
        states = runner.parts() or ()
        for each in states:
            if each.since:
                starts[each.name].add(each.since)
            if each.state in {"BACKOFF", "EXITED"} and len(starts[each.name]) >= _STARTS:
                raise fault_with_log(
                    f"{each.name} does not start ({each.fault or each.state.lower()})", runner, each.name
                )
        workers = worker_indices(state.parts)
        answers = runner.workers(workers)
        roles = merge(state.places, answers)
        if (fault := mismatch(roles)) is not None:
            raise RuntimeFault(fault)
        # One that does not answer yet may take requests a moment later, and know nothing of its models then.
        waiting = _waiting_for(state, roles) if len(answers) == len(workers) else "waiting for the filter"
        late = time.monotonic() > deadline
        if waiting is None and (late or (waiting := _loading(roles) or _starting(state, states)) is None):
            _warn(roles, say)
            return roles
        if waiting != said:
            said = waiting
            say(waiting)
        if late:
            known = "".join(f"\n{role.role} is not ready on {why(each)}" for role, each in _remote_faults(roles))
            reason = f"not ready after {deadline_s:g} s: {waiting}{known}"
            raise fault_with_log(reason, runner, _failing_service(state, roles, states))
        time.sleep(runner.poll_s)


def _waiting_for(state: State, roles: Sequence[RoleSummary]) -> str | None:
    """What is not there yet, in words; None when a request would be answered."""
    if missing := [role.role for role in roles if not role.ready]:
        return f"waiting for {', '.join(missing)}"
    # Envoy asks one worker at a time: all of them are to have been asked, most likely.
    for _ in range(1 + 2 * len(worker_indices(state.parts))):
        for door in state.doors:
            health = listener_health.probe(door)
            if health.status is None:
                return f"waiting for the {door.name} listener"
            if not health.ready:
                return f"waiting for {', '.join(health.not_ready) or 'the filter'}"
    return None


def _starting(state: State, states: Sequence[ServiceState]) -> str | None:
    """The part that has not run for long enough to say that it does; None where all do."""
    running = {each.name for each in states if each.running}
    return next((f"waiting for {name}" for name in state.parts if name not in running), None)


def _remote_faults(roles: Sequence[RoleSummary]) -> Iterator[tuple[RoleSummary, BackendSummary]]:
    """Why each role that has no place is not ready elsewhere; of a place here, its own log tells more."""
    return (
        (role, each)
        for role in roles
        if not role.ready
        for each in role.places
        if each.place is Place.REMOTE and each.reason
    )


def _loading(roles: Sequence[RoleSummary]) -> str | None:
    """Which models a gateway that can answer already waits for: its own, and those that were not asked yet."""
    names = [
        f"{role.role} on {each.where}"
        for role in roles
        for each in role.places
        if not each.ready and (each.place is Place.LOCAL or each.reason == STARTING)
    ]
    return f"waiting for {', '.join(names)}" if names else None


def _warn(roles: Sequence[RoleSummary], say: Callable[[str], None]) -> None:
    for role in roles:
        for each in role.places:
            if not each.ready:
                say(f"warning: {role.role} is not ready on {why(each)}; another place stands in for it")


def _failing_service(state: State, roles: Sequence[RoleSummary], states: Sequence[ServiceState]) -> str | None:
    """The part that most likely keeps the rest from being ready; None where it is none of ours."""
    failing = [each.name for each in states if each.state not in {"RUNNING", "STARTING"}]
    service = failing[0] if failing else None
    if service is None and any(each.place is Place.LOCAL and not each.ready for role in roles for each in role.places):
        service = TRITON
    if service is None and any(listener_health.probe(door).status is None for door in state.doors):
        service = ENVOY
    if service is None and all(role.ready for role in roles):
        service = next((name for name in state.parts if is_worker(name)), None)
    return service if service in state.parts else None


def fault_with_log(reason: str, runner: Runner, part: str | None) -> RuntimeFault:
    """`reason`, with the last lines of the part that is to blame, where one is."""
    if part is None:
        return RuntimeFault(reason)
    shown = "".join(f"\n  {line}" for line in runner.last_lines(part, _LOG_LINES)) or " is empty"
    return RuntimeFault(f"{reason}\nlast lines of {runner.place(part)}:{shown}")
