"""The interface to the program that keeps a gateway's services running: our supervisor (native) or the Docker engine.

`up`, `status`, `logs` and `down` use nothing else. A service has the same name in both runtimes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from extproc.shared.worker_status import WorkerStatus


class Runtime(StrEnum):
    """The services run as processes of this machine, or in containers."""

    NATIVE = "native"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """`state`: RUNNING, STARTING, BACKOFF (will be restarted), STOPPING, STOPPED, EXITED, PAUSED or MISSING.

    `pid`: of its first process. `since`: last start in seconds since the epoch, 0 if never started. `fault`: the reason
    if it does not run.
    """

    name: str
    state: str
    pid: int | None
    since: int
    fault: str

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"


@dataclass(frozen=True, slots=True)
class DroppedLines:
    """Lines of one log that were lost since the start. `reason`: cause of the last loss, such as `disk full`.

    `reason` is empty if the log is being written again. The field names are keys of `archgw status --json`.
    """

    name: str
    dropped: int
    reason: str


class Runner(Protocol):
    """The services of one gateway. A gateway that does not run has no services, logs or workers."""

    @property
    def runtime(self) -> Runtime: ...

    @property
    def poll_s(self) -> float:
        """Shortest useful interval between two queries."""
        ...

    def services(self) -> tuple[ServiceState, ...] | None:
        """Return all services in order of their names; None if the gateway does not run."""
        ...

    def workers(self, indices: Sequence[int]) -> tuple[WorkerStatus, ...]:
        """Return the reports of the filter's workers, without those that do not answer."""
        ...

    def dropped_lines(self) -> tuple[DroppedLines, ...]:
        """Return the logs that lost lines."""
        ...

    def logs(self, service: str | None = None) -> tuple[str, ...]:
        """Return the names of the logs of `service` ("extproc": all of the filter's workers); None: of all services."""
        ...

    def log_location(self, log: str) -> str:
        """Return where a log is, in words."""
        ...

    def last_lines(self, log: str, count: int) -> list[str]:
        """Return the last `count` lines; none if there is no such log."""
        ...

    def follow(self, logs: Sequence[str], show: Callable[[str, str], None]) -> None:
        """Call `show(log, line)` for each new line of `logs` while the gateway runs."""
        ...

    def drain(self, grace_s: float, say: Callable[[str], None]) -> None:
        """Refuse new requests and wait at most `grace_s` for the running ones. `say` reports progress."""
        ...

    def stop(self, *, volumes: bool) -> bool:
        """Stop all services. Returns False if nothing ran. `volumes`: also remove volumes kept for the next start."""
        ...
