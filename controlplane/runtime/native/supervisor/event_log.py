"""The supervisor's own log: one line of JSON per start, end and stop of a service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import msgspec


class _Log(Protocol):
    def put(self, lines: bytes) -> None: ...


def write(log: _Log, event: str, /, **fields: str | int | None) -> None:
    """Append an event with its fields to the supervisor's own log."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    log.put(msgspec.json.encode({"time": time, "event": event, **fields}) + b"\n")
