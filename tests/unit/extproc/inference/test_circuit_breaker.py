"""When a backend is passed over, and when it is tried again."""

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


def test_before_anything_is_known_a_placement_is_not_ready_and_a_probe_is_due(clock: Clock) -> None:
    breaker = CircuitBreaker(has_fallback=True, clock=clock)
    assert breaker.failure is not None
    assert breaker.failure.reason is FailureReason.STARTING
    assert breaker.probe_due
    assert breaker.record_probe(GONE)
    assert not breaker.record_probe(LATE)
    assert breaker.record_probe(None)
    assert breaker.failure is None


@pytest.mark.parametrize("fault", [GONE, LATE])
def test_where_another_place_has_fallback_the_first_failure_opens(clock: Clock, fault: Failure) -> None:
    breaker = closed(clock, has_fallback=True)
    assert breaker.record_failure(fault)
    assert breaker.failure == fault


def test_at_the_last_place_timeouts_are_tolerated_but_not_any_number_in_a_row(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=False)
    for _ in range(TIMEOUTS_TOLERATED):
        assert not breaker.record_failure(LATE)
    breaker.record_success()
    for _ in range(TIMEOUTS_TOLERATED):
        assert not breaker.record_failure(LATE)
    assert breaker.record_failure(LATE)
    assert breaker.failure == LATE


def test_at_the_last_place_any_other_failure_opens_and_the_probe_is_due_at_once(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=False)
    assert breaker.record_failure(GONE)
    assert breaker.probe_due


def test_half_open_the_probe_decides(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=False)
    breaker.record_failure(GONE)
    assert not breaker.record_probe(LATE)
    assert breaker.failure == LATE
    assert breaker.record_probe(None)
    assert breaker.failure is None


def test_a_probe_that_fails_opens_a_closed_one_as_a_call_does(clock: Clock) -> None:
    assert closed(clock, has_fallback=True).record_probe(GONE)
    tolerant = closed(clock, has_fallback=False)
    assert not tolerant.record_probe(LATE)
    assert tolerant.failure is None


def test_calls_that_began_before_it_opened_change_nothing(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=True)
    breaker.record_failure(GONE)
    assert not breaker.record_failure(LATE)
    breaker.record_success()
    assert breaker.failure == GONE


def test_one_that_answers_probes_and_fails_calls_is_left_alone_longer_each_time(clock: Clock) -> None:
    breaker = closed(clock, has_fallback=True)
    held = []
    for _ in range(5):
        breaker.record_failure(LATE)
        opened = clock.now
        while not breaker.probe_due:
            clock.now += 0.5
        held.append(clock.now - opened)
        breaker.record_probe(None)
    assert held == [1.0, 2.0, 3.0, 3.0, 3.0]
    clock.now += 60
    breaker.record_failure(LATE)
    clock.now += 1
    assert breaker.probe_due
