"""Per-request statistics in a context variable: model calls, API calls, stages that were skipped.

Written by `inference`, `targets` and `pipeline`; read by request_stream.py. Background work is not recorded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from extproc.shared.filter_config import Place
from extproc.shared.roles import Role


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One attempt. `began` and `ended` are seconds of `time.perf_counter()`.

    `compute_ms` is None if the model does not report it. `network_ms` is the time of a round trip to the server without
    any computing. `reason` is one word for a failure, empty for a success.
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
        """The rest of the call: the wait behind other requests at the server."""
        return None if self.compute_ms is None else max(0.0, self.total_ms - self.compute_ms - self.network_ms)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call of an endpoint."""

    began: float
    ended: float


class Stage(StrEnum):
    """A stage without which an answer is possible, but worse. `NLI` refines the intent, `GROUNDING` the arguments."""

    GUARD = "guard"
    INTENT = "intent"
    NLI = "nli"
    GROUNDING = "grounding"


@dataclass(slots=True)
class RequestStats:
    """The calls made for one request, and the stages that it was answered without (`degraded`)."""

    began: float = field(default_factory=time.perf_counter)
    models: list[ModelCall] = field(default_factory=list)
    apis: list[ApiCall] = field(default_factory=list)
    degraded: set[Stage] = field(default_factory=set)


_CURRENT: ContextVar[RequestStats | None] = ContextVar("archgw_request_stats", default=None)


def current() -> RequestStats | None:
    """Returns the statistics of the request that this task works for; None for background work."""
    return _CURRENT.get()


def record_degraded(stage: Stage) -> None:
    """Records that the request goes on without `stage`, whose model gave no answer."""
    stats = _CURRENT.get()
    if stats is not None:
        stats.degraded.add(stage)


@contextmanager
def collect() -> Iterator[RequestStats]:
    """Collects the statistics of the block, including tasks that it starts."""
    stats = RequestStats()
    token = _CURRENT.set(stats)
    try:
        yield stats
    finally:
        _CURRENT.reset(token)
