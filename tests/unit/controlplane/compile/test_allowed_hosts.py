"""Hosts that a listener accepts, by its address and its allowed hosts."""

from __future__ import annotations

import re

import pytest

from controlplane.compile.allowed_hosts import host_pattern


def answers(host: str, address: str, *allowed: str, in_containers: bool = False) -> bool:
    pattern = host_pattern(address, allowed, in_containers=in_containers)
    return pattern is None or re.fullmatch(pattern, host) is not None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"])
def test_loopback_listener_accepts_only_loopback_names(address: str) -> None:
    assert answers("localhost:12000", address)
    assert answers("127.0.0.2:12000", address)
    assert not answers("evil.example:12000", address)
    assert not answers("gateway", address)
    assert not answers("192.168.1.5", address)
    assert answers("gateway:80", address, "gateway")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5"])  # noqa: S104
def test_other_listeners_accept_all_names_unless_some_are_allowed(address: str) -> None:
    assert answers("evil.example", address)
    assert not answers("evil.example", address, "gateway.example")
    assert answers("GATEWAY.example:80", address, "gateway.example")
    assert answers("127.0.0.1", address, "gateway.example")
    assert not answers("0.0.0.0", address, "gateway.example")  # noqa: S104
    assert answers("192.168.1.5:1", "192.168.1.5", "gateway.example")


def test_containers_call_each_other_by_service_and_by_address() -> None:
    for host in ("envoy:12000", "envoy", "172.18.0.5", "[fd00::5]:12000", "localhost"):
        assert answers(host, "127.0.0.1", in_containers=True)
    for host in ("evil.example", "envoy.evil.example", "172.18.0.5.evil.example"):
        assert not answers(host, "127.0.0.1", in_containers=True)


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert answers("[fd00::5]:1", "127.0.0.1", "fd00::5")
    assert not answers("fd00::5", "127.0.0.1", "fd00::5")
