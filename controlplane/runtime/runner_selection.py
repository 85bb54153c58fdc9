"""Selects the runner of the gateway in a run directory: native or Docker."""

from __future__ import annotations

from controlplane.render.run_layout import RunLayout
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.runner import Runner


def runner_of(layout: RunLayout) -> Runner:
    """Return the runner for the files in the run directory; a native one for a gateway that never ran."""
    if layout.compose.exists():
        # Imported late: most machines have no Docker engine.
        from controlplane.runtime.docker.runner import DockerRunner  # noqa: PLC0415

        return DockerRunner(layout)
    return NativeRunner(layout)
