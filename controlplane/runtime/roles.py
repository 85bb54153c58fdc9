"""How each role's model stands at each of its places: what all workers say, put together. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Final

from controlplane.compile.plans import RoleLocation
from extproc.shared.filter_config import Place, Role
from extproc.shared.worker_status import BackendStatus, WorkerStatus

# Reasons that a worker gives: the server's model is not what the role needs; the worker has not asked it yet.
MISMATCH: Final = "mismatch"
STARTING: Final = "starting"

# Envoy says why TLS failed at the end of some 350 characters.
_LONGEST_DETAIL: Final = 500


@dataclass(frozen=True, slots=True)
class PlaceState:
    """A role's model at one place. It is ready when every worker says so; else `reason` and `detail` are one worker's.

    `p50_ms`: of the last calls; `queue_ms`, `compute_ms`: the server's own means. None where there is nothing to say.
    `skipped`: how often it was passed over, by reason.
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
class RoleState:
    """A role, and its places in order of preference. `failed`: how often none was left, by reason."""

    role: str
    ready: bool
    places: tuple[PlaceState, ...]
    failed: Mapping[str, int]


def merge(places: Sequence[RoleLocation], workers: Sequence[WorkerStatus]) -> tuple[RoleState, ...]:
    """Every role of the gateway; `workers` are those that answered."""
    return tuple(_role(role, tuple(its), workers) for role, its in groupby(places, key=lambda each: each.role))


def mismatch(states: Sequence[RoleState]) -> str | None:
    """What is served and is not what the gateway asks for, expected and found; None where nothing is."""
    faults = [
        f"{state.role} on {each.where} is not what the gateway needs: {each.detail}"
        for state in states
        for each in state.places
        if each.reason == MISMATCH
    ]
    return "\n".join(faults) or None


def why(place: PlaceState) -> str:
    """Where it is and why it is not ready: `grpcs://triton.example.com: unreachable, connection refused`."""
    return f"{place.where}: {', '.join(filter(None, (place.reason, place.detail)))}"


def _plain(detail: str) -> str:
    """On one line and of one screen: it may hold what a server elsewhere said, which a terminal would obey."""
    words = "".join(character if character.isprintable() else " " for character in detail)
    return words if len(words) <= _LONGEST_DETAIL else f"{words[:_LONGEST_DETAIL]}..."


def _role(role: str, places: Sequence[RoleLocation], workers: Sequence[WorkerStatus]) -> RoleState:
    states = tuple(_place(each, workers) for each in places)
    failed: Counter[str] = Counter()
    for worker in workers:
        if (said := worker.roles.get(Role(role))) is not None:
            failed.update(said.failed)
    return RoleState(role, any(each.ready for each in states), states, dict(failed))


def _place(place: RoleLocation, workers: Sequence[WorkerStatus]) -> PlaceState:
    said: list[BackendStatus] = []
    skipped: Counter[str] = Counter()
    for worker in workers:
        if (status := worker.roles.get(Role(place.role))) is not None:
            said += (each for each in status.backends if each.place is place.place)
            for skip, count in status.skipped.items():
                where, _, reason = skip.partition(":")
                if where == place.place:
                    skipped[reason] += count
    fault = next((each for each in said if not each.ready), None)
    recent = [duration for each in said for duration in each.recent_ms]
    return PlaceState(
        place=place.place,
        model=place.model,
        where=place.where,
        ready=bool(said) and fault is None,
        reason=fault.reason if fault else "" if said else "unknown",
        detail=_plain(fault.detail) if fault else "" if said else "no filter worker says",
        calls=sum(each.calls for each in said),
        p50_ms=median(recent) if recent else None,
        queue_ms=next((each.queue_ms for each in said if each.queue_ms is not None), None),
        compute_ms=next((each.compute_ms for each in said if each.compute_ms is not None), None),
        skipped=dict(skipped),
    )
