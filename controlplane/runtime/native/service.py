"""One process of a gateway, as the supervisor is told of it. Made by `services`, read by `supervisor`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Service:
    """One process. `stdout_log` None: its standard output goes to `log` as well.

    `order`: services start from the lowest. `edge`: takes requests in, and so stops before all the others, which then stop
    together. `stop_s`: how long it may take to end on SIGTERM.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    order: int
    stop_s: int
    stdout_log: Path | None = None
    edge: bool = False
