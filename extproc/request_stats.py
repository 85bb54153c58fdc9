"""What one request cost: which model, at which place, the calls of APIs, and what it had to do without. One a request,
found by whoever works for it; work that belongs to no request costs nobody.

Written by `inference`, `targets` and `pipeline`, read by whoever answers the request.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from extproc.shared.filter_config import Place, Role


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One attempt. Times are `time.perf_counter()`'s seconds, durations milliseconds.

    `compute_ms` None: the model does not say. `network_ms`: how long a round trip to the server takes that computes
    nothing. `reason`: why it failed, one word; empty where it did not.
    """

    role: Role
    place: Place
    began: float
    ended: float
    compute_ms: float | None = None
    network_ms: float = 0.0
    reason: str = ""

    @property
    def total_ms(self) -> float:
        return (self.ended - self.began) * 1000

    @property
    def queue_ms(self) -> float | None:
        """What is left of the call: waiting behind others at the server."""
        return None if self.compute_ms is None else max(0.0, self.total_ms - self.compute_ms - self.network_ms)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call of an endpoint."""

    began: float
    ended: float


class Stage(StrEnum):
    """What a request can be answered without, though worse. `NLI` makes the intent surer, `GROUNDING` the arguments."""

    GUARD = "guard"
    INTENT = "intent"
    NLI = "nli"
    GROUNDING = "grounding"


@dataclass(slots=True)
class RequestStats:
    """Everything that was done for one request, and in `degraded` what was not."""

    began: float = field(default_factory=time.perf_counter)
    models: list[ModelCall] = field(default_factory=list)
    apis: list[ApiCall] = field(default_factory=list)
    degraded: set[Stage] = field(default_factory=set)


_CURRENT: ContextVar[RequestStats | None] = ContextVar("archgw_costs", default=None)


def current() -> RequestStats | None:
    """The costs of the request that this task works for; None: of none."""
    return _CURRENT.get()


def degraded(stage: Stage) -> None:
    """The request goes on without `stage`, whose model gave no answer."""
    costs = _CURRENT.get()
    if costs is not None:
        costs.degraded.add(stage)


@contextmanager
def counted() -> Iterator[RequestStats]:
    """The costs of the request that the block answers, tasks that it starts included."""
    costs = RequestStats()
    token = _CURRENT.set(costs)
    try:
        yield costs
    finally:
        _CURRENT.reset(token)
