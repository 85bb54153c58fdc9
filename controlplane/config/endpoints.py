"""`endpoints`: the APIs that prompt targets call."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from controlplane.config.addresses import Hosts
from controlplane.config.base_model import Section
from controlplane.config.quantities import SECOND, CallTimeout, ConnectTimeout


class Protocol(StrEnum):
    HTTP = "http"
    HTTPS = "https"


class Endpoint(Section):
    """One API."""

    endpoint: Hosts
    """`host`, `host:port`, or a load-balanced list of them. `$NAME` is replaced from the environment."""
    protocol: Protocol = Protocol.HTTP
    """`https` verifies the server's certificate. It also sets the port where none is given: 80 or 443."""
    connect_timeout: ConnectTimeout = Field(default=5 * SECOND, json_schema_extra={"default": "5s"})
    """Timeout for opening a connection."""
    timeout: CallTimeout = Field(default=30 * SECOND, json_schema_extra={"default": "30s"})
    """Timeout of one whole call."""
