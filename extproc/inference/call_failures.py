"""Why a model gave no usable answer, whatever its server speaks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Characters. More says nothing more to people, and what a server says may be very long.
MOST_DETAIL: Final = 1000


class Reason(StrEnum):
    """One word for logs, counters and clients."""

    # Nobody has asked it yet: the worker has just begun.
    STARTING = "starting"
    TIMEOUT = "timeout"
    # The model's process died while its server goes on reporting it as ready.
    DEAD = "dead"
    # Its server is ready, and has no model of that name, or has not loaded it.
    UNLOADED = "unloaded"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    OVERLOADED = "overloaded"
    # An answer of another form than the role's.
    MALFORMED = "malformed"
    # The server serves a model of other inputs and outputs than the role's.
    MISMATCH = "mismatch"
    # No time is left of what the request's models may take together.
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Fault:
    """`detail`: a sentence for people."""

    reason: Reason
    detail: str


class CallFailed(Exception):
    """One call of one server. `of_question`: the reason lies with the request, and says nothing of the server."""

    def __init__(self, reason: Reason, detail: str, *, of_question: bool = False) -> None:
        self.fault = Fault(reason, detail[:MOST_DETAIL])
        super().__init__(f"{reason}: {self.fault.detail}")
        self.of_question = of_question
