"""A queue for turns: every client gets an equal share, whatever the number and size of its requests.

Start-time fair queueing (Goyal, Vin, Cheng 1996) over clients. Among the requests of one client, the one with the least
remaining cost goes first; the time that a request has waited lowers its cost. Used by backend_client.py for model
calls, and by the guards for the preparation of long texts. One event loop, no locks.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from extproc.client_context import ClientRequest

# A second of waiting lowers the cost of a request by this many bytes of prose: no long text is overtaken for ever.
_AGEING: Final = 4_000.0
# Above this number of clients, the virtual time of an idle client is forgotten.
_MAX_CLIENTS: Final = 4_096


class QueueFull(Exception):
    """More requests wait than could be answered in time."""


@dataclass(slots=True)
class _Call:
    """`dequeued`: the call has had its turn, or was removed."""

    cost: float
    turn: asyncio.Future[None]
    dequeued: bool = False


@dataclass(slots=True)
class _Request:
    enqueued_at: float
    remaining_cost: float = 0.0
    calls: deque[_Call] = field(default_factory=deque)


@dataclass(slots=True)
class _Client:
    """`virtual_time`: the cost of all its calls that had a turn, on the queue's virtual clock."""

    virtual_time: float
    requests: dict[ClientRequest, _Request] = field(default_factory=dict)


class FairQueue:
    """Costs are bytes of prose (text_cost.py). `slots`: how many calls run at once. `max_waiting`: how many requests
    may wait, of all clients together.
    """

    def __init__(self, slots: int, max_waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free_slots = slots
        self._max_waiting = max_waiting
        self._clock = clock
        self._clients: dict[str, _Client] = {}
        self._waiting = 0
        # A client that comes back after a pause starts at this time, without credit for the pause.
        self._virtual_time = 0.0

    async def acquire(self, request: ClientRequest, cost: float) -> None:
        """Waits until a call of this cost may begin. `release` must follow the call. Raises `QueueFull`."""
        if self._free_slots and not self._waiting:
            self._free_slots -= 1
            self._client(request.client).virtual_time += cost
            self._discard_idle(request.client)
            return
        call = self._enqueue(request, cost)
        try:
            await call.turn
        except asyncio.CancelledError:
            if not call.dequeued:
                self._remove(request, call)
            elif not call.turn.cancelled():
                # The turn came at the same moment: pass it on.
                self.release()
            raise

    def release(self) -> None:
        """Ends a turn, and gives it to the next call."""
        self._free_slots += 1
        while self._free_slots and self._waiting:
            call = self._dequeue()
            if not call.turn.cancelled():
                call.turn.set_result(None)
                self._free_slots -= 1

    def _client(self, name: str) -> _Client:
        client = self._clients.setdefault(name, _Client(self._virtual_time))
        if not client.requests:
            client.virtual_time = max(client.virtual_time, self._virtual_time)
        return client

    def _enqueue(self, request: ClientRequest, cost: float) -> _Call:
        client = self._client(request.client)
        waiting = client.requests.get(request)
        if waiting is None:
            if self._waiting >= self._max_waiting:
                raise QueueFull
            self._waiting += 1
            waiting = client.requests[request] = _Request(self._clock())
        call = _Call(cost, asyncio.get_running_loop().create_future())
        waiting.calls.append(call)
        waiting.remaining_cost += cost
        return call

    def _dequeue(self) -> _Call:
        name, client = min(
            ((name, client) for name, client in self._clients.items() if client.requests),
            key=lambda item: item[1].virtual_time,
        )
        now = self._clock()
        request, waiting = min(
            client.requests.items(),
            key=lambda item: item[1].remaining_cost - _AGEING * (now - item[1].enqueued_at),
        )
        call = waiting.calls.popleft()
        call.dequeued = True
        if not call.turn.cancelled():
            self._virtual_time = max(self._virtual_time, client.virtual_time)
            client.virtual_time += call.cost
        self._subtract(name, request, call.cost)
        return call

    def _remove(self, request: ClientRequest, call: _Call) -> None:
        """Removes a call whose request was cancelled."""
        client = self._clients[request.client]
        client.requests[request].calls.remove(call)
        self._subtract(request.client, request, call.cost)

    def _subtract(self, name: str, request: ClientRequest, cost: float) -> None:
        waiting = self._clients[name].requests[request]
        waiting.remaining_cost -= cost
        if not waiting.calls:
            del self._clients[name].requests[request]
            self._waiting -= 1
            self._discard_idle(name)

    def _discard_idle(self, name: str) -> None:
        """Forgets an idle client that the virtual clock has passed. Above the limit, forgets any idle client."""
        client = self._clients[name]
        is_past = client.virtual_time <= self._virtual_time
        if not client.requests and (is_past or len(self._clients) > _MAX_CLIENTS):
            del self._clients[name]
