"""Drains Envoy: refuses new requests and lets running ones finish. Called by `archgw down`. In containers, a program:

    python -m controlplane.runtime.drain ADMIN_SOCKET SECONDS    prints the number of requests that still run at the end

Imports only the standard library.
"""

from __future__ import annotations

import http.client
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# Runtime key, in percent, of the routes that refuse new requests: `rds_ingress.yaml`, `rds_egress.yaml`.
_DRAINING_KEY: Final = "archgw.draining"
_POLL_S: Final = 0.05
_TIMEOUT_S: Final = 2.0
# Time for clients that are connected but have sent no request yet to receive the refusal.
_IDLE_CONNECTIONS_S: Final = 1.0
_GAUGE: Final = re.compile(r"^http\.(?:ingress|egress)\.downstream_(?P<name>\w+): (?P<value>\d+)$", re.MULTILINE)
_STATS: Final = "/stats?type=Gauges&filter=^http\\.(ingress|egress)\\.downstream_"


@dataclass(frozen=True, slots=True)
class _Traffic:
    """Requests and connections of the public listeners. `unsent_bytes`: responses that clients have not read yet."""

    requests: int
    connections: int
    unsent_bytes: int


def drain(admin_socket: str, grace_s: float, on_wait: Callable[[int], None]) -> int:
    """Refuse new requests, wait until no request runs or `grace_s` is over, and return how many still run.

    If requests run, `on_wait` is called once with their number. Returns 0 if Envoy does not answer.
    """
    deadline = time.monotonic() + grace_s
    try:
        _call_admin(admin_socket, "POST", f"/runtime_modify?{_DRAINING_KEY}=100")
        # From now on, responses ask clients to close the connection.
        _call_admin(admin_socket, "POST", "/healthcheck/fail")
        traffic = _traffic(admin_socket)
        if traffic.requests:
            on_wait(traffic.requests)
        while traffic.requests or traffic.unsent_bytes:
            if time.monotonic() >= deadline:
                return max(traffic.requests, 1)
            time.sleep(_POLL_S)
            traffic = _traffic(admin_socket)
        # New connections fail from now on: Envoy will end soon and could not answer them. Clients that are already
        # connected still receive the refusal.
        _call_admin(admin_socket, "POST", "/drain_listeners")
        deadline = time.monotonic() + _IDLE_CONNECTIONS_S
        while traffic.connections and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            traffic = _traffic(admin_socket)
    except (OSError, http.client.HTTPException):
        return 0
    return 0


def requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def _traffic(admin_socket: str) -> _Traffic:
    gauges: Counter[str] = Counter()
    for gauge in _GAUGE.finditer(_call_admin(admin_socket, "GET", _STATS)):
        gauges[gauge["name"]] += int(gauge["value"])
    return _Traffic(gauges["rq_active"], gauges["cx_active"], gauges["cx_tx_bytes_buffered"])


def _call_admin(admin_socket: str, method: str, path: str) -> str:
    connection = http.client.HTTPConnection("admin", timeout=_TIMEOUT_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(_TIMEOUT_S)
        connection.sock.connect(admin_socket)
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"{path}: {response.status}")
        return body
    finally:
        connection.close()


def main() -> None:
    print(drain(sys.argv[1], float(sys.argv[2]), lambda _: None))


if __name__ == "__main__":
    main()
