"""Questions to a supervisor and its answers: one line of JSON each way, one question a connection."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Command(StrEnum):
    """STATUS: report. STOP: report, then stop every service and end."""

    STATUS = "status"
    STOP = "stop"


class Request(msgspec.Struct, frozen=True):
    command: Command


class ServicePhase(StrEnum):
    """STARTING: has not run for two seconds yet. BACKOFF: did not get so far, is started again soon."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


class ServiceReport(msgspec.Struct, frozen=True, kw_only=True):
    """`since`: when it last started, in seconds since the epoch; 0 never. `fault`: why it does not run."""

    name: str
    state: ServicePhase
    pid: int | None
    since: int
    fault: str


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one log were not written since the supervisor started. `reason`: why the last ones were not.

    Empty where the log is written again.
    """

    name: str
    dropped: int
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`logs` has those of which lines were dropped."""

    services: tuple[ServiceReport, ...]
    logs: tuple[LogReport, ...]
