"""The callers that a listener answers: hosts that requests may name, and pages that may call it from a browser.

A web page can make a browser send requests to this machine. It cannot choose their `Host`, which holds the page's own
name, and it cannot leave out `Origin`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from controlplane.config.addresses import host_and_port, is_ip, is_loopback, is_this_machine

_PORT: Final = "(:[0-9]+)?"
_LOOPBACK: Final = (r"([a-z0-9-]+\.)*localhost\.?", r"127(\.[0-9]{1,3}){1,3}", r"\[::1\]")
# In a network of containers: names without a dot, which no web page has, and addresses.
_CONTAINERS: Final = ("[a-z0-9_-]+", r"[0-9]{1,3}(\.[0-9]{1,3}){3}", r"\[[0-9a-f:.]+\]")


def host_pattern(address: str, allowed: Sequence[str], *, in_containers: bool) -> str | None:
    """The expression of every `Host` that is answered; None where any is.

    A listener for this machine alone answers to loopback names. Another one answers to any, unless `allowed` names
    some.
    """
    if not allowed and not is_loopback(address):
        return None
    # The unspecified address is a way to say localhost, and so are the loopback ones.
    own = () if is_this_machine(address) else (address,)
    named = (_escaped(host) for host in (*own, *allowed))
    return f"(?i)({'|'.join((*_LOOPBACK, *(_CONTAINERS if in_containers else ()), *named))}){_PORT}"


def origin_pattern(allowed: Sequence[str]) -> str | None:
    """The expression of every `Origin` that is answered; None where none is."""
    return f"(?i)https?://({'|'.join(map(_escaped, allowed))}){_PORT}" if allowed else None


def _escaped(host: str) -> str:
    return re.escape(host_and_port(host, 0).removesuffix(":0") if is_ip(host) else host)
