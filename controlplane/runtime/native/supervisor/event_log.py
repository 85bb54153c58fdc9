"""The supervisor's own log: a line of JSON for each start, death and stop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import msgspec


class _Log(Protocol):
    def put(self, lines: bytes) -> None: ...


def write(own: _Log, event: str, /, **fields: str | int | None) -> None:
    """Add the event with its fields to the supervisor's own log."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    own.put(msgspec.json.encode({"time": time, "event": event, **fields}) + b"\n")
