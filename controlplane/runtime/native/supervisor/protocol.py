"""The protocol of the supervisor's socket: one line of JSON each way, one request per connection."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Command(StrEnum):
    """STATUS: report. STOP: report, then stop all services and exit."""

    STATUS = "status"
    STOP = "stop"


class Request(msgspec.Struct, frozen=True):
    command: Command


class ServicePhase(StrEnum):
    """STARTING: has run for less than two seconds. BACKOFF: ended within that time, and will be restarted."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


class ServiceReport(msgspec.Struct, frozen=True, kw_only=True):
    """`since`: last start in seconds since the epoch, 0 if never started. `fault`: why it does not run."""

    name: str
    state: ServicePhase
    pid: int | None
    since: int
    fault: str


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one log that were lost since the supervisor started. `reason`: cause of the last loss.

    Empty if the log is being written again.
    """

    name: str
    dropped: int
    reason: str


class SupervisorReport(msgspec.Struct, frozen=True, kw_only=True):
    """`logs`: those that lost lines."""

    services: tuple[ServiceReport, ...]
    logs: tuple[LogReport, ...]
