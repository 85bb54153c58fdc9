"""Decodes the status reports of the filter's workers. Used by both runners."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from extproc.shared.worker_status import WorkerStatus


def decode(replies: Iterable[bytes | None]) -> tuple[WorkerStatus, ...]:
    """Return the decoded replies. Missing ones, and those of another version, are left out."""
    reports = (_decode(reply) for reply in replies if reply is not None)
    return tuple(report for report in reports if report is not None)


def _decode(reply: bytes) -> WorkerStatus | None:
    try:
        return msgspec.json.decode(reply, type=WorkerStatus)
    except msgspec.DecodeError:
        return None
