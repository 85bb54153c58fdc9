"""The client of a request."""

from __future__ import annotations

import pytest

from extproc import client_context
from extproc.client_context import client_key, request_from


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("/run/archgw/sockets/x", "/run/archgw/sockets/x"),
        ("", ""),
    ],
)
def test_client_key_of_ipv6_is_its_network(address: str, client: str) -> None:
    assert client_key(address) == client


def test_requests_of_one_client_are_distinct() -> None:
    assert client_context.current() is None
    with request_from("192.0.2.7"):
        first = client_context.current()
    with request_from("192.0.2.7"):
        second = client_context.current()
    assert first is not None and second is not None
    assert first.client == second.client
    assert first != second
