"""Hosts, ports and URLs: what is understood, and what is refused without being quoted."""

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
def test_anything_else_is_no_host(value: object) -> None:
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


def test_whether_a_path_was_written_is_known() -> None:
    assert (parse_url("http://h").path_given, parse_url("http://h/").path_given) == (False, True)


@pytest.mark.parametrize(
    "value",
    ["", "h", "//h/v1", "ftp://h", "https://", "https:///v1", "https://user:sk-secret@h/v1", "https://h/v1?key=sk-secret",
     "https://h/v1#sk-secret", "https://h?", "https://h:99999", "https://h:x", "https://h:0", "https://h:", "https://[::1",
     "https://a b", "https://h/v1\n", "https://h/\x00", 3, None, ["https://h"]],
)  # fmt: skip
def test_any_other_url_is_refused_without_being_quoted(value: object) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        parse_url(value)
    assert "sk-secret" not in str(caught.value)


def test_a_collector_has_the_port_of_otlp_where_none_is_given() -> None:
    assert parse_collector("http://otel").port == 4317
    assert parse_collector("https://otel:443").port == 443


@pytest.mark.parametrize("value", ["gateway.example", "0.0.0.0:80", "fe80::1%eth0", 0, None])
def test_a_listener_s_address_is_an_ip_address_or_localhost(value: object) -> None:
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
def test_an_authority_has_no_port_where_it_is_the_protocol_s_own(
    host: str, port: int, secure: bool, expected: str
) -> None:
    assert authority(host, port, secure=secure) == expected
