"""state.json: what runs in a run directory. Written by `up`, read by `status`, `logs` and `down`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from controlplane.compile.plans import RoleLocation
from controlplane.render.atomic import write_file
from controlplane.runtime.layout import RunLayout


class Door(msgspec.Struct, frozen=True):
    """A public listener."""

    name: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """Where it is reached from this machine: nobody can connect to an address that means "all"."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{local}]:{self.port}" if ":" in local else f"http://{local}:{self.port}"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One started gateway. `since` is RFC 3339. `ready` False: it is starting, or its start failed half-way.

    `mode` is one of `plans.Mode`; `places` says where each role's model runs, a role's places one after another.
    """

    mode: str
    config: str
    since: str
    doors: tuple[Door, ...]
    places: tuple[RoleLocation, ...]
    parts: tuple[str, ...]
    ready: bool = False


def save(layout: RunLayout, state: State) -> None:
    write_file(layout.state, msgspec.json.format(msgspec.json.encode(state), indent=2).decode() + "\n", 0o600)


def load(layout: RunLayout) -> State | None:
    """None where there is no state, or one that this version cannot read."""
    try:
        return msgspec.json.decode(Path(layout.state).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None
