"""How long all model work of one request may still take, whatever role and however many attempts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# `time.monotonic()` seconds; None: the work belongs to no request, and each attempt has its whole deadline.
_ENDS: ContextVar[float | None] = ContextVar("archgw_budget", default=None)


@contextmanager
def spending(ms: int) -> Iterator[None]:
    """From now on the block's model calls, tasks that it starts included, share so many milliseconds, and no more than
    what is left of a budget around it.
    """
    around, ends = _ENDS.get(), time.monotonic() + ms / 1000
    token = _ENDS.set(ends if around is None else min(around, ends))
    try:
        yield
    finally:
        _ENDS.reset(token)


def left_s() -> float | None:
    """Seconds, not above zero where the budget is spent; None outside of any."""
    ends = _ENDS.get()
    return None if ends is None else ends - time.monotonic()
