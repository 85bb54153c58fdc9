"""Merging of logs by time, and recognition of health checks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controlplane.runtime.log_merge import is_health_check, line_time, merge_logs

NOW = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ('{"time":"2026-01-01T00:00:00.000+00:00","level":"info"}', NEW_YEAR),
        ('{"status":200,"time":"2026-01-01T00:00:00.000Z"}', NEW_YEAR),
        ("[2025-12-31T19:00:00.000-0500][7][warning][main] [source/x.cc:1] text", NEW_YEAR),
        ("[2025-12-31T19:00:00.000-05:00][7][warning][main] [source/x.cc:1] text", NEW_YEAR),
        ('I0101 00:00:00.000000 7 server.cc:241] "ready"', NEW_YEAR),
        ('W1231 00:00:00.000000 7 server.cc:241] "ready"', datetime(2025, 12, 31, tzinfo=UTC)),
        ('E0229 00:00:00.000000 7 server.cc:241] "in no year near"', None),
        ("Traceback (most recent call last):", None),
        ("", None),
    ],
)
def test_reads_the_time_of_a_line(line: str, time: datetime | None) -> None:
    assert line_time(line, NOW) == time


def envoy(second: int, text: str) -> str:
    return f"[2026-01-01T00:00:{second:02}.000+00:00][7][warning][main] [source/x.cc:1] {text}"


def ours(second: int, text: str) -> str:
    return f'{{"time":"2026-01-01T00:00:{second:02}.000+00:00","event":"{text}"}}'


def test_merges_several_logs_by_time() -> None:
    logs = {"envoy": [envoy(1, "a"), envoy(4, "b")], "extproc-0": [ours(0, "c"), ours(3, "d")]}
    assert [name for name, _ in merge_logs(logs, NOW)] == ["extproc-0", "envoy", "extproc-0", "envoy"]


def test_line_without_a_time_follows_the_previous_one() -> None:
    logs = {"a": [ours(1, "fault"), "Traceback:", "  line 1"], "b": ["first words", ours(0, "x"), ours(2, "y")]}
    assert [line for _, line in merge_logs(logs, NOW)] == [
        "first words",
        ours(0, "x"),
        ours(1, "fault"),
        "Traceback:",
        "  line 1",
        ours(2, "y"),
    ]


def test_keeps_the_order_within_a_log() -> None:
    logs = {"a": [ours(3, "x"), ours(1, "y")], "b": [ours(2, "z")]}
    assert [line for _, line in merge_logs(logs, NOW)] == [ours(2, "z"), ours(3, "x"), ours(1, "y")]


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ('{"decision":"healthz","path":"/healthz"}', True),
        ('{"decision":"forward","path":"/healthz"}', False),
        ('{"decision":"forward","path":"/v1/chat/completions?\\"healthz\\""}', False),
        ('["healthz"]', False),
        ('{"decision":"healthz', False),
        ("", False),
    ],
)
def test_recognizes_health_checks_by_their_decision(line: str, is_one: bool) -> None:
    assert is_health_check(line) is is_one
