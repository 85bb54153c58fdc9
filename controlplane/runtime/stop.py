"""Stops a gateway: drains requests, stops all services, removes keys, sockets and shared memory."""

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
    """Refuse new requests and wait at most `grace_s` for the running ones. A signal ends the wait.

    A failure is only a warning: the gateway is stopped anyway.
    """
    if grace_s <= 0:
        return
    try:
        with signals_raise():
            runner_of(layout).drain(grace_s, say)
    except InterruptedStartError as interruption:
        say(f"{interruption}: stopping at once")
    except RuntimeFault as fault:
        say(f"warning: running requests may be cut off: {fault}")


def stop(layout: RunLayout, *, volumes: bool = False) -> bool:
    """Stop the gateway. Returns False if nothing ran. `volumes`: also remove the volumes of containers."""
    runner = runner_of(layout)
    was_native = layout.supervisor_plan.exists()
    stopped = runner.stop(volumes=volumes)
    run_directory.clear(layout)
    if runner.runtime is Runtime.NATIVE and (volumes or not stopped):
        stopped = _stop_orphaned_containers(layout, volumes=volumes, expected=not (stopped or was_native)) or stopped
    return stopped


def _stop_orphaned_containers(layout: RunLayout, *, volumes: bool, expected: bool) -> bool:
    """Stop containers whose run directory was deleted, and remove volumes of a gateway that was stopped before.

    `expected`: no native gateway ran here, so containers are likely. In this case, RuntimeFault if `volumes` is set and
    no engine answers.
    """
    try:
        return DockerRunner(layout).stop(volumes=volumes)
    except RuntimeFault:
        if volumes and expected and shutil.which("docker") is not None:
            raise
        return False
