"""The client of one role: it calls the preferred backend and falls back to the next ones. Used by role_clients.py.

A backend whose circuit breaker is open is skipped until its watch (health.py) closes the breaker.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, TypeVar

from extproc import request_stats
from extproc.inference import deadline
from extproc.inference.backend_client import NEARLY_ALL, BackendClient, late_detail
from extproc.inference.call_failures import CallFailed, Failure, FailureReason
from extproc.inference.connections import ServerConnection
from extproc.inference.interface import RoleUnavailable
from extproc.request_stats import ModelCall
from extproc.shared.filter_config import Place, RoleBackends
from extproc.shared.roles import Role
from extproc.shared.scripts import Script
from extproc.shared.worker_status import RoleStatus

_DEADLINE_PASSED: Final = Failure(FailureReason.BUDGET, "the deadline for the models of this request has passed")

T = TypeVar("T")


class RoleClient:
    """`backends` are in order of preference."""

    def __init__(self, role: Role, config: RoleBackends, connections: Mapping[Place, ServerConnection]) -> None:
        self.role = role
        self._timeout_s = config.timeout_ms / 1000
        last = len(config.backends) - 1
        self.backends = tuple(
            BackendClient(role, backend, connections[backend.place], self._timeout_s, has_fallback=index < last)
            for index, backend in enumerate(config.backends)
        )
        self._skipped: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    @property
    def failure(self) -> Failure | None:
        """The reason why no backend is available; None if one is."""
        failures = [backend.breaker.failure for backend in self.backends]
        return None if None in failures else failures[-1]

    @property
    def bytes_per_s(self) -> float | None:
        """The reading speed of the backend that is called now; None if it is unknown."""
        current = self._current
        return None if current is None else current.bytes_per_s

    @property
    def scripts(self) -> frozenset[Script]:
        """The scripts that the model of the backend that is called now reads; empty: all."""
        return (self._current or self.backends[0]).scripts

    @property
    def _current(self) -> BackendClient | None:
        return next((backend for backend in self.backends if backend.breaker.failure is None), None)

    async def call(
        self, work: Callable[[BackendClient, float], Awaitable[T]], places: Collection[str] | None = None
    ) -> tuple[Place, T]:
        """Returns the place of the first backend of `places` at which `work` succeeds, and the result of `work`.

        `work` takes a backend and a timeout in seconds, and raises `CallFailed`. Raises `RoleUnavailable`.
        """
        failure = Failure(FailureReason.UNREACHABLE, "the role has no backend at these places")
        tried: BackendClient | None = None
        for backend in self.backends:
            if places is not None and backend.place not in places:
                continue
            if tried is not None:
                _count(self._skipped, f"{tried.place}:{failure.reason}")
            if (wait_s := self._remaining_s()) <= 0:
                failure = _DEADLINE_PASSED
                break
            tried = backend
            open_reason = await _open_reason(backend, wait_s)
            if open_reason is not None:
                failure = open_reason
                _add_skipped_call(backend, failure)
                continue
            # The wait for the first probe may have used up the time.
            if (timeout_s := self._remaining_s()) <= 0:
                failure = _DEADLINE_PASSED
                break
            began = time.perf_counter()
            try:
                result = await work(backend, timeout_s)
            except CallFailed as failed:
                failure = failed.failure
                if failure.reason is FailureReason.TIMEOUT and timeout_s < NEARLY_ALL * self._timeout_s:
                    # The backend had less time than its timeout, and is not at fault.
                    failure = Failure(FailureReason.BUDGET, late_detail(timeout_s))
                elif not failed.caused_by_request:
                    backend.record_failure(failure)
            else:
                backend.record_success(time.perf_counter() - began)
                return backend.place, result
        _count(self._failed, failure.reason)
        raise RoleUnavailable(self.role, failure.reason, failure.detail)

    def _remaining_s(self) -> float:
        """Returns the timeout of an attempt that starts now, 0 or less once the request's deadline has passed."""
        remaining_s = deadline.remaining_s()
        return self._timeout_s if remaining_s is None else min(self._timeout_s, remaining_s)

    async def status(self) -> RoleStatus:
        backends = await asyncio.gather(*(backend.status() for backend in self.backends))
        return RoleStatus(backends=tuple(backends), skipped=dict(self._skipped), failed=dict(self._failed))


async def _open_reason(backend: BackendClient, timeout_s: float) -> Failure | None:
    """Returns the reason why the breaker is open. In a worker that has just started, waits for the first probe."""
    if backend.breaker.failure is not None and not backend.probed.is_set():
        try:
            async with asyncio.timeout(timeout_s):
                await backend.probed.wait()
        except TimeoutError:
            # Later requests do not wait again.
            backend.probed.set()
    return backend.breaker.failure


def _count(counts: Counter[str], event: str) -> None:
    """Counts an event of a request. The gateway's own work, which repeats failed calls by itself, is not counted."""
    if request_stats.current() is not None:
        counts[event] += 1


def _add_skipped_call(backend: BackendClient, failure: Failure) -> None:
    """Adds a call of no duration to the request's statistics, with the reason why the backend was skipped."""
    stats = request_stats.current()
    if stats is not None:
        now = time.perf_counter()
        stats.models.append(ModelCall(backend.role, backend.place, now, now, reason=failure.reason))
