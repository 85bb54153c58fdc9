"""Who a task works for: the client and its request. Set once a request, read by the queues of inference."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

# An IPv6 client owns a whole network of this size, and takes another address of it at will.
_IPV6_PREFIX: Final = 64


@dataclass(frozen=True, eq=False, slots=True)
class Caller:
    """One request, equal to itself alone. `client`: who shares turns with nobody else."""

    client: str


_CURRENT: ContextVar[Caller | None] = ContextVar("archgw_caller", default=None)


def current() -> Caller | None:
    """The request that this task works for; None: work of the gateway's own, such as a probe."""
    return _CURRENT.get()


@contextmanager
def calling(address: str) -> Iterator[None]:
    """The block, tasks that it starts included, works for one request from this IP address."""
    token = _CURRENT.set(Caller(client_of(address)))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def client_of(address: str) -> str:
    """The client behind an IP address: itself, or its network where it is an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, _IPV6_PREFIX), strict=False))
    return str(ip)
