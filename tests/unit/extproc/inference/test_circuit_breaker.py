"""When a circuit breaker opens and closes."""

from __future__ import annotations

import pytest

from extproc.inference.call_failures import Failure, FailureReason
from extproc.inference.circuit_breaker import TIMEOUTS_TOLERATED, CircuitBreaker

GONE = Failure(FailureReason.UNREACHABLE, "gone")
LATE = Failure(FailureReason.TIMEOUT, "late")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def closed(clock: Clock, *, has_fallback: bool) -> CircuitBreaker:
    breaker = CircuitBreaker(has_fallback=has_fallback, clock=clock)
    breaker.record_probe(None)
    return breaker


def test_new_breaker_is_open_and_a_probe_is_due(clock: Clock) -> None:
    breaker = CircuitBreaker(has_fallback=True, clock=clock)
    assert breaker.failure is not None
    assert breaker.failure.reason is FailureReason.STARTING
    assert breaker.probe_due
    assert breaker.record_probe(GONE)
    assert not breaker.record_probe(LATE)
    assert breaker.record_probe(None)
    assert breaker.failure is None


@pytest.mark.parametrize("fault", [GONE, LATE])
def test_first_failure_opens_a_breaker_with_fallback(clock: Clock, fault: Failure) -> None:
    breaker = closed(clock, has_fallback=True)
    assert breaker.record_failure(fault)
    assert breaker.failure == fault


def test_breaker_without_fallback_tolerates_a_few_timeouts_in_a_row(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=False)
    for _ in range(TIMEOUTS_TOLERATED):
        assert not breaker.record_failure(LATE)
    breaker.record_success()
    for _ in range(TIMEOUTS_TOLERATED):
        assert not breaker.record_failure(LATE)
    assert breaker.record_failure(LATE)
    assert breaker.failure == LATE


def test_other_failures_open_a_breaker_without_fallback_and_a_probe_is_due_at_once(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=False)
    assert breaker.record_failure(GONE)
    assert breaker.probe_due


def test_probe_closes_a_half_open_breaker(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=False)
    breaker.record_failure(GONE)
    assert not breaker.record_probe(LATE)
    assert breaker.failure == LATE
    assert breaker.record_probe(None)
    assert breaker.failure is None


def test_failed_probe_opens_a_closed_breaker_like_a_call(clock: Clock) -> None:
    assert closed(clock, has_fallback=True).record_probe(GONE)
    tolerant = closed(clock, has_fallback=False)
    assert not tolerant.record_probe(LATE)
    assert tolerant.failure is None


def test_calls_that_began_before_the_breaker_opened_are_ignored(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=True)
    breaker.record_failure(GONE)
    assert not breaker.record_failure(LATE)
    breaker.record_success()
    assert breaker.failure == GONE


def test_breaker_stays_open_longer_each_time_calls_fail_after_a_probe(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=True)
    open_times = []
    for _ in range(5):
        breaker.record_failure(LATE)
        opened = clock.now
        while not breaker.probe_due:
            clock.now += 0.5
        open_times.append(clock.now - opened)
        breaker.record_probe(None)
    assert open_times == [1.0, 2.0, 3.0, 3.0, 3.0]
    clock.now += 60
    breaker.record_failure(LATE)
    clock.now += 1
    assert breaker.probe_due
