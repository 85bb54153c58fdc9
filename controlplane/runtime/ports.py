"""TCP ports: checks that a port is free before anything starts, names its owner otherwise, finds free ports."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path
from typing import Final

from controlplane.config.addresses import host_and_port
from controlplane.errors import RuntimeFault

_LISTEN: Final = "0A"


def check_free(host: str, port: int, key: str, *, by_engine: bool = False) -> None:
    """Raise RuntimeFault, with the configuration key and the listening process, unless `host:port` can be bound.

    Envoy itself would not fail: with SO_REUSEPORT it shares ports with another Envoy of the same user. `by_engine`: the
    Docker engine will listen. It may bind ports that this user may not bind.
    """
    try:
        _listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            owner = _owner(port)
            raise RuntimeFault(f"port {port} ({key}) is taken{owner}; change {key} or stop that process") from error
        if not (by_engine and error.errno == errno.EACCES):
            raise RuntimeFault(f"cannot listen on {host_and_port(host, port)} ({key}): {error.strerror}") from error


def has_ipv6() -> bool:
    """Return True if this machine has the loopback address `::1`."""
    try:
        _listen("::1", 0)
    except OSError:
        return False
    return True


def _listen(host: str, port: int) -> None:
    is_ipv6 = ":" in host
    with socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections in TIME_WAIT do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6:
            # As Envoy does: IPv4 has its own socket.
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((host, port))
        probe.listen(1)


def free(count: int) -> tuple[int, ...]:
    """Return `count` different ports of 127.0.0.1 that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(int(each.getsockname()[1]) for each in sockets)


def _owner(port: int) -> str:
    owner = listening_process(port)
    if owner is None:
        return ""
    pid, name = owner
    return f" by process {pid} ({name})"


def listening_process(port: int) -> tuple[int, str] | None:
    """Return id and name of the process that listens on `port`; None if unknown (of another user, or not on Linux)."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (entry / "fd").iterdir():
                if inodes and str(descriptor.readlink()) in inodes:
                    return int(entry.name), (entry / "comm").read_text().strip()
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes
