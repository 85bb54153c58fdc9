"""Whether a backend is asked at all: a circuit breaker. Pure, but for the clock that it is given.

closed ── a call fails ──> open ── a probe is due ──> half-open ── it is answered ──> closed
                             ^───────────────── it is not ─────────┘
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from extproc.inference.call_failures import Fault, Reason

# A busy model answers late; only one that is late every time is down.
TIMEOUTS_TOLERATED: Final = 2

# A place that answers the probe and fails the next call is left alone a second longer each time, up to so many: a
# call that waits for it in vain costs more than the stand-in. It counts as such so long after it was closed.
_MOST_HELD_S: Final = 3.0
_SETTLED_S: Final = 10.0

_STARTING: Final = Fault(Reason.STARTING, "not asked yet")


class Breaker:
    """`stands_in`: whether another place answers instead, so that the first failure is enough.

    `fault` is why calls pass it over; None: they do not.
    """

    def __init__(self, *, stands_in: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.fault: Fault | None = _STARTING
        self._stands_in = stands_in
        self._clock = clock
        self._timeouts = 0
        self._held_s = 0.0
        self._opened = self._closed = float("-inf")

    def answered(self) -> None:
        """A call was."""
        self._timeouts = 0

    def failed(self, fault: Fault) -> bool:
        """A call did, or the probe of a closed place. Whether that opened it."""
        if self.fault is not None:
            # It began before that, and says nothing new.
            return False
        self._timeouts = self._timeouts + 1 if fault.reason is Reason.TIMEOUT else 0
        if not self._stands_in and 0 < self._timeouts <= TIMEOUTS_TOLERATED:
            return False
        now = self._clock()
        settled = now - self._closed > _SETTLED_S
        if self._stands_in:
            self._held_s = 1.0 if settled else min(self._held_s + 1.0, _MOST_HELD_S)
        self._opened = now
        self.fault = fault
        return True

    @property
    def probe_due(self) -> bool:
        """Half-open: the next probe decides. A closed place is probed too, before somebody's prompt is."""
        return self.fault is None or self._clock() - self._opened >= self._held_s

    def probed(self, fault: Fault | None) -> bool:
        """What became of the probe. Whether that opened or closed it, or is the first that is known."""
        if fault is not None:
            if self.fault is None:
                return self.failed(fault)
            first = self.fault is _STARTING
            self.fault = fault
            return first
        self._timeouts = 0
        if self.fault is None:
            return False
        self.fault = None
        self._closed = self._clock()
        return True
