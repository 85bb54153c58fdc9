"""Who keeps the parts of one gateway running: a supervisor on this machine, or Docker's engine.

All that `up`, `status`, `logs` and `down` ask of either. A part has the same name with both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from extproc.shared.worker_status import WorkerStatus


class Runtime(StrEnum):
    """Where the parts run: as processes of this machine, or in containers."""

    NATIVE = "native"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One part: RUNNING, STARTING, BACKOFF (started again soon), STOPPING, STOPPED, EXITED.

    `pid`: of its first process. `since`: seconds since the epoch at which it last started; 0 never. `fault`: why not.
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
    """Lines of one log were not written since the start. `reason`: why the last ones were not, such as `disk full`.

    Empty where the log is written again.
    """

    name: str
    dropped: int
    reason: str


class Runner(Protocol):
    """One gateway's. What runs nowhere has no parts, no logs and no workers."""

    @property
    def runtime(self) -> Runtime: ...

    @property
    def poll_s(self) -> float:
        """How often it may be asked at most."""
        ...

    def parts(self) -> tuple[ServiceState, ...] | None:
        """Every part in name order; None where nothing runs."""
        ...

    def workers(self, indices: Sequence[int]) -> tuple[WorkerStatus, ...]:
        """What the filter's workers say; one that does not answer is left out."""
        ...

    def dropped_lines(self) -> tuple[DroppedLines, ...]:
        """The logs of which lines were dropped."""
        ...

    def logs(self, part: str | None = None) -> tuple[str, ...]:
        """Names of the logs of `part` ("extproc": all of the filter's workers), or of all parts."""
        ...

    def place(self, log: str) -> str:
        """Where a log is, for people."""
        ...

    def last_lines(self, log: str, count: int) -> list[str]:
        """The last `count` lines; none where there is no such log."""
        ...

    def follow(self, logs: Sequence[str], show: Callable[[str, str], None]) -> None:
        """Show the log's name and each line that is added to any of `logs`, while the gateway runs."""
        ...

    def drain(self, grace_s: float, say: Callable[[str], None]) -> None:
        """Refuse new requests and wait until those that run have ended, for at most `grace_s`; `say` tells of it."""
        ...

    def stop(self, *, volumes: bool) -> bool:
        """Stop all of it. False where nothing ran. `volumes`: what would be kept for the next start goes as well."""
        ...
