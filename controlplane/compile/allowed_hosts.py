"""Patterns of the `Host` and `Origin` headers that a listener accepts. Used by `gateway`.

A web page can make a browser send requests to this machine. It cannot choose their `Host`, which is the page's own name
(DNS rebinding), and it cannot leave out `Origin`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from controlplane.config.addresses import host_and_port, is_ip, is_loopback, is_this_machine

_PORT: Final = "(:[0-9]+)?"
_LOOPBACK: Final = (r"([a-z0-9-]+\.)*localhost\.?", r"127(\.[0-9]{1,3}){1,3}", r"\[::1\]")
# In a container network: names without a dot, which no web page has, and IP addresses.
_CONTAINERS: Final = ("[a-z0-9_-]+", r"[0-9]{1,3}(\.[0-9]{1,3}){3}", r"\[[0-9a-f:.]+\]")


def host_pattern(address: str, allowed: Sequence[str], *, in_containers: bool) -> str | None:
    """Returns a regular expression of the accepted `Host` headers, or None if all are accepted.

    A listener on a loopback address accepts loopback names. Any other listener accepts all names if `allowed` is empty.
    """
    if not allowed and not is_loopback(address):
        return None
    # Unspecified and loopback addresses are covered by the loopback names.
    own = () if is_this_machine(address) else (address,)
    named = (_escaped(host) for host in (*own, *allowed))
    return f"(?i)({'|'.join((*_LOOPBACK, *(_CONTAINERS if in_containers else ()), *named))}){_PORT}"


def origin_pattern(allowed: Sequence[str]) -> str | None:
    """Returns a regular expression of the accepted `Origin` headers, or None if none is accepted."""
    return f"(?i)https?://({'|'.join(map(_escaped, allowed))}){_PORT}" if allowed else None


def _escaped(host: str) -> str:
    return re.escape(host_and_port(host, 0).removesuffix(":0") if is_ip(host) else host)
