"""The deadline that all model calls of one request share. Set by gateway.py and the guards, read by every call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Seconds of `time.monotonic()`. None: the work belongs to no request, and each call has the deadline of its role.
_DEADLINE: ContextVar[float | None] = ContextVar("archgw_deadline", default=None)


@contextmanager
def limit(ms: int) -> Iterator[None]:
    """Gives the model calls of the block, including tasks that it starts, a common deadline.

    An earlier deadline around the block stays in force.
    """
    outer, ends = _DEADLINE.get(), time.monotonic() + ms / 1000
    token = _DEADLINE.set(ends if outer is None else min(outer, ends))
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def remaining_s() -> float | None:
    """Returns the seconds until the deadline, 0 or less once it has passed; None without a deadline."""
    ends = _DEADLINE.get()
    return None if ends is None else ends - time.monotonic()
