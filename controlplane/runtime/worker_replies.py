"""Asks the filter workers for the status of their models, each on its own unix socket."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from extproc.shared.worker_status import WorkerStatus


def decode(answers: Iterable[bytes | None]) -> tuple[WorkerStatus, ...]:
    """The answers of those that did; one in the words of another version is left out."""
    found = (_read(answer) for answer in answers if answer is not None)
    return tuple(each for each in found if each is not None)


def _read(answer: bytes) -> WorkerStatus | None:
    try:
        return msgspec.json.decode(answer, type=WorkerStatus)
    except msgspec.DecodeError:
        return None
