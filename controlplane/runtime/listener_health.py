"""Asks a public listener of a running gateway for its health, over HTTP. Used by `readiness` and `status`."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from controlplane.runtime.gateway_state import PublicListener

_TIMEOUT_S: Final = 5.0
_BODY_BYTES: Final = 300


class _NotReady(msgspec.Struct, frozen=True):
    not_ready: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Health:
    """Response of a listener's /healthz. `status` None: no response; then `text` is the reason."""

    status: int | None
    text: str

    @property
    def ready(self) -> bool:
        return self.status == http.client.OK

    @property
    def not_ready(self) -> tuple[str, ...]:
        """The roles that the filter reports as not ready; empty if the response is not from the filter."""
        try:
            return tuple(msgspec.json.decode(self.text, type=_NotReady).not_ready)
        except msgspec.DecodeError:
            return ()


def probe(listener: PublicListener, timeout_s: float = _TIMEOUT_S) -> Health:
    url = urlsplit(listener.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout_s)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        return Health(response.status, response.read(_BODY_BYTES).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Health(None, str(error) or type(error).__name__)
    finally:
        connection.close()
