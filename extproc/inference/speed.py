"""How fast a model reads, from what it computed lately: so that a text too long to read in time is known beforehand."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Final

_REMEMBERED: Final = 64
# Fewer bytes of text say more of what a call costs by itself.
_LEAST_BYTES: Final = 256


class Speed:
    """`bytes_per_s`: the median of the last calls, None before the first."""

    def __init__(self) -> None:
        self.bytes_per_s: float | None = None
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)

    def measured(self, size: int, compute_ms: float) -> None:
        """A call with so many bytes of text took so long to compute."""
        if size >= _LEAST_BYTES and compute_ms > 0:
            self._recent.append(size / compute_ms * 1000)
            self.bytes_per_s = statistics.median(self._recent)
