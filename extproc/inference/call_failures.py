"""Reasons why a model gave no usable answer, in the same words for every protocol.

CallFailed      one call of one server failed; `failure` says why
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Characters. A server's own message may be very long.
MAX_DETAIL: Final = 1000


class FailureReason(StrEnum):
    """One word for logs, counters and clients."""

    # The worker has just started and has not probed the backend yet.
    STARTING = "starting"
    TIMEOUT = "timeout"
    # The model's process died. Its server still reports the model as ready.
    DEAD = "dead"
    # The server is ready, but has not loaded a model of that name.
    UNLOADED = "unloaded"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    OVERLOADED = "overloaded"
    # The response does not have the form of the role.
    MALFORMED = "malformed"
    # The server's model does not have the inputs and outputs of the role.
    MISMATCH = "mismatch"
    # The deadline for all models of the request has passed.
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Failure:
    """`detail` is a sentence for people."""

    reason: FailureReason
    detail: str


class CallFailed(Exception):
    """`caused_by_request`: the request or its deadline is the cause, and the failure says nothing about the server."""

    def __init__(self, reason: FailureReason, detail: str, *, caused_by_request: bool = False) -> None:
        self.failure = Failure(reason, detail[:MAX_DETAIL])
        super().__init__(f"{reason}: {self.failure.detail}")
        self.caused_by_request = caused_by_request
