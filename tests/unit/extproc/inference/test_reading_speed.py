"""How fast a model reads."""

from __future__ import annotations

from extproc.inference.reading_speed import ReadingSpeed


def test_nothing_is_known_before_the_first_call() -> None:
    assert ReadingSpeed().bytes_per_s is None


def test_the_median_of_the_last_calls_counts() -> None:
    speed = ReadingSpeed()
    for compute_ms in (100, 100, 4_000):
        speed.record(600, compute_ms)
    assert speed.bytes_per_s == 6_000


def test_a_call_of_a_few_bytes_says_nothing() -> None:
    speed = ReadingSpeed()
    speed.record(20, 10)
    speed.record(600, 0)
    assert speed.bytes_per_s is None
