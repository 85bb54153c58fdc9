"""Questions to a running gateway over HTTP: do its listeners answer, does Triton serve its models."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from controlplane.runtime.state import Door, State

_TIMEOUT_S: Final = 5.0
_TEXT_LIMIT: Final = 300


class _NotReady(msgspec.Struct, frozen=True):
    not_ready: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Health:
    """What a listener's /healthz said. `status` None: nobody answered, and `text` says why."""

    status: int | None
    text: str

    @property
    def ready(self) -> bool:
        return self.status == http.client.OK

    @property
    def not_ready(self) -> tuple[str, ...]:
        """What the filter says is not there yet; empty where something else than the filter answered."""
        try:
            return tuple(msgspec.json.decode(self.text, type=_NotReady).not_ready)
        except msgspec.DecodeError:
            return ()


def door_health(door: Door, timeout: float = _TIMEOUT_S) -> Health:
    return _get(door.url, "/healthz", timeout)


def model_ready(state: State, model: str) -> bool:
    """Whether Triton says that it serves `model`: also when the model's process has died, unlike /healthz."""
    return _get(f"http://127.0.0.1:{state.triton_ports['http']}", f"/v2/models/{model}/ready", _TIMEOUT_S).ready


def _get(base: str, path: str, timeout: float) -> Health:
    place = urlsplit(base)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Health(response.status, response.read(_TEXT_LIMIT).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Health(None, str(error) or type(error).__name__)
    finally:
        connection.close()
