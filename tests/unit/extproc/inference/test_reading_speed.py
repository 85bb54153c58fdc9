"""The reading speed of a model."""

from __future__ import annotations

from extproc.inference.reading_speed import ReadingSpeed


def test_speed_is_unknown_before_the_first_call() -> None:
    assert ReadingSpeed().bytes_per_s is None


def test_speed_is_the_median_of_recent_calls() -> None:
    speed = ReadingSpeed()
    for compute_ms in (100, 100, 4_000):
        speed.record(600, compute_ms)
    assert speed.bytes_per_s == 6_000


def test_short_calls_are_ignored() -> None:
    speed = ReadingSpeed()
    speed.record(20, 10)
    speed.record(600, 0)
    assert speed.bytes_per_s is None
