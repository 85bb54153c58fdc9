"""The request that a task works for, and its client. Set by gateway.py, read by the queues of models and guards."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

# An IPv6 client owns a network of this size, and can use any address of it.
_IPV6_PREFIX: Final = 64


@dataclass(frozen=True, eq=False, slots=True)
class ClientRequest:
    """One request; no two are equal. Requests of the same `client` share its turns (fair_queue.py)."""

    client: str


_CURRENT: ContextVar[ClientRequest | None] = ContextVar("archgw_client_request", default=None)


def current() -> ClientRequest | None:
    """Returns the request that this task works for; None for the gateway's own work, such as a probe."""
    return _CURRENT.get()


@contextmanager
def request_from(address: str) -> Iterator[None]:
    """Attributes the work of the block, including tasks that it starts, to one request from this IP address."""
    token = _CURRENT.set(ClientRequest(client_key(address)))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def client_key(address: str) -> str:
    """Returns an IPv4 address as it is, and the network of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, _IPV6_PREFIX), strict=False))
    return str(ip)
