"""How fast a model reads, from what it computed lately: so that a text too long to read in time is known beforehand."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Final

_REMEMBERED: Final = 64
# Less work says more of what a call costs by itself.
_LEAST_BYTES: Final = 256


class Speed:
    """`bytes_per_s`: the median of the last calls, in bytes of prose (work.py); None before the first."""

    def __init__(self) -> None:
        self.bytes_per_s: float | None = None
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)

    def measured(self, done: int, compute_ms: float) -> None:
        """A call of so much work took so long to compute."""
        if done >= _LEAST_BYTES and compute_ms > 0:
            self._recent.append(done / compute_ms * 1000)
            self.bytes_per_s = statistics.median(self._recent)
