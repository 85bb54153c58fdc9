"""Draining Envoy: what comes is refused, what runs may end. `down` calls it; in containers it runs as a program:

    python -m controlplane.runtime.drain ADMIN_SOCKET SECONDS    prints how many requests still run in the end

It imports the standard library alone.
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

# The routes that refuse what is new are matched while this is 100: `rds_ingress.yaml`, `rds_egress.yaml`.
_KEY: Final = "archgw.draining"
_POLL_S: Final = 0.05
_TIMEOUT_S: Final = 2.0
# For clients that have connected and not asked yet: they are told, unless they are in no hurry.
_LAST_S: Final = 1.0
_GAUGE: Final = re.compile(r"^http\.(?:ingress|egress)\.downstream_(?P<name>\w+): (?P<value>\d+)$", re.MULTILINE)
_STATS: Final = "/stats?type=Gauges&filter=^http\\.(ingress|egress)\\.downstream_"


@dataclass(frozen=True, slots=True)
class _Traffic:
    """`unsent`: bytes of answers that slow clients have not taken yet."""

    requests: int
    connections: int
    unsent: int


def drain(admin_socket: str, grace_s: float, waiting: Callable[[int], None]) -> int:
    """Refuse new requests, and return when none runs any more or `grace_s` is over: how many still run.

    `waiting` is told once how many are waited for, where there are some. An Envoy that does not answer has none.
    """
    deadline = time.monotonic() + grace_s
    try:
        _ask(admin_socket, "POST", f"/runtime_modify?{_KEY}=100")
        # Answers ask their clients to close the connection.
        _ask(admin_socket, "POST", "/healthcheck/fail")
        traffic = _traffic(admin_socket)
        if traffic.requests:
            waiting(traffic.requests)
        while traffic.requests or traffic.unsent:
            if time.monotonic() >= deadline:
                return max(traffic.requests, 1)
            time.sleep(_POLL_S)
            traffic = _traffic(admin_socket)
        # Who comes now cannot connect: while Envoy ends, nobody would answer. Who came before is still refused.
        _ask(admin_socket, "POST", "/drain_listeners")
        deadline = time.monotonic() + _LAST_S
        while traffic.connections and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            traffic = _traffic(admin_socket)
    except (OSError, http.client.HTTPException):
        return 0
    return 0


def requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def _traffic(admin_socket: str) -> _Traffic:
    found: Counter[str] = Counter()
    for gauge in _GAUGE.finditer(_ask(admin_socket, "GET", _STATS)):
        found[gauge["name"]] += int(gauge["value"])
    return _Traffic(found["rq_active"], found["cx_active"], found["cx_tx_bytes_buffered"])


def _ask(admin_socket: str, method: str, path: str) -> str:
    connection = http.client.HTTPConnection("admin", timeout=_TIMEOUT_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(_TIMEOUT_S)
        connection.sock.connect(admin_socket)
        connection.request(method, path)
        response = connection.getresponse()
        said = response.read().decode(errors="replace")
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"{path}: {response.status}")
        return said
    finally:
        connection.close()


def main() -> None:
    print(drain(sys.argv[1], float(sys.argv[2]), lambda _: None))


if __name__ == "__main__":
    main()
