"""Checks of TCP ports."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from controlplane.errors import RuntimeFault
from controlplane.runtime import ports


def test_taken_port_names_its_key_and_owner() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
        port = server.getsockname()[1]
        # Also if the owner set SO_REUSEPORT.
        with pytest.raises(
            RuntimeFault, match=rf"port {port} \(listeners.ingress.port\) is taken by process {os.getpid()}"
        ):
            ports.check_free("0.0.0.0", port, "listeners.ingress.port")  # noqa: S104
    ports.check_free("127.0.0.1", port, "listeners.ingress.port")


def test_names_an_address_of_another_machine() -> None:
    with pytest.raises(RuntimeFault, match=r"192\.0\.2\.77"):
        ports.check_free("192.0.2.77", 1, "listeners.egress.port")


def test_free_ports_are_different_and_usable() -> None:
    found = ports.free(3)
    assert len(set(found)) == 3
    for port in found:
        socket.create_server(("127.0.0.1", port)).close()


def test_free_port_has_no_listening_process() -> None:
    assert ports.listening_process(ports.free(1)[0]) is None


def test_privileged_port_is_free_for_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    ports.check_free("127.0.0.1", 443, "listeners.ingress.port", by_engine=True)
    with pytest.raises(RuntimeFault, match=r"cannot listen on 127\.0\.0\.1:443.*Permission denied"):
        ports.check_free("127.0.0.1", 443, "listeners.ingress.port")
