"""`localhost` means IPv4 and IPv6, for upstreams and for listeners, in a real Envoy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import ThreadingHTTPServer

import pytest
import trustme

from controlplane.compile.plans import Address, ApiCluster, CallRoute, Listener, Upstream
from controlplane.config.addresses import listened_on
from controlplane.runtime import listener_health, ports
from controlplane.runtime.gateway_state import PublicListener
from tests.integration.controlplane.render.envoy_server import Api, running
from tests.unit.controlplane.render.plans import plan

pytestmark = pytest.mark.skipif(not ports.has_ipv6(), reason="this machine has no IPv6")


class _Server(ThreadingHTTPServer):
    def __init__(self, host: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), Api)


@contextmanager
def serving(host: str) -> Iterator[int]:
    """Port of a server that listens on this address only."""
    server = _Server(host)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listener(name: str, host: str, port: int) -> Listener:
    return Listener(name, Address(host, port), tuple(Address(each, port) for each in listened_on(host, ipv6=True)))


def test_localhost_works_over_ipv4_and_ipv6() -> None:
    first, second = ports.free(2)
    with serving("::1") as six, serving("127.0.0.1") as four:
        addresses = {"six": (six,), "four": (four,), "both": (four, six)}
        apis = tuple(
            ApiCluster(Upstream(f"endpoint_{name}", tuple(Address("localhost", port) for port in its), 1000))
            for name, its in addresses.items()
        )
        calls = tuple(CallRoute(f"target_{name}", f"endpoint_{name}", "localhost", 1000, 1000) for name in addresses)
        listeners = (_listener("ingress", "::", first), _listener("egress", "localhost", second))
        subject = replace(plan(), listeners=listeners, apis=apis, calls=calls)
        with running(subject, trustme.CA().cert_pem.bytes()) as gateway:
            for name in addresses:
                assert [gateway.internal(f"target_{name}", "/").status for _ in range(4)] == [200] * 4, name
            for host, port in ((host, port) for host in ("127.0.0.1", "::1", "localhost") for port in (first, second)):
                # There is no filter.
                assert listener_health.probe(PublicListener("any", host, port)).status == 503


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
def test_port_taken_in_one_address_family_counts_as_taken(host: str) -> None:
    with serving(host) as port, pytest.raises(Exception, match=f"port {port} .* is taken"):
        for address in listened_on("localhost" if host != "::" else "::", ipv6=True):
            ports.check_free(address, port, "listeners.egress.port")
