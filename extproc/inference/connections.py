"""The connection to one model server, shared by its backends. Measures the round trip time of the network.

Used by role_clients.py, which opens it, and by backend_client.py.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from typing import Final

from extproc.inference.call_failures import CallFailed
from extproc.inference.kserve import KServeClient
from extproc.inference.kserve_grpc import KServeGrpcClient
from extproc.inference.kserve_http import KServeHttpClient
from extproc.shared.filter_config import Place, Protocol, Server

_INTERVAL_S: Final = 1.0
_ROUND_TRIPS: Final = 15


class ServerConnection:
    """`network_ms` is the median of the last round trips, 0 before the first."""

    def __init__(self, place: Place, server: Server) -> None:
        self.place = place
        self.server = server
        is_grpc = server.protocol is Protocol.GRPC
        self.client: KServeClient = KServeGrpcClient(server) if is_grpc else KServeHttpClient(server)
        self.network_ms = 0.0
        self._round_trips_ms: deque[float] = deque(maxlen=_ROUND_TRIPS)

    async def measure_round_trips(self) -> None:
        """Runs until cancelled."""
        is_connected = False
        while True:
            began = time.perf_counter()
            try:
                await self.client.server_live(_INTERVAL_S)
            except CallFailed:
                # The probes of its models report the failure.
                is_connected = False
            else:
                # The first round trip includes connecting.
                if is_connected:
                    self._round_trips_ms.append((time.perf_counter() - began) * 1000)
                    self.network_ms = statistics.median(self._round_trips_ms)
                is_connected = True
            await asyncio.sleep(_INTERVAL_S)
