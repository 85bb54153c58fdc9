"""The gateway that new streams get. A new configuration is loaded beside the running one and swapped in here.

Used by server.py. A stream keeps the gateway that it got at its start, so one request is served by one configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from extproc.decision import Decision, HttpRequest
from extproc.response_stages.stage import ResponseContext, ResponseStage


class StreamGateway(Protocol):
    """The part of a gateway that the stream drivers use."""

    @property
    def max_request_bytes(self) -> int: ...

    @property
    def max_json_values(self) -> int:
        """The limit for the keys, strings, numbers, objects and arrays of a body."""

    @property
    def timing_header(self) -> bool:
        """Clients read the time that their request took, in `x-arch-timing`."""

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`, and `TimeoutError` past a deadline of the gateway's own."""

    def response_stages(self, context: ResponseContext) -> Sequence[ResponseStage]:
        """Returns the stages of a response, in order."""


class _Served:
    """A gateway with the number of its running streams."""

    def __init__(self, gateway: StreamGateway) -> None:
        self.gateway = gateway
        self.streams = 0
        self.idle = asyncio.Event()
        self.idle.set()


class CurrentGateway:
    """Gives each stream the gateway of the moment. Not thread-safe: it belongs to one event loop."""

    def __init__(self, gateway: StreamGateway) -> None:
        self._served = _Served(gateway)

    @contextmanager
    def stream(self) -> Iterator[StreamGateway]:
        """The gateway for one stream, which keeps it open until the block ends."""
        served = self._served
        served.streams += 1
        served.idle.clear()
        try:
            yield served.gateway
        finally:
            served.streams -= 1
            if not served.streams:
                served.idle.set()

    async def swap(self, gateway: StreamGateway) -> None:
        """Gives `gateway` to new streams. Returns when the last stream of the former one has ended: it may be closed."""
        former, self._served = self._served, _Served(gateway)
        await former.idle.wait()
