"""The reading speed of a model, measured from recent calls. The guards refuse a text that takes too long to read."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Final

_CALLS: Final = 64
# The time of a shorter call is mostly overhead.
_MIN_BYTES: Final = 256


class ReadingSpeed:
    """`bytes_per_s` is the median of the last calls, in bytes of prose (text_cost.py); None before the first."""

    def __init__(self) -> None:
        self.bytes_per_s: float | None = None
        self._recent: deque[float] = deque(maxlen=_CALLS)

    def record(self, prose_bytes: int, compute_ms: float) -> None:
        """Records a call. Short calls are ignored."""
        if prose_bytes >= _MIN_BYTES and compute_ms > 0:
            self._recent.append(prose_bytes / compute_ms * 1000)
            self.bytes_per_s = statistics.median(self._recent)
