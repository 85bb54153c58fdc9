"""Questions to the filter's workers, each on its own unix socket: how do their models stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from controlplane.runtime.layout import RunLayout
from controlplane.runtime.parts import worker_name
from extproc.status import METHOD, WorkerStatus

_TIMEOUT_S: Final = 2.0


def indices(parts: Sequence[str]) -> tuple[int, ...]:
    """Which workers a gateway of these parts has."""
    names = set(parts)
    return tuple(index for index in range(len(parts)) if worker_name(index) in names)


def ask(layout: RunLayout, workers: Sequence[int]) -> tuple[WorkerStatus, ...]:
    """What each says of itself; one that does not answer, or in the words of another version, is left out."""
    # Imported late: a sixth of a second, which no other command needs.
    import grpc  # noqa: PLC0415

    channels = [grpc.insecure_channel(f"unix:{layout.worker_socket(index)}") for index in workers]
    try:
        # No serializers: bytes in, bytes out.
        methods: list[grpc.UnaryUnaryMultiCallable[bytes, bytes]] = [each.unary_unary(METHOD) for each in channels]
        calls = [method.future(b"", timeout=_TIMEOUT_S) for method in methods]
        answers = (_read(call.result()) for call in calls if call.exception() is None)
        return tuple(each for each in answers if each is not None)
    finally:
        for channel in channels:
            channel.close()


def _read(answer: bytes) -> WorkerStatus | None:
    try:
        return msgspec.json.decode(answer, type=WorkerStatus)
    except msgspec.DecodeError:
        return None
