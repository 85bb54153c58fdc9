"""`python -m extproc.shared.status_client SOCKET...`: how filter workers say their models are, a line of JSON each.

Asked by `archgw status` and `up`, and as a container's health check: exit 1 where a worker does not answer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from extproc.shared.worker_status import METHOD

_TIMEOUT_S: Final = 2.0


def ask(sockets: Sequence[str]) -> tuple[bytes | None, ...]:
    """The worker's own words, a `WorkerStatus` as JSON, for each unix socket; None for one that does not answer."""
    # Imported late: a sixth of a second, which most commands that import this module do not need.
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
    answers = ask(sys.argv[1:])
    for answer in answers:
        if answer is not None:
            sys.stdout.write(f"{answer.decode()}\n")
    return 1 if None in answers else 0


if __name__ == "__main__":
    sys.exit(main())
