"""The gateway that new streams get, and its replacement by another one (`swap`) while streams run.

Used by server.py. A stream keeps the gateway that it got at its start, so one configuration serves all of a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

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
        """Raises `GatewayError`, and `TimeoutError` past the gateway's own deadline."""

    def response_stages(self, context: ResponseContext) -> Sequence[ResponseStage]:
        """Returns the stages of a response, in order."""


GatewayT = TypeVar("GatewayT", bound=StreamGateway)


class _Served(Generic[GatewayT]):
    """A gateway with the number of its running streams. Each stream is a `with` block."""

    def __init__(self, gateway: GatewayT) -> None:
        self.gateway = gateway
        self._streams = 0
        self._idle: asyncio.Event | None = None

    def __enter__(self) -> GatewayT:
        self._streams += 1
        return self.gateway

    def __exit__(self, *_: object) -> None:
        self._streams -= 1
        if self._idle is not None and not self._streams:
            self._idle.set()

    async def wait_until_idle(self) -> None:
        if self._streams:
            self._idle = asyncio.Event()
            await self._idle.wait()


class CurrentGateway(Generic[GatewayT]):
    """Gives each new stream the current gateway. Not thread-safe: it belongs to one event loop."""

    def __init__(self, gateway: GatewayT) -> None:
        self._served = _Served(gateway)

    @property
    def gateway(self) -> GatewayT:
        """The current gateway."""
        return self._served.gateway

    def stream(self) -> AbstractContextManager[GatewayT]:
        """Returns a block with the gateway for one stream. The gateway stays open until the block ends."""
        return self._served

    async def swap(self, gateway: GatewayT) -> None:
        """Gives `gateway` to new streams. Waits until the former one has no streams, so that it can be closed."""
        former, self._served = self._served, _Served(gateway)
        await former.wait_until_idle()
