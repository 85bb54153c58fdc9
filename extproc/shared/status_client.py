"""`python -m extproc.shared.status_client SOCKET...`: prints the status of each filter worker, a line of JSON each.

Used by `archgw status` and `up`, and as a container's health check: exit code 1 where a worker does not answer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from extproc.shared.worker_status import METHOD

_TIMEOUT_S: Final = 2.0


def read_statuses(sockets: Sequence[str]) -> tuple[bytes | None, ...]:
    """Returns a `WorkerStatus` as JSON for each unix socket; None for a worker that does not answer."""
    # Imported late: it takes a sixth of a second, and most commands that import this module do not need it.
    import grpc  # noqa: PLC0415

    channels = [grpc.insecure_channel(f"unix:{socket}") for socket in sockets]
    try:
        # No serializers: bytes in, bytes out.
        methods: list[grpc.UnaryUnaryMultiCallable[bytes, bytes]] = [each.unary_unary(METHOD) for each in channels]
        calls = [method.future(b"", timeout=_TIMEOUT_S) for method in methods]
        return tuple(None if call.exception() is not None else call.result() for call in calls)
    finally:
        for channel in channels:
            channel.close()


def main() -> int:
    statuses = read_statuses(sys.argv[1:])
    for status in statuses:
        if status is not None:
            sys.stdout.write(f"{status.decode()}\n")
    return 1 if None in statuses else 0


if __name__ == "__main__":
    sys.exit(main())
