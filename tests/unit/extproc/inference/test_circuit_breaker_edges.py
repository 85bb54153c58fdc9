"""How long the circuit breaker stays open when calls fail although probes succeed."""

from __future__ import annotations

import pytest

from extproc.inference.call_failures import Fault, Reason
from extproc.inference.circuit_breaker import Breaker

UNREACHABLE = Fault(Reason.UNREACHABLE, "gone")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("healthy_s", "open_s"), [(10.0, 2.0), (10.5, 1.0)])
def test_a_failure_within_ten_seconds_of_recovery_keeps_the_breaker_open_longer(
    healthy_s: float, open_s: float
) -> None:
    clock = Clock()
    breaker = Breaker(stands_in=True, clock=clock)
    breaker.probed(None)
    clock.now += 60.0
    breaker.failed(UNREACHABLE)
    clock.now += 1.0
    breaker.probed(None)
    clock.now += healthy_s
    breaker.failed(UNREACHABLE)
    clock.now += open_s - 0.5
    assert not breaker.probe_due
    clock.now += 0.5
    assert breaker.probe_due
