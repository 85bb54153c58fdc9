"""Which runner has the gateway of a run directory. There are two kinds, and this is where they are told apart."""

from __future__ import annotations

from controlplane.render.run_layout import RunLayout
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.runner import Runner


def runner_of(layout: RunLayout) -> Runner:
    """Of the gateway whose files are there; of one that never ran, a native one."""
    if layout.compose.exists():
        # Imported late: most gateways of most machines have no engine to ask.
        from controlplane.runtime.docker.runner import DockerRunner  # noqa: PLC0415

        return DockerRunner(layout)
    return NativeRunner(layout)
