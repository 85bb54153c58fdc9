"""How much memory this machine has, and how much of it Envoy's heap may take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from controlplane.config.quantities import MIB

_LEAST: Final = 256 * MIB
_MOST: Final = 2048 * MIB
# The rest is for the models and the filter.
_SHARE: Final = 8
# Of the container that this process runs in, if it does: cgroup v2, then v1.
_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available() -> int:
    """Bytes of this machine, or of its container where that has fewer."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min((machine, *(limit for path in _LIMITS if (limit := _limit(path)) is not None)))


def _limit(path: Path) -> int | None:
    """The bytes that the file says; None where there is none, or it says "max"."""
    try:
        said = path.read_text().strip()
    except OSError:
        return None
    return int(said) if said.isdecimal() else None


def envoy_heap(memory: int) -> int:
    """An eighth of `memory` bytes, within 256 MiB and 2 GiB."""
    return max(_LEAST, min(_MOST, memory // _SHARE))
