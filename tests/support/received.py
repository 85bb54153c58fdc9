"""Requests that a mock server received, as they arrived, for assertions."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

# One test may send a few 10 MiB bodies; a soak sends 100,000 small ones.
MAX_REQUESTS: Final = 2_000
MAX_BYTES: Final = 256 * 1024 * 1024


class Outcome(StrEnum):
    """The end of an exchange, seen from the server."""

    OPEN = "open"
    ANSWERED = "answered"
    CUT = "cut"
    ABANDONED = "abandoned"  # the client disconnected before the answer was complete


@dataclass(slots=True)
class Received:
    """One request. Header names are lower case; a header sent twice stands twice in `headers`."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    outcome: Outcome = field(default=Outcome.OPEN)

    def header(self, name: str) -> str | None:
        """The first header of that name, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError` when it is not."""
        return json.loads(self.body)


class ReceivedLog:
    """The latest requests, bounded in number and in bytes. Written by the server's thread, read by the test's."""

    def __init__(self, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES) -> None:
        self._requests: deque[Received] = deque()
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._bytes = 0
        self._total = 0
        self._changed = threading.Condition()

    @property
    def total(self) -> int:
        """All requests since the last `clear`, those no longer kept included."""
        return self._total

    def add(self, received: Received) -> None:
        with self._changed:
            self._requests.append(received)
            self._bytes += len(received.body)
            self._total += 1
            while len(self._requests) > self._max_requests or self._bytes > self._max_bytes:
                self._bytes -= len(self._requests.popleft().body)
            self._changed.notify_all()

    def finish(self, received: Received, outcome: Outcome) -> None:
        with self._changed:
            received.outcome = outcome
            self._changed.notify_all()

    def all(self) -> list[Received]:
        with self._changed:
            return list(self._requests)

    def clear(self) -> None:
        with self._changed:
            self._requests.clear()
            self._bytes = self._total = 0

    def wait(self, count: int = 1, seconds: float = 5.0, *, finished: bool = False) -> list[Received]:
        """The requests, once `count` of them have come (and, with `finished`, none of them is still open).

        Raises `TimeoutError`.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (
                self._total >= count
                and (not finished or all(request.outcome is not Outcome.OPEN for request in self._requests))
            ):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{self._total} of {count} requests after {seconds} s")
            return list(self._requests)
