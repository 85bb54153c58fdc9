"""Processes of one gateway, found by the mark in their environment: also those whose supervisor is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

from controlplane.runtime.native.environment import RUN_MARK

_PROC: Final = Path("/proc")


def of_run(run_dir: Path) -> tuple[int, ...]:
    """Ids of the living processes that belong to the gateway of `run_dir`, whoever their parent is now."""
    mark = f"{RUN_MARK}={run_dir}".encode()
    found: list[int] = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # It may end, or belong to somebody else, while we look.
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and not _is_zombie(entry):
                found.append(int(entry.name))
    return tuple(found)


def _is_zombie(entry: Path) -> bool:
    # The name, in parentheses, may hold anything; the state follows the last one.
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def stop_all(run_dir: Path, grace_s: float) -> tuple[int, ...]:
    """End every process of the gateway: SIGTERM, then SIGKILL after `grace_s`. Returns what had to be stopped."""
    stopped = _signal(run_dir, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while of_run(run_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    while _signal(run_dir, signal.SIGKILL):
        time.sleep(0.05)
    return stopped


def _signal(run_dir: Path, number: signal.Signals) -> tuple[int, ...]:
    found = of_run(run_dir)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return found
