"""Lines of several logs in the order of their times. Used by `archgw logs`. Pure."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

# `time` of our own JSON and of the access log, and the first field of Envoy's lines.
_ISO: Final = re.compile(r'(?:^\[|"time": ?")(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(?:Z|[+-]\d\d:?\d\d))')
# Triton's, in UTC: I0131 23:59:59.123456 1 server.cc:241]
_GLOG: Final = re.compile(r"^[IWEF](\d{4} \d\d:\d\d:\d\d\.\d{6}) ")
_UNKNOWN: Final = datetime.min.replace(tzinfo=UTC)


def line_time(line: str, now: datetime) -> datetime | None:
    """When a line was written; None where it does not say. Of a time without a year, the last one before `now`."""
    if found := _ISO.search(line):
        return datetime.fromisoformat(found[1])
    if found := _GLOG.match(line):
        for year in (now.year, now.year - 1):
            try:
                time = datetime.strptime(f"{year}{found[1]}", "%Y%m%d %H:%M:%S.%f").replace(tzinfo=UTC)
            except ValueError:
                continue
            # Clocks of two machines differ.
            if time <= now + timedelta(days=1):
                return time
    return None


def merge_logs(logs: Mapping[str, Iterable[str]], now: datetime) -> Iterator[tuple[str, str]]:
    """Name and line, the oldest first. A line without a time, as of a traceback, stays behind the one before it."""
    merged = heapq.merge(*(_timed(name, lines, now) for name, lines in logs.items()), key=lambda each: each[0])
    return ((name, line) for _, name, line in merged)


def _timed(name: str, lines: Iterable[str], now: datetime) -> Iterator[tuple[datetime, str, str]]:
    lines = list(lines)
    # Threads of one part may write their lines in another order than that of their times: they stay as written.
    times = accumulate((line_time(line, now) or _UNKNOWN for line in lines), max)
    return ((time, name, line) for time, line in zip(times, lines, strict=True))


def is_health_check(line: str) -> bool:
    """True for a line of the access log about `GET /healthz`."""
    if '"healthz"' not in line:
        return False
    try:
        fields = json.loads(line)
    except ValueError:
        return False
    return isinstance(fields, dict) and fields.get("decision") == "healthz"
