"""Limits of the fair queue: slots, accounts of idle clients, and callers that give up."""

from __future__ import annotations

import asyncio

import pytest

from extproc.client_context import Caller
from extproc.inference.fair_queue import FairQueue, QueueFull


async def enqueue(queue: FairQueue, caller: Caller, cost: float = 1) -> asyncio.Task[None]:
    """Returns a task that waits in the queue."""
    task = asyncio.create_task(queue.take(caller, cost))
    await asyncio.sleep(0)
    return task


async def test_one_release_starts_one_waiting_call() -> None:
    queue = FairQueue(slots=1, most_waiting=8)
    await queue.take(Caller("a"), 1)
    waiting = [await enqueue(queue, Caller("a")) for _ in range(3)]
    for started in range(1, 4):
        queue.release()
        await asyncio.sleep(0)
        assert sum(task.done() for task in waiting) == started


async def test_a_new_call_does_not_overtake_waiting_ones() -> None:
    queue = FairQueue(slots=1, most_waiting=8)
    await queue.take(Caller("a"), 1)
    first = await enqueue(queue, Caller("a"))
    queue.release()
    second = await enqueue(queue, Caller("b"))
    assert (first.done(), second.done()) == (True, False)
    queue.release()
    await second


async def test_a_client_with_an_old_account_has_no_credit_for_a_pause() -> None:
    queue = FairQueue(slots=1, most_waiting=64)
    order: list[str] = []

    async def call(name: str, caller: Caller, cost: float) -> None:
        await queue.take(caller, cost)
        order.append(name)
        queue.release()

    async def run(*calls: tuple[str, Caller, float]) -> str:
        """Runs calls that all wait when the first one starts."""
        order.clear()
        holder = Caller("heavy")
        await queue.take(holder, 0)
        tasks = [asyncio.create_task(call(*each)) for each in calls]
        await asyncio.sleep(0)
        queue.release()
        await asyncio.gather(*tasks)
        return "".join(order)

    paused, heavy = Caller("paused"), Caller("heavy")
    await queue.take(paused, 100)
    queue.release()
    # Four calls of one client: the clock of work moves far past the account of the other.
    assert await run(*[("h", heavy, 1_000.0)] * 4) == "hhhh"
    assert await run(*[("p", Caller("paused"), 1_500.0)] * 3, *[("h", Caller("heavy"), 1_000.0)] * 2) == "phphp"


async def test_a_caller_that_gives_up_leaves_room_in_the_queue() -> None:
    queue = FairQueue(slots=1, most_waiting=1)
    await queue.take(Caller("a"), 1)
    leaving = await enqueue(queue, Caller("b"))
    with pytest.raises(QueueFull):
        await queue.take(Caller("c"), 1)
    leaving.cancel()
    await asyncio.wait({leaving})
    waiting = await enqueue(queue, Caller("c"))
    queue.release()
    await asyncio.wait_for(waiting, 1)


async def test_the_accounts_of_idle_clients_are_bounded() -> None:
    queue = FairQueue(slots=1, most_waiting=1)
    for number in range(4_200):
        await queue.take(Caller(str(number)), 100)
        queue.release()
    assert len(queue._clients) <= 4_096


async def test_a_caller_that_gives_up_just_before_its_turn_takes_and_frees_no_slot() -> None:
    queue = FairQueue(slots=1, most_waiting=8)
    await queue.take(Caller("a"), 1)
    leaving = await enqueue(queue, Caller("b"))
    leaving.cancel()
    queue.release()
    await asyncio.wait({leaving})
    await asyncio.wait_for(queue.take(Caller("c"), 1), 1)
    waiting = await enqueue(queue, Caller("d"))
    assert not waiting.done()
    queue.release()
    await asyncio.wait_for(waiting, 1)
