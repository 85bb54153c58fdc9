"""Finds and ends the processes of a gateway by the marks in their environment, also without a supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

from controlplane.runtime.native.environment_variables import RUN_MARK, SERVICE_MARK

_PROC: Final = Path("/proc")


def find(run_dir: Path, service: str | None = None) -> tuple[int, ...]:
    """Return the ids of the living processes of the gateway in `run_dir`, orphans included.

    `service`: return only processes marked with that name. Only Triton's processes have such a mark.
    """
    marks = {f"{RUN_MARK}={run_dir}".encode(), *(() if service is None else (f"{SERVICE_MARK}={service}".encode(),))}
    pids: list[int] = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # The process may have ended, or belong to another user.
        with contextlib.suppress(OSError):
            if marks <= set((entry / "environ").read_bytes().split(b"\0")) and not _is_zombie(entry):
                pids.append(int(entry.name))
    return tuple(pids)


def _is_zombie(entry: Path) -> bool:
    # The name is in parentheses and may contain any character. The state follows the last parenthesis.
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def stop_all(run_dir: Path, grace_s: float) -> tuple[int, ...]:
    """End all processes of the gateway: SIGTERM, and SIGKILL after `grace_s`. Returns the ids of those that ran."""
    stopped = _signal(find(run_dir), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while find(run_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    while _signal(find(run_dir), signal.SIGKILL):
        time.sleep(0.05)
    return stopped


def kill_service(run_dir: Path, service: str, wait_s: float) -> tuple[int, ...]:
    """Kill all processes of a service, except the caller. Returns the ids of those that still live after `wait_s`."""
    deadline = time.monotonic() + wait_s
    while (alive := _signal(find(run_dir, service), signal.SIGKILL)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def _signal(pids: tuple[int, ...], number: signal.Signals) -> tuple[int, ...]:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return pids
