"""When a backend is passed over, and when it is tried again."""

from __future__ import annotations

import pytest

from extproc.inference.call_failures import Fault, Reason
from extproc.inference.circuit_breaker import TIMEOUTS_TOLERATED, Breaker

GONE = Fault(Reason.UNREACHABLE, "gone")
LATE = Fault(Reason.TIMEOUT, "late")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def closed(clock: Clock, *, stands_in: bool) -> Breaker:
    breaker = Breaker(stands_in=stands_in, clock=clock)
    breaker.probed(None)
    return breaker


def test_before_anything_is_known_a_placement_is_not_ready_and_a_probe_is_due(clock: Clock) -> None:
    breaker = Breaker(stands_in=True, clock=clock)
    assert breaker.fault is not None
    assert breaker.fault.reason is Reason.STARTING
    assert breaker.probe_due
    assert breaker.probed(GONE)
    assert not breaker.probed(LATE)
    assert breaker.probed(None)
    assert breaker.fault is None


@pytest.mark.parametrize("fault", [GONE, LATE])
def test_where_another_place_stands_in_the_first_failure_opens(clock: Clock, fault: Fault) -> None:
    breaker = closed(clock, stands_in=True)
    assert breaker.failed(fault)
    assert breaker.fault == fault


def test_at_the_last_place_timeouts_are_tolerated_but_not_any_number_in_a_row(clock: Clock) -> None:
    breaker = closed(clock, stands_in=False)
    for _ in range(TIMEOUTS_TOLERATED):
        assert not breaker.failed(LATE)
    breaker.answered()
    for _ in range(TIMEOUTS_TOLERATED):
        assert not breaker.failed(LATE)
    assert breaker.failed(LATE)
    assert breaker.fault == LATE


def test_at_the_last_place_any_other_failure_opens_and_the_probe_is_due_at_once(clock: Clock) -> None:
    breaker = closed(clock, stands_in=False)
    assert breaker.failed(GONE)
    assert breaker.probe_due


def test_half_open_the_probe_decides(clock: Clock) -> None:
    breaker = closed(clock, stands_in=False)
    breaker.failed(GONE)
    assert not breaker.probed(LATE)
    assert breaker.fault == LATE
    assert breaker.probed(None)
    assert breaker.fault is None


def test_a_probe_that_fails_opens_a_closed_one_as_a_call_does(clock: Clock) -> None:
    assert closed(clock, stands_in=True).probed(GONE)
    tolerant = closed(clock, stands_in=False)
    assert not tolerant.probed(LATE)
    assert tolerant.fault is None


def test_calls_that_began_before_it_opened_change_nothing(clock: Clock) -> None:
    breaker = closed(clock, stands_in=True)
    breaker.failed(GONE)
    assert not breaker.failed(LATE)
    breaker.answered()
    assert breaker.fault == GONE


def test_one_that_answers_probes_and_fails_calls_is_left_alone_longer_each_time(clock: Clock) -> None:
    breaker = closed(clock, stands_in=True)
    held = []
    for _ in range(5):
        breaker.failed(LATE)
        opened = clock.now
        while not breaker.probe_due:
            clock.now += 0.5
        held.append(clock.now - opened)
        breaker.probed(None)
    assert held == [1.0, 2.0, 3.0, 3.0, 3.0]
    clock.now += 60
    breaker.failed(LATE)
    clock.now += 1
    assert breaker.probe_due
