"""state.json: the gateway of a run directory. Written by `up`, read by `status`, `logs` and `down`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from controlplane.compile.plans import RoleLocation
from controlplane.render.atomic_write import write_file
from controlplane.render.run_layout import RunLayout


class PublicListener(msgspec.Struct, frozen=True):
    """A public listener."""

    name: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """URL for clients on this machine. A wildcard address becomes the loopback address."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{local}]:{self.port}" if ":" in local else f"http://{local}:{self.port}"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A started gateway. `since`: RFC 3339. `ready` False: it is starting, or its start failed half-way.

    `mode`: value of `plans.Mode`. `places`: the backends of each role in order of preference, grouped by role.
    """

    mode: str
    config: str
    since: str
    listeners: tuple[PublicListener, ...]
    places: tuple[RoleLocation, ...]
    services: tuple[str, ...]
    ready: bool = False


def save_state(layout: RunLayout, state: State) -> None:
    write_file(layout.state, msgspec.json.format(msgspec.json.encode(state), indent=2).decode() + "\n", 0o600)


def load_state(layout: RunLayout) -> State | None:
    """Return the state; None if there is none, or one that this version cannot read."""
    try:
        return msgspec.json.decode(Path(layout.state).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None
