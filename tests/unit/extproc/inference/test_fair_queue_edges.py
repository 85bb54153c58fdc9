"""Limits of the fair queue: slots, accounts of idle clients, and callers that give up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from extproc.client_context import ClientRequest
from extproc.inference.fair_queue import FairQueue, QueueFull


async def enqueue(queue: FairQueue, caller: ClientRequest, cost: float = 1) -> asyncio.Task[None]:
    """Returns a task that waits in the queue."""
    task = asyncio.create_task(queue.acquire(caller, cost))
    await asyncio.sleep(0)
    return task


async def test_one_release_starts_one_waiting_call() -> None:
    queue = FairQueue(slots=1, max_waiting=8)
    await queue.acquire(ClientRequest("a"), 1)
    waiting = [await enqueue(queue, ClientRequest("a")) for _ in range(3)]
    for started in range(1, 4):
        queue.release()
        await asyncio.sleep(0)
        assert sum(task.done() for task in waiting) == started


async def test_a_new_call_does_not_overtake_waiting_ones() -> None:
    queue = FairQueue(slots=1, max_waiting=8)
    await queue.acquire(ClientRequest("a"), 1)
    first = await enqueue(queue, ClientRequest("a"))
    queue.release()
    second = await enqueue(queue, ClientRequest("b"))
    assert (first.done(), second.done()) == (True, False)
    queue.release()
    await second


async def test_a_client_with_an_old_account_has_no_credit_for_a_pause() -> None:
    queue = FairQueue(slots=1, max_waiting=64)
    order: list[str] = []

    async def call(client: str, *costs: float) -> None:
        """Calls one after the other, each as a request of its own."""
        for cost in costs:
            await queue.acquire(ClientRequest(client), cost)
            order.append(client)
            queue.release()

    async def run(*calls: Coroutine[None, None, None]) -> str:
        """Runs calls that all wait when the first one starts."""
        order.clear()
        await queue.acquire(ClientRequest("holder"), 0)
        tasks = [asyncio.create_task(each) for each in calls]
        await asyncio.sleep(0)
        queue.release()
        await asyncio.gather(*tasks)
        return "".join(order)

    await queue.acquire(ClientRequest("p"), 100)
    queue.release()
    # Four calls of another client: the clock of work moves from 0 to 3,000.
    assert await run(*(call("h", 1_000) for _ in range(4))) == "hhhh"
    others = [call(client, 1_000) for client in ("n", "n", "m", "m")]
    assert await run(call("p", 1_500, 1_500), *others) == "pnmnmp"


async def test_a_caller_that_gives_up_leaves_room_in_the_queue() -> None:
    queue = FairQueue(slots=1, max_waiting=1)
    await queue.acquire(ClientRequest("a"), 1)
    leaving = await enqueue(queue, ClientRequest("b"))
    with pytest.raises(QueueFull):
        await queue.acquire(ClientRequest("c"), 1)
    leaving.cancel()
    await asyncio.wait({leaving})
    waiting = await enqueue(queue, ClientRequest("c"))
    queue.release()
    await asyncio.wait_for(waiting, 1)


@pytest.mark.parametrize("waits", [False, True])
async def test_the_accounts_of_idle_clients_are_bounded(waits: bool) -> None:
    queue = FairQueue(slots=1, max_waiting=1)
    if waits:
        await queue.acquire(ClientRequest("holder"), 0)
    for number in range(4_200):
        taken = await enqueue(queue, ClientRequest(str(number)), 100)
        queue.release()
        await taken
    assert len(queue._clients) <= 4_096


async def test_a_caller_that_gives_up_leaves_other_requests_of_its_client_in_the_queue() -> None:
    queue = FairQueue(slots=1, max_waiting=8)
    await queue.acquire(ClientRequest("holder"), 0)
    leaving, staying = await enqueue(queue, ClientRequest("a")), await enqueue(queue, ClientRequest("a"))
    leaving.cancel()
    await asyncio.wait({leaving})
    queue.release()
    await asyncio.wait({staying}, timeout=1)
    assert staying.done()


async def test_a_caller_that_gives_up_just_before_its_turn_takes_and_frees_no_slot() -> None:
    queue = FairQueue(slots=1, max_waiting=8)
    await queue.acquire(ClientRequest("a"), 1)
    leaving = await enqueue(queue, ClientRequest("b"))
    leaving.cancel()
    queue.release()
    await asyncio.wait({leaving})
    await asyncio.wait_for(queue.acquire(ClientRequest("c"), 1), 1)
    waiting = await enqueue(queue, ClientRequest("d"))
    assert not waiting.done()
    queue.release()
    await asyncio.wait_for(waiting, 1)


async def test_a_client_is_not_charged_for_a_call_that_was_given_up() -> None:
    queue = FairQueue(slots=1, max_waiting=8)
    await queue.acquire(ClientRequest("holder"), 0)
    leaving = await enqueue(queue, ClientRequest("a"), 1_000)
    leaving.cancel()
    queue.release()
    await asyncio.wait({leaving})
    await queue.acquire(ClientRequest("holder"), 0)
    of_a, of_b = await enqueue(queue, ClientRequest("a")), await enqueue(queue, ClientRequest("b"))
    queue.release()
    await asyncio.sleep(0)
    assert (of_a.done(), of_b.done()) == (True, False)
    queue.release()
    await asyncio.wait_for(of_b, 1)


async def test_completed_work_of_a_request_counts_for_its_order() -> None:
    queue = FairQueue(slots=1, max_waiting=8, clock=lambda: 0.0)
    await queue.acquire(ClientRequest("holder"), 0)
    first, second = ClientRequest("a"), ClientRequest("a")
    done, half = await enqueue(queue, first, 500), await enqueue(queue, first, 400)
    queue.release()
    await done
    other = await enqueue(queue, second, 450)
    queue.release()
    await asyncio.sleep(0)
    assert (half.done(), other.done()) == (True, False)
    queue.release()
    await asyncio.wait_for(other, 1)
