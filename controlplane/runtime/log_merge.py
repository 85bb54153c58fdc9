"""Merges the lines of several logs by time. Used by `archgw logs`. Pure."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

# Field `time` of our JSON logs and of the access log; first field of Envoy's own lines.
_ISO: Final = re.compile(r'(?:^\[|"time": ?")(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(?:Z|[+-]\d\d:?\d\d))')
# Triton's lines, in UTC: I0131 23:59:59.123456 1 server.cc:241]
_GLOG: Final = re.compile(r"^[IWEF](\d{4} \d\d:\d\d:\d\d\.\d{6}) ")
_UNKNOWN: Final = datetime.min.replace(tzinfo=UTC)


def line_time(line: str, now: datetime) -> datetime | None:
    """Return the time of a line, or None if it has none. A time without a year gets the latest possible one."""
    if match := _ISO.search(line):
        return datetime.fromisoformat(match[1])
    if match := _GLOG.match(line):
        for year in (now.year, now.year - 1):
            try:
                time = datetime.strptime(f"{year}{match[1]}", "%Y%m%d %H:%M:%S.%f").replace(tzinfo=UTC)
            except ValueError:
                continue
            # The clocks of two machines may differ.
            if time <= now + timedelta(days=1):
                return time
    return None


def merge_logs(logs: Mapping[str, Iterable[str]], now: datetime) -> Iterator[tuple[str, str]]:
    """Yield (log name, line), oldest first. A line without a time, as in a traceback, follows the line before it."""
    merged = heapq.merge(*(_timed(name, lines, now) for name, lines in logs.items()), key=lambda each: each[0])
    return ((name, line) for _, name, line in merged)


def _timed(name: str, lines: Iterable[str], now: datetime) -> Iterator[tuple[datetime, str, str]]:
    lines = list(lines)
    # Threads of one service may write lines out of order. The running maximum keeps the order of the file.
    times = accumulate((line_time(line, now) or _UNKNOWN for line in lines), max)
    return ((time, name, line) for time, line in zip(times, lines, strict=True))


def is_health_check(line: str) -> bool:
    """Return True for an access log line of `GET /healthz`."""
    if '"healthz"' not in line:
        return False
    try:
        fields = json.loads(line)
    except ValueError:
        return False
    return isinstance(fields, dict) and fields.get("decision") == "healthz"
