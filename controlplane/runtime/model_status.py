"""Status of each role's model at each of its backends, merged from the reports of all filter workers. Pure.

Used by `archgw up` and `archgw status`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Final

from controlplane.compile.plans import RoleLocation
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role
from extproc.shared.worker_status import BackendStatus, WorkerStatus

# Reasons that a worker reports: the served model does not fit the role; the worker has not called it yet.
MISMATCH: Final = "mismatch"
STARTING: Final = "starting"

# Envoy's message about a TLS failure has some 350 characters, and the reason is at its end.
_MAX_DETAIL: Final = 500


@dataclass(frozen=True, slots=True)
class BackendSummary:
    """A role's model at one backend, over all workers. The field names are keys of `archgw status --json`.

    `ready`: every worker reports it as ready; otherwise `reason` and `detail` are those of one worker. `p50_ms`: median
    of the last calls; `queue_ms`, `compute_ms`: means that the server reports. None if unknown. `skipped`: number of
    calls that skipped this backend, by reason.
    """

    place: Place
    model: str
    where: str
    ready: bool
    reason: str
    detail: str
    calls: int
    p50_ms: float | None
    queue_ms: float | None
    compute_ms: float | None
    skipped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RoleSummary:
    """A role and its backends in order of preference. `failed`: number of calls that no backend answered, by reason.

    The field names are keys of `archgw status --json`.
    """

    role: str
    ready: bool
    places: tuple[BackendSummary, ...]
    failed: Mapping[str, int]


def merge_workers(backends: Sequence[RoleLocation], workers: Sequence[WorkerStatus]) -> tuple[RoleSummary, ...]:
    """Return a summary of every role. `workers`: reports of the workers that answered."""
    return tuple(_role(role, tuple(group), workers) for role, group in groupby(backends, key=lambda each: each.role))


def mismatch(roles: Sequence[RoleSummary]) -> str | None:
    """Return a message that names the served models that do not fit their role; None if all fit."""
    faults = [
        f"{role.role} on {backend.where} is not what the gateway needs: {backend.detail}"
        for role in roles
        for backend in role.places
        if backend.reason == MISMATCH
    ]
    return "\n".join(faults) or None


def not_ready_reason(backend: BackendSummary) -> str:
    """Return location and reason: `grpcs://triton.example.com: unreachable, connection refused`."""
    return f"{backend.where}: {', '.join(filter(None, (backend.reason, backend.detail)))}"


def _printable(detail: str) -> str:
    """Return one line of limited length without control characters: the text may come from a foreign server."""
    text = "".join(character if character.isprintable() else " " for character in detail)
    return text if len(text) <= _MAX_DETAIL else f"{text[:_MAX_DETAIL]}..."


def _role(role: str, backends: Sequence[RoleLocation], workers: Sequence[WorkerStatus]) -> RoleSummary:
    summaries = tuple(_backend(each, workers) for each in backends)
    failed: Counter[str] = Counter()
    for worker in workers:
        if (report := worker.roles.get(Role(role))) is not None:
            failed.update(report.failed)
    return RoleSummary(role, any(each.ready for each in summaries), summaries, dict(failed))


def _backend(backend: RoleLocation, workers: Sequence[WorkerStatus]) -> BackendSummary:
    reports: list[BackendStatus] = []
    skipped: Counter[str] = Counter()
    for worker in workers:
        if (role := worker.roles.get(Role(backend.role))) is not None:
            reports += (each for each in role.backends if each.place is backend.place)
            for skip, count in role.skipped.items():
                place, _, reason = skip.partition(":")
                if place == backend.place:
                    skipped[reason] += count
    fault = next((each for each in reports if not each.ready), None)
    recent_ms = [duration for each in reports for duration in each.recent_ms]
    return BackendSummary(
        place=backend.place,
        model=backend.model,
        where=backend.where,
        ready=bool(reports) and fault is None,
        reason=fault.reason if fault else "" if reports else "unknown",
        detail=_printable(fault.detail) if fault else "" if reports else "no filter worker reports",
        calls=sum(each.calls for each in reports),
        p50_ms=median(recent_ms) if recent_ms else None,
        queue_ms=next((each.queue_ms for each in reports if each.queue_ms is not None), None),
        compute_ms=next((each.compute_ms for each in reports if each.compute_ms is not None), None),
        skipped=dict(skipped),
    )
