"""Stopping a gateway: after its requests, in order, completely, and leaving no key, socket or shared memory behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from controlplane.errors import RuntimeFault
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import run_directory
from controlplane.runtime.docker.runner import DockerRunner
from controlplane.runtime.runner import Runtime
from controlplane.runtime.runner_selection import runner_of
from controlplane.runtime.signals import InterruptedStartError, signals_raise


def drain(layout: RunLayout, grace_s: float, say: Callable[[str], None]) -> None:
    """Let running requests end, for at most `grace_s`, while new ones are refused. A signal ends the wait.

    What cannot be drained is stopped all the same: a fault is said, and no error.
    """
    if grace_s <= 0:
        return
    try:
        with signals_raise():
            runner_of(layout).drain(grace_s, say)
    except InterruptedStartError as interruption:
        say(f"{interruption}: stopping at once")
    except RuntimeFault as fault:
        say(f"warning: requests that run may be cut: {fault}")


def stop(layout: RunLayout, *, volumes: bool = False) -> bool:
    """Stop whatever of this gateway runs. False when nothing did. `volumes`: with what containers would find again."""
    runner = runner_of(layout)
    was_native = layout.supervisor_plan.exists()
    stopped = runner.stop(volumes=volumes)
    run_directory.clear(layout)
    if runner.runtime is Runtime.NATIVE and (volumes or not stopped):
        stopped = _stop_forgotten(layout, volumes=volumes, expected=not (stopped or was_native)) or stopped
    return stopped


def _stop_forgotten(layout: RunLayout, *, volumes: bool, expected: bool) -> bool:
    """Containers whose run directory somebody removed, and volumes of some that were stopped before.

    `expected`: nothing else ran there. Then RuntimeFault where there may be such volumes, and no engine answers that
    could remove them.
    """
    try:
        return DockerRunner(layout).stop(volumes=volumes)
    except RuntimeFault:
        if volumes and expected and shutil.which("docker") is not None:
            raise
        return False
