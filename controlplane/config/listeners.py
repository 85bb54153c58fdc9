"""`listeners`: the ports that clients connect to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from controlplane.config.addresses import AllowedHost, BindAddress
from controlplane.config.base_model import Section
from extproc.shared.filter_config import Listener

Port = Annotated[int, Field(ge=1, le=65535)]


class Ingress(Section):
    """The prompt listener: guards, intent, function calling, then the answer of an LLM or an API."""

    enabled: bool = True
    """`false`: the gateway only proxies to LLM providers."""
    address: BindAddress = "0.0.0.0"  # noqa: S104  end users' clients call it
    """IP address to listen on, or `localhost`. `localhost` and `::` mean IPv4 and IPv6."""
    port: Port = 10000
    """TCP port."""
    allowed_hosts: tuple[AllowedHost, ...] = Field(default=(), max_length=64)
    """Host names that clients use for this listener. Browsers may call it from pages of these hosts."""


class Egress(Section):
    """The LLM listener: one OpenAI-compatible API for all providers, for the team's own applications."""

    enabled: bool = True
    """`false`: the gateway does not open this listener."""
    address: BindAddress = "127.0.0.1"
    """IP address to listen on, or `localhost`. `localhost` and `::` mean IPv4 and IPv6."""
    port: Port = 12000
    """TCP port."""
    allowed_hosts: tuple[AllowedHost, ...] = Field(default=(), max_length=64)
    """Host names that clients use for this listener, besides the loopback names."""


class Listeners(Section):
    """The ports that clients connect to."""

    ingress: Ingress = Ingress()
    """The prompt listener."""
    egress: Egress = Egress()
    """The LLM listener."""

    def is_enabled(self, listener: Listener) -> bool:
        section = self.ingress if listener is Listener.INGRESS else self.egress
        return section.enabled
