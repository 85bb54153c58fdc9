"""The order of calls in the fair queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from extproc.client_context import ClientRequest
from extproc.inference.fair_queue import FairQueue, QueueFull


@dataclass
class Line:
    """Calls that wait behind a call that holds the only slot."""

    now: float = 0.0
    order: list[str] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns = FairQueue(slots=1, max_waiting=3, clock=lambda: self.now)

    async def hold(self, client: str = "holder", cost: float = 1) -> None:
        await self.turns.acquire(ClientRequest(client), cost)

    async def wait(self, name: str, caller: ClientRequest, costs: Sequence[float]) -> None:
        async def call(cost: float) -> None:
            await self.turns.acquire(caller, cost)
            self.order.append(name)
            self.turns.release()

        self.tasks += [asyncio.create_task(call(cost)) for cost in costs]
        await asyncio.sleep(0)

    async def go(self) -> str:
        self.turns.release()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return "".join(self.order)


async def test_free_slot_needs_no_wait() -> None:
    turns = FairQueue(slots=2, max_waiting=0)
    await turns.acquire(ClientRequest("a"), 1)
    await turns.acquire(ClientRequest("a"), 1)
    with pytest.raises(QueueFull):
        await turns.acquire(ClientRequest("a"), 1)
    turns.release()
    await turns.acquire(ClientRequest("a"), 1)


async def test_clients_get_equal_shares() -> None:
    line = Line()
    await line.hold()
    await line.wait("h", ClientRequest("heavy"), [600] * 6)
    await line.wait("s", ClientRequest("small"), [100])
    assert await line.go() == "hshhhhh"


async def test_pause_gives_a_client_no_credit() -> None:
    line = Line()
    await line.hold()
    await line.wait("h", ClientRequest("heavy"), [100] * 4)
    await line.go()
    await line.hold("heavy")
    line.order.clear()
    await line.wait("h", ClientRequest("heavy"), [100] * 2)
    await line.wait("l", ClientRequest("late"), [100] * 4)
    assert await line.go() == "llhlhl"


async def test_smallest_remaining_request_of_a_client_goes_first() -> None:
    line = Line()
    await line.hold()
    await line.wait("l", ClientRequest("a"), [600] * 3)
    await line.wait("s", ClientRequest("a"), [100])
    assert await line.go() == "slll"


async def test_large_request_that_waited_longer_goes_first() -> None:
    line = Line()
    await line.hold()
    await line.wait("l", ClientRequest("a"), [600] * 2)
    line.now = 1.0
    await line.wait("s", ClientRequest("a"), [100])
    assert await line.go() == "lls"


async def test_cancelled_calls_leave_the_queue() -> None:
    line = Line()
    await line.hold()
    await line.wait("g", ClientRequest("gone"), [100] * 3)
    for task in line.tasks:
        task.cancel()
    await line.wait("s", ClientRequest("stays"), [100])
    assert await line.go() == "s"


async def test_turn_of_a_call_cancelled_at_the_same_moment_goes_to_the_next() -> None:
    line = Line()
    await line.hold()
    await line.wait("g", ClientRequest("gone"), [100])
    await line.wait("s", ClientRequest("stays"), [100])
    line.turns.release()
    line.tasks[0].cancel()
    await asyncio.gather(*line.tasks, return_exceptions=True)
    assert line.order == ["s"]
    await asyncio.wait_for(line.turns.acquire(ClientRequest("next"), 1), 1)


async def test_queue_is_full_by_number_of_requests() -> None:
    line = Line()
    await line.hold()
    for number in range(3):
        await line.wait(str(number), ClientRequest("a"), [1, 1])
    with pytest.raises(QueueFull):
        await line.turns.acquire(ClientRequest("b"), 1)
    assert await line.go() == "001122"
