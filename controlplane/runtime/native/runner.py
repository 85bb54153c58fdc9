"""A gateway of processes: a supervisor of ours keeps them running, their lines lie in files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from controlplane.runtime import workers
from controlplane.runtime.drain import drain, requests
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import logs, processes
from controlplane.runtime.native.supervisor import client as supervisor
from controlplane.runtime.runner import LogFault, PartState, Runtime
from extproc.shared.status_client import read_statuses
from extproc.shared.worker_status import WorkerStatus

# The sum of what the parts may take one after another, with room.
_ORDERLY_S: Final = 60.0
_GRACE_S: Final = 5.0


class NativeRunner:
    """The gateway of one run directory."""

    runtime = Runtime.NATIVE
    poll_s = 0.2

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout

    def parts(self) -> tuple[PartState, ...] | None:
        report = supervisor.report(self._layout)
        if report is None:
            return None
        found = (PartState(each.name, each.state, each.pid, each.since, each.fault) for each in report.parts)
        return tuple(sorted(found, key=lambda part: part.name))

    def workers(self, indices: Sequence[int]) -> tuple[WorkerStatus, ...]:
        return workers.read(read_statuses([str(self._layout.worker_socket(index)) for index in indices]))

    def log_faults(self) -> tuple[LogFault, ...]:
        report = supervisor.report(self._layout)
        return () if report is None else tuple(LogFault(each.name, each.dropped, each.reason) for each in report.logs)

    def logs(self, part: str | None = None) -> tuple[str, ...]:
        return tuple(path.stem for path in logs.files(self._layout, part))

    def place(self, log: str) -> str:
        return str(self._layout.logs / f"{log}.log")

    def last_lines(self, log: str, count: int) -> list[str]:
        return logs.last_lines(self._layout.logs / f"{log}.log", count)

    def follow(self, logs_: Sequence[str], show: Callable[[str, str], None]) -> None:
        logs.follow(
            [self._layout.logs / f"{log}.log" for log in logs_],
            lambda path, line: show(path.stem, line),
            lambda: self.parts() is not None,
        )

    def drain(self, grace_s: float, say: Callable[[str], None]) -> None:
        def waiting(count: int) -> None:
            say(f"waiting for {requests(count)} to end, at most {grace_s:g} s")

        if left := drain(str(self._layout.admin_socket), grace_s, waiting):
            say(f"{requests(left)} did not end within {grace_s:g} s")

    def stop(self, *, volumes: bool) -> bool:
        asked = supervisor.shut_down(self._layout)
        if asked:
            deadline = time.monotonic() + _ORDERLY_S
            while processes.of_run(self._layout.root) and time.monotonic() < deadline:
                time.sleep(0.05)
        # Orphans of a killed supervisor, and whatever did not end in time.
        left = processes.stop_all(self._layout.root, _GRACE_S)
        return asked or bool(left)
