"""Hosts, ports and URLs: accepted forms, and refusals that do not quote them."""

import pytest
from pydantic_core import PydanticCustomError

from controlplane.config.addresses import (
    HostPort,
    authority,
    parse_bind_address,
    parse_collector,
    parse_hosts,
    parse_url,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api.example.com", HostPort("api.example.com", None)),
        ("api_server:80", HostPort("api_server", 80)),
        ("127.0.0.1:18083", HostPort("127.0.0.1", 18083)),
        ("[::1]:8080", HostPort("::1", 8080)),
        ("[::1]", HostPort("::1", None)),
        ("::1", HostPort("::1", None)),
    ],
)
def test_a_host_may_carry_a_port(text: str, expected: HostPort) -> None:
    assert parse_hosts(text) == (expected,)


def test_a_list_of_hosts_keeps_its_order() -> None:
    assert parse_hosts(["b:1", "a:2", "b:2"]) == (HostPort("b", 1), HostPort("a", 2), HostPort("b", 2))


@pytest.mark.parametrize(
    "value",
    ["", "a b", "a:0", "a:65536", "a:", "a:b", ":80", "user:pw@host", "host/path", "http://host", "1.2.3", "1.2.3.4.5",
     "999.1.1.1", "[::1", "[host]:80", "[::1]80", "-a", "a..b", "x" * 64 + ".com", "a\n", 80, None, True, {}, [], [1],
     ["a", "a"], ["a"] * 65],
)  # fmt: skip
def test_refuses_other_hosts(value: object) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        parse_hosts(value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://api.openai.com/v1", (True, "api.openai.com", 443, "/v1")),
        ("http://127.0.0.1:8000/v1/", (False, "127.0.0.1", 8000, "/v1")),
        ("http://[::1]:8000", (False, "::1", 8000, "")),
        ("https://h/a/b%20c", (True, "h", 443, "/a/b%20c")),
        ("HTTPS://H", (True, "h", 443, "")),
    ],
)
def test_a_url_is_scheme_host_port_and_path(text: str, expected: tuple[bool, str, int, str]) -> None:
    url = parse_url(text)
    assert (url.secure, url.host, url.port, url.path) == expected


def test_knows_whether_url_has_a_path() -> None:
    assert (parse_url("http://h").path_given, parse_url("http://h/").path_given) == (False, True)


@pytest.mark.parametrize(
    "value",
    ["", "h", "//h/v1", "ftp://h", "https://", "https:///v1", "https://user:sk-secret@h/v1", "https://h/v1?key=sk-secret",
     "https://h/v1#sk-secret", "https://h?", "https://h:99999", "https://h:x", "https://h:0", "https://h:", "https://[::1",
     "https://a b", "https://h/v1\n", "https://h/\x00", 3, None, ["https://h"]],
)  # fmt: skip
def test_refuses_other_urls_without_quoting_them(value: object) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        parse_url(value)
    assert "sk-secret" not in str(caught.value)


def test_collector_defaults_to_the_otlp_port() -> None:
    assert parse_collector("http://otel").port == 4317
    assert parse_collector("https://otel:443").port == 443


@pytest.mark.parametrize("value", ["gateway.example", "0.0.0.0:80", "fe80::1%eth0", 0, None])
def test_listener_address_is_ip_address_or_localhost(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="expected an IP address or localhost"):
        parse_bind_address(value)


@pytest.mark.parametrize(
    ("host", "port", "secure", "expected"),
    [
        ("h", 80, False, "h"),
        ("h", 443, True, "h"),
        ("h", 443, False, "h:443"),
        ("h", 80, True, "h:80"),
        ("::1", 80, False, "[::1]"),
        ("::1", 8080, False, "[::1]:8080"),
    ],
)
def test_authority_omits_the_default_port(host: str, port: int, secure: bool, expected: str) -> None:
    assert authority(host, port, secure=secure) == expected
