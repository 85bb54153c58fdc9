"""The circuit breaker of a backend. Pure except for its clock. Used by backend_client.py and health.py.

closed ── a call fails ──> open ── a probe is due ──> half-open ── the probe succeeds ──> closed
                             ^──────────────── the probe fails ────────┘
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from extproc.inference.call_failures import Failure, FailureReason

# A busy model is late now and then. Only a backend that is late every time is down.
TIMEOUTS_TOLERATED: Final = 2

# If a backend passes its probe and then fails a call, its breaker stays open a second longer each time, up to this
# limit: a failed call costs more than the fallback. After a settled period, it starts at one second again.
_MAX_OPEN_S: Final = 3.0
_SETTLED_S: Final = 10.0

_STARTING: Final = Failure(FailureReason.STARTING, "not probed yet")


class CircuitBreaker:
    """`failure` is the reason why the breaker is open, None while it is closed.

    With `has_fallback`, another backend answers instead, and the first failure opens the breaker.
    """

    def __init__(self, *, has_fallback: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.failure: Failure | None = _STARTING
        self._has_fallback = has_fallback
        self._clock = clock
        self._timeouts = 0
        self._open_s = 0.0
        self._opened_at = self._closed_at = float("-inf")

    def record_success(self) -> None:
        """Records a call that succeeded."""
        self._timeouts = 0

    def record_failure(self, failure: Failure) -> bool:
        """Records a call that failed. Returns whether this opened the breaker."""
        if self.failure is not None:
            # The call began before the breaker opened.
            return False
        self._timeouts = self._timeouts + 1 if failure.reason is FailureReason.TIMEOUT else 0
        if not self._has_fallback and 0 < self._timeouts <= TIMEOUTS_TOLERATED:
            return False
        now = self._clock()
        is_settled = now - self._closed_at > _SETTLED_S
        if self._has_fallback:
            self._open_s = 1.0 if is_settled else min(self._open_s + 1.0, _MAX_OPEN_S)
        self._opened_at = now
        self.failure = failure
        return True

    @property
    def probe_due(self) -> bool:
        """True if a probe may run now. A closed breaker is probed too, to find a failure before a prompt does."""
        return self.failure is None or self._clock() - self._opened_at >= self._open_s

    def record_probe(self, failure: Failure | None) -> bool:
        """Records a probe, `failure` None for one that succeeded.

        Returns whether this opened or closed the breaker, or was the first probe.
        """
        if failure is not None:
            if self.failure is None:
                return self.record_failure(failure)
            is_first = self.failure is _STARTING
            self.failure = failure
            return is_first
        self._timeouts = 0
        if self.failure is None:
            return False
        self.failure = None
        self._closed_at = self._clock()
        return True
