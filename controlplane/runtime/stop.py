"""Stopping a gateway: in order, completely, and leaving no key, socket or shared memory behind."""

from __future__ import annotations

import time
from typing import Final

from controlplane.runtime import place, processes, supervisord
from controlplane.runtime.layout import RunLayout

# The sum of what the parts may take one after another, with room.
_ORDERLY_S: Final = 60.0
_GRACE_S: Final = 5.0


def stop(layout: RunLayout) -> bool:
    """Stop whatever of this gateway runs. False when nothing did."""
    asked = supervisord.shut_down(layout)
    if asked:
        deadline = time.monotonic() + _ORDERLY_S
        while processes.of_run(layout.root) and time.monotonic() < deadline:
            time.sleep(0.05)
    # Orphans of a killed supervisor, and whatever did not end in time.
    left = processes.stop_all(layout.root, _GRACE_S)
    place.clear(layout)
    return asked or bool(left)
