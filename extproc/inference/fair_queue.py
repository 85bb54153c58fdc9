"""Whose call of a model goes next. Every client gets an equal share, whatever the number and size of its requests.

Start-time fair queueing (Goyal, Vin, Cheng 1996) over clients; among the requests of one client the one with the least
work left goes first, and waiting makes up for size. Used by placed.py; one event loop, no locks.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from extproc.client_context import Caller

# Bytes of text that a second of waiting makes up for: a long text is never overtaken for ever.
_AGEING: Final = 4_000.0
# Clients whose account is kept although they wait for nothing now.
_MOST_ACCOUNTS: Final = 4_096


class QueueFull(Exception):
    """More requests wait than could be answered in time."""


@dataclass(slots=True)
class _Waiting:
    """`left`: whether it has left the queue."""

    cost: float
    turn: asyncio.Future[None]
    left: bool = False


@dataclass(slots=True)
class _Request:
    since: float
    left: float = 0.0
    calls: deque[_Waiting] = field(default_factory=deque)


@dataclass(slots=True)
class _Client:
    """`served`: the work done for it, on the queue's clock of work."""

    served: float
    requests: dict[Caller, _Request] = field(default_factory=dict)


class FairQueue:
    """Costs are bytes of prose (text_cost.py). `slots`: how many calls run at once. `most_waiting`: how many requests
    may wait, all clients together.
    """

    def __init__(self, slots: int, most_waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = slots
        self._most_waiting = most_waiting
        self._clock = clock
        self._clients: dict[str, _Client] = {}
        self._waiting = 0
        # Where the clock of work stands: who comes back after a pause starts here, without credit for it.
        self._now = 0.0

    async def take(self, caller: Caller, cost: float) -> None:
        """Returns when a call of this cost may begin; `release` ends it. Raises `QueueFull`."""
        if self._free and not self._waiting:
            self._free -= 1
            self._account(caller.client).served += cost
            self._forget(caller.client)
            return
        waiting = self._enqueue(caller, cost)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if not waiting.left:
                self._drop(caller, waiting)
            elif not waiting.turn.cancelled():
                # Its turn came in the same moment.
                self.release()
            raise

    def release(self) -> None:
        """A call that had its turn has ended."""
        self._free += 1
        while self._free and self._waiting:
            waiting = self._next()
            if not waiting.turn.cancelled():
                waiting.turn.set_result(None)
                self._free -= 1

    def _account(self, name: str) -> _Client:
        client = self._clients.setdefault(name, _Client(self._now))
        if not client.requests:
            client.served = max(client.served, self._now)
        return client

    def _enqueue(self, caller: Caller, cost: float) -> _Waiting:
        client = self._account(caller.client)
        request = client.requests.get(caller)
        if request is None:
            if self._waiting >= self._most_waiting:
                raise QueueFull
            self._waiting += 1
            request = client.requests[caller] = _Request(self._clock())
        waiting = _Waiting(cost, asyncio.get_running_loop().create_future())
        request.calls.append(waiting)
        request.left += cost
        return waiting

    def _next(self) -> _Waiting:
        name, client = min(
            ((name, client) for name, client in self._clients.items() if client.requests),
            key=lambda found: found[1].served,
        )
        now = self._clock()
        caller, request = min(
            client.requests.items(), key=lambda found: found[1].left - _AGEING * (now - found[1].since)
        )
        waiting = request.calls.popleft()
        waiting.left = True
        if not waiting.turn.cancelled():
            self._now = max(self._now, client.served)
            client.served += waiting.cost
        self._settle(name, caller, waiting.cost)
        return waiting

    def _drop(self, caller: Caller, waiting: _Waiting) -> None:
        """Of a caller who has gone: its work is dropped before it starts."""
        client = self._clients[caller.client]
        client.requests[caller].calls.remove(waiting)
        self._settle(caller.client, caller, waiting.cost)

    def _settle(self, name: str, caller: Caller, cost: float) -> None:
        request = self._clients[name].requests[caller]
        request.left -= cost
        if not request.calls:
            del self._clients[name].requests[caller]
            self._waiting -= 1
            self._forget(name)

    def _forget(self, name: str) -> None:
        """An account that the clock has passed says nothing; and of many, the oldest make room."""
        client = self._clients[name]
        if not client.requests and (client.served <= self._now or len(self._clients) > _MOST_ACCOUNTS):
            del self._clients[name]
