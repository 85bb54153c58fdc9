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
from collections.abc import Callable
from typing import Final

# The routes that refuse what is new are matched while this is 100: `rds_ingress.yaml`, `rds_egress.yaml`.
_KEY: Final = "archgw.draining"
_POLL_S: Final = 0.05
_TIMEOUT_S: Final = 2.0
_LISTENERS: Final = "(ingress|egress)"
_RUNNING: Final = re.compile(rf"^http\.{_LISTENERS}\.downstream_rq_active: (?P<count>\d+)$", re.MULTILINE)
# Answers that are complete, and that a slow client has not taken yet.
_UNSENT: Final = re.compile(rf"^http\.{_LISTENERS}\.downstream_cx_tx_bytes_buffered: (?P<count>\d+)$", re.MULTILINE)


def drain(admin_socket: str, grace_s: float, waiting: Callable[[int], None]) -> int:
    """Refuse new requests, and return when none runs any more or `grace_s` is over: how many still run.

    `waiting` is told once how many are waited for, where there are some. An Envoy that does not answer has none.
    """
    deadline = time.monotonic() + grace_s
    told = False
    try:
        _post(admin_socket, f"/runtime_modify?{_KEY}=100")
        # Answers ask their clients to close the connection.
        _post(admin_socket, "/healthcheck/fail")
        while True:
            stats = _ask(admin_socket, "GET", f"/stats?filter=^http\\.{_LISTENERS}\\.downstream_")
            running = _sum(_RUNNING, stats)
            if not running and not _sum(_UNSENT, stats):
                return 0
            if time.monotonic() >= deadline:
                return max(running, 1)
            if running and not told:
                told = True
                waiting(running)
            time.sleep(_POLL_S)
    except (OSError, http.client.HTTPException):
        return 0


def requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def _sum(pattern: re.Pattern[str], stats: str) -> int:
    return sum(int(match["count"]) for match in pattern.finditer(stats))


def _post(admin_socket: str, path: str) -> None:
    _ask(admin_socket, "POST", path)


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
