"""Ports are asked before anything is started."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from controlplane.errors import RuntimeFault
from controlplane.runtime import ports


def test_a_taken_port_is_named_with_its_key_and_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
        port = server.getsockname()[1]
        # Also where the owner would share it.
        with pytest.raises(
            RuntimeFault, match=rf"port {port} \(listeners.ingress.port\) is taken by process {os.getpid()}"
        ):
            ports.check_free("0.0.0.0", port, "listeners.ingress.port")  # noqa: S104
    ports.check_free("127.0.0.1", port, "listeners.ingress.port")


def test_an_address_that_is_not_here_is_named() -> None:
    with pytest.raises(RuntimeFault, match=r"192\.0\.2\.77"):
        ports.check_free("192.0.2.77", 1, "listeners.egress.port")


def test_free_ports_differ_and_can_be_taken() -> None:
    found = ports.free(3)
    assert len(set(found)) == 3
    for port in found:
        socket.create_server(("127.0.0.1", port)).close()


def test_nobody_listens_on_a_free_port() -> None:
    assert ports.listening_process(ports.free(1)[0]) is None


def test_a_port_that_the_engine_may_take_is_free_though_this_user_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    ports.check_free("127.0.0.1", 443, "listeners.ingress.port", by_engine=True)
    with pytest.raises(RuntimeFault, match=r"cannot listen on 127\.0\.0\.1:443.*Permission denied"):
        ports.check_free("127.0.0.1", 443, "listeners.ingress.port")
