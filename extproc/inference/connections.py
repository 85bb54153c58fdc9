"""The one connection to each server, and how long a round trip to it takes that computes nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from typing import Final

from extproc.inference.call_failures import CallFailed
from extproc.inference.kserve import Transport
from extproc.inference.kserve_grpc import GrpcTransport
from extproc.inference.kserve_http import HttpTransport
from extproc.shared.filter_config import Place, Protocol, Server

_INTERVAL_S: Final = 1.0
_REMEMBERED: Final = 15


class Link:
    """`network_ms`: the median of the last round trips, 0 before the first."""

    def __init__(self, place: Place, server: Server) -> None:
        self.place = place
        self.server = server
        self.transport: Transport = GrpcTransport(server) if server.protocol is Protocol.GRPC else HttpTransport(server)
        self.network_ms = 0.0
        self._trips_ms: deque[float] = deque(maxlen=_REMEMBERED)

    async def watch(self) -> None:
        """Measures round trips. Runs until cancelled."""
        connected = False
        while True:
            began = time.perf_counter()
            try:
                await self.transport.live(_INTERVAL_S)
            except CallFailed:
                # Whoever asks its models says so; a trip that did not end has no length.
                connected = False
            else:
                # The first trip makes the connection as well.
                if connected:
                    self._trips_ms.append((time.perf_counter() - began) * 1000)
                    self.network_ms = statistics.median(self._trips_ms)
                connected = True
            await asyncio.sleep(_INTERVAL_S)
