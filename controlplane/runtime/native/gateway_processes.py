"""Processes of one gateway, found by the marks in their environment: also those whose supervisor is gone."""

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
    """Ids of the living processes that belong to the gateway of `run_dir`, whoever their parent is now.

    `service`: only those of the service that carries its name, and what it started.
    """
    marks = {f"{RUN_MARK}={run_dir}".encode(), *(() if service is None else (f"{SERVICE_MARK}={service}".encode(),))}
    found: list[int] = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # It may end, or belong to somebody else, while we look.
        with contextlib.suppress(OSError):
            if marks <= set((entry / "environ").read_bytes().split(b"\0")) and not _is_zombie(entry):
                found.append(int(entry.name))
    return tuple(found)


def _is_zombie(entry: Path) -> bool:
    # The name, in parentheses, may hold anything; the state follows the last one.
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def stop_all(run_dir: Path, grace_s: float) -> tuple[int, ...]:
    """End every process of the gateway: SIGTERM, then SIGKILL after `grace_s`. Returns what had to be stopped."""
    stopped = _signal(find(run_dir), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while find(run_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    while _signal(find(run_dir), signal.SIGKILL):
        time.sleep(0.05)
    return stopped


def kill_service(run_dir: Path, service: str, wait_s: float) -> tuple[int, ...]:
    """End every process of a service at once, but for the caller. Returns those that live on after `wait_s`."""
    deadline = time.monotonic() + wait_s
    while (left := _signal(find(run_dir, service), signal.SIGKILL)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _signal(found: tuple[int, ...], number: signal.Signals) -> tuple[int, ...]:
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return found
