"""The memory of this machine or container, and Envoy's share of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from controlplane.config.quantities import MIB

_MIN_HEAP: Final = 256 * MIB
_MAX_HEAP: Final = 2048 * MIB
# The rest is for the models and the filter.
_HEAP_DIVISOR: Final = 8
# Memory limit of this process's container: cgroup v2, then v1.
_CGROUP_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available_bytes() -> int:
    """Return the memory of this machine in bytes, or the limit of its container if that is lower."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min((machine, *(limit for path in _CGROUP_LIMITS if (limit := _cgroup_limit(path)) is not None)))


def _cgroup_limit(path: Path) -> int | None:
    """Return the limit in bytes; None if the file is missing or says "max"."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def envoy_heap_bytes(memory: int) -> int:
    """Return an eighth of `memory` bytes, at least 256 MiB and at most 2 GiB."""
    return max(_MIN_HEAP, min(_MAX_HEAP, memory // _HEAP_DIVISOR))
