"""What the filter's workers say of their models. They are asked on their own unix sockets, by `extproc.ask`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from extproc.status import WorkerStatus


def read(answers: Iterable[bytes | None]) -> tuple[WorkerStatus, ...]:
    """The answers of those that did; one in the words of another version is left out."""
    found = (_read(answer) for answer in answers if answer is not None)
    return tuple(each for each in found if each is not None)


def _read(answer: bytes) -> WorkerStatus | None:
    try:
        return msgspec.json.decode(answer, type=WorkerStatus)
    except msgspec.DecodeError:
        return None
