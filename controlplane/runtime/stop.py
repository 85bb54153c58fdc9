"""Stopping a gateway: in order, completely, and leaving no key, socket or shared memory behind."""

from __future__ import annotations

from controlplane.runtime import place
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.runners import runner_of


def stop(layout: RunLayout, *, volumes: bool = False) -> bool:
    """Stop whatever of this gateway runs. False when nothing did. `volumes`: with what containers would find again."""
    stopped = runner_of(layout).stop(volumes=volumes)
    place.clear(layout)
    return stopped
