"""Stopping a gateway: in order, completely, and leaving no key, socket or shared memory behind."""

from __future__ import annotations

from controlplane.runtime import place
from controlplane.runtime.docker.runner import DockerRunner
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.runner import Runtime
from controlplane.runtime.runners import runner_of


def stop(layout: RunLayout, *, volumes: bool = False) -> bool:
    """Stop whatever of this gateway runs. False when nothing did. `volumes`: with what containers would find again."""
    runner = runner_of(layout)
    stopped = runner.stop(volumes=volumes)
    if volumes and runner.runtime is Runtime.NATIVE:
        # Containers that were stopped before have left some, and no file that says so.
        stopped = DockerRunner(layout).stop(volumes=True) or stopped
    place.clear(layout)
    return stopped
