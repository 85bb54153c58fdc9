"""Runner of a native gateway: our supervisor keeps its processes running, and their logs are files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from controlplane.render.run_layout import RunLayout
from controlplane.runtime import worker_replies
from controlplane.runtime.drain import drain, requests
from controlplane.runtime.native import gateway_processes, log_files
from controlplane.runtime.native.supervisor import client as supervisor
from controlplane.runtime.runner import DroppedLines, Runtime, ServiceState
from extproc.shared.status_client import read_statuses
from extproc.shared.worker_status import WorkerStatus

# Longer than the sum of the services' `stop_s`.
_ORDERLY_S: Final = 60.0
_GRACE_S: Final = 5.0


class NativeRunner:
    """The gateway of one run directory."""

    runtime = Runtime.NATIVE
    poll_s = 0.2

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout

    def services(self) -> tuple[ServiceState, ...] | None:
        report = supervisor.report(self._layout)
        if report is None:
            return None
        states = (ServiceState(each.name, each.state, each.pid, each.since, each.fault) for each in report.services)
        return tuple(sorted(states, key=lambda state: state.name))

    def workers(self, indices: Sequence[int]) -> tuple[WorkerStatus, ...]:
        sockets = [str(self._layout.worker_socket(index)) for index in indices]
        return worker_replies.decode(read_statuses(sockets))

    def dropped_lines(self) -> tuple[DroppedLines, ...]:
        report = supervisor.report(self._layout)
        return (
            () if report is None else tuple(DroppedLines(each.name, each.dropped, each.reason) for each in report.logs)
        )

    def logs(self, service: str | None = None) -> tuple[str, ...]:
        return tuple(path.stem for path in log_files.log_paths(self._layout, service))

    def log_location(self, log: str) -> str:
        return str(self._layout.logs / f"{log}.log")

    def last_lines(self, log: str, count: int) -> list[str]:
        return log_files.last_lines(self._layout.logs / f"{log}.log", count)

    def follow(self, logs_: Sequence[str], show: Callable[[str, str], None]) -> None:
        log_files.follow(
            [self._layout.logs / f"{log}.log" for log in logs_],
            lambda path, line: show(path.stem, line),
            lambda: self.services() is not None,
        )

    def drain(self, grace_s: float, say: Callable[[str], None]) -> None:
        def on_wait(count: int) -> None:
            say(f"waiting for {requests(count)} to end, at most {grace_s:g} s")

        if left := drain(str(self._layout.admin_socket), grace_s, on_wait):
            say(f"{requests(left)} did not end within {grace_s:g} s")

    def stop(self, *, volumes: bool) -> bool:
        supervised = supervisor.shut_down(self._layout)
        if supervised:
            deadline = time.monotonic() + _ORDERLY_S
            while gateway_processes.find(self._layout.root) and time.monotonic() < deadline:
                time.sleep(0.05)
        # Orphans of a killed supervisor, and processes that did not end in time.
        orphans = gateway_processes.stop_all(self._layout.root, _GRACE_S)
        return supervised or bool(orphans)
