"""`listeners`: the doors of the gateway."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from controlplane.config.addresses import AllowedHost, BindAddress
from controlplane.config.base_model import Section

Port = Annotated[int, Field(ge=1, le=65535)]


class Ingress(Section):
    """The prompt listener: guards, intent, function calling, then an LLM or an API answer."""

    enabled: bool = True
    """Whether to listen at all. Off: the gateway is a door to LLM providers and nothing else."""
    address: BindAddress = "0.0.0.0"  # noqa: S104  end users' clients call it
    """IP address to listen on, or `localhost`. `localhost` and `::` mean IPv4 and IPv6."""
    port: Port = 10000
    """TCP port."""
    allowed_hosts: tuple[AllowedHost, ...] = Field(default=(), max_length=64)
    """Names that clients call this listener by. Also, pages of these hosts may call it from a browser."""


class Egress(Section):
    """The LLM listener: one OpenAI-compatible door to every provider, for the team's own applications."""

    enabled: bool = True
    """Whether to listen at all."""
    address: BindAddress = "127.0.0.1"
    """IP address to listen on, or `localhost`. `localhost` and `::` mean IPv4 and IPv6."""
    port: Port = 12000
    """TCP port."""
    allowed_hosts: tuple[AllowedHost, ...] = Field(default=(), max_length=64)
    """Names that clients call this listener by, besides the loopback ones."""


class Listeners(Section):
    """The doors of the gateway."""

    ingress: Ingress = Ingress()
    """The prompt listener."""
    egress: Egress = Egress()
    """The LLM listener."""
