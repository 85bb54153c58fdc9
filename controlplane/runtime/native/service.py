"""One service as the supervisor runs it. Made by `gateway_services`, read by `supervisor`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Service:
    """One process. `stdout_log` None: standard output goes to `log`, as standard error does.

    `order`: services start in ascending order. `edge`: takes the requests, so it stops first; all others then stop at
    once. `stop_s`: time to end after SIGTERM.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    order: int
    stop_s: int
    stdout_log: Path | None = None
    edge: bool = False
