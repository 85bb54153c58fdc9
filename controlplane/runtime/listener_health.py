"""Questions to a running gateway's listeners: do they answer, and what do they say is missing."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from controlplane.runtime.gateway_state import PublicListener

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


def probe(door: PublicListener, timeout: float = _TIMEOUT_S) -> Health:
    place = urlsplit(door.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=timeout)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        return Health(response.status, response.read(_TEXT_LIMIT).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Health(None, str(error) or type(error).__name__)
    finally:
        connection.close()
