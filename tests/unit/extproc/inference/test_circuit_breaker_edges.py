"""Time that the circuit breaker stays open when calls fail although probes succeed."""

from __future__ import annotations

import pytest

from extproc.inference.call_failures import Failure, FailureReason
from extproc.inference.circuit_breaker import TIMEOUTS_TOLERATED, CircuitBreaker

UNREACHABLE = Failure(FailureReason.UNREACHABLE, "gone")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("healthy_s", "open_s"), [(10.0, 2.0), (10.5, 1.0)])
def test_a_failure_within_ten_seconds_of_recovery_keeps_the_breaker_open_longer(
    healthy_s: float, open_s: float
) -> None:
    clock = Clock()
    breaker = CircuitBreaker(has_fallback=True, clock=clock)
    breaker.record_probe(None)
    clock.now += 60.0
    breaker.record_failure(UNREACHABLE)
    clock.now += 1.0
    breaker.record_probe(None)
    clock.now += healthy_s
    breaker.record_failure(UNREACHABLE)
    clock.now += open_s - 0.5
    assert not breaker.probe_due
    clock.now += 0.5
    assert breaker.probe_due


def test_a_probe_that_succeeds_while_closed_changes_nothing() -> None:
    clock = Clock()
    breaker = CircuitBreaker(has_fallback=True, clock=clock)
    assert breaker.record_probe(None)
    breaker.record_failure(UNREACHABLE)
    clock.now += 1.0
    assert breaker.record_probe(None)
    for _ in range(11):
        clock.now += 1.0
        assert not breaker.record_probe(None)
    breaker.record_failure(UNREACHABLE)
    clock.now += 1.0
    # It counts from the probe that closed the breaker: more than ten seconds ago.
    assert breaker.probe_due


def test_successful_probe_resets_the_count_of_timeouts() -> None:
    breaker = CircuitBreaker(has_fallback=False, clock=Clock())
    breaker.record_probe(None)
    for _ in range(3):
        for _ in range(TIMEOUTS_TOLERATED):
            assert not breaker.record_failure(Failure(FailureReason.TIMEOUT, "late"))
        breaker.record_probe(None)


def test_a_failure_other_than_a_timeout_opens_at_once_after_timeouts() -> None:
    breaker = CircuitBreaker(has_fallback=False, clock=Clock())
    breaker.record_probe(None)
    assert not breaker.record_failure(Failure(FailureReason.TIMEOUT, "late"))
    assert breaker.record_failure(UNREACHABLE)


def test_a_closed_breaker_is_always_due_for_a_probe() -> None:
    breaker = CircuitBreaker(has_fallback=True, clock=Clock())
    breaker.record_probe(None)
    breaker.record_failure(UNREACHABLE)
    assert not breaker.probe_due
    breaker.record_probe(None)
    assert breaker.probe_due
