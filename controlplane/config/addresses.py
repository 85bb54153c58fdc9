"""Parsers of hosts, ports and URLs. Messages never quote them: a URL may carry a password."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import PlainValidator, WithJsonSchema

from controlplane.config.base_model import refusal
from controlplane.quoting import quoted

_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?"
)
_URL_PATH: Final = re.compile(r"(/[A-Za-z0-9._~!&'()*+,;=:@%-]*)*")
LOCALHOST: Final = "localhost"
# The addresses of localhost, in the order of connection attempts.
LOOPBACK: Final = ("127.0.0.1", "::1")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_MAX_HOSTS: Final = 64
# Default ports by scheme: Triton's own, and 443 for TLS.
_TRITON_PORTS: Final = {"http": 8000, "https": 443, "grpc": 8001, "grpcs": 443}


@dataclass(frozen=True, slots=True)
class HostPort:
    """One address of an endpoint. `port` None: the protocol's default port."""

    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Url:
    """An `http` or `https` URL. `path` has no trailing slash: `""` is the root."""

    secure: bool
    host: str
    port: int
    path: str
    # False for `http://host`, True for `http://host/`.
    path_given: bool


@dataclass(frozen=True, slots=True)
class TritonUrl:
    """URL of a Triton server. `grpc` and `grpcs` mean KServe over gRPC, `http` and `https` KServe over HTTP.

    `path` is the prefix of all HTTP paths, without a trailing slash.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def secure(self) -> bool:
        return self.scheme in {"grpcs", "https"}

    @property
    def grpc(self) -> bool:
        return self.scheme in {"grpc", "grpcs"}

    def __str__(self) -> str:
        """Returns the URL with its port. It holds no secret: URLs with a password are refused."""
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}{self.path}"


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_localhost(host: str) -> bool:
    """Returns whether `host` is a name of the loopback addresses, by RFC 6761."""
    name = host.lower().removesuffix(".")
    return name == LOCALHOST or name.endswith(f".{LOCALHOST}")


def is_this_machine(host: str) -> bool:
    """Returns whether `host` is a loopback name or address, or the unspecified address."""
    if not is_ip(host):
        return is_localhost(host)
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return address.is_loopback or address.is_unspecified


def default_port(*, secure: bool) -> int:
    return 443 if secure else 80


def authority(host: str, port: int, *, secure: bool) -> str:
    """Returns the value of a `Host` header. The protocol's default port is left out."""
    shown = _bracketed(host)
    return shown if port == default_port(secure=secure) else f"{shown}:{port}"


def host_and_port(host: str, port: int) -> str:
    """Returns `host:port`, with brackets around an IPv6 address."""
    return f"{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_host(host: str) -> bool:
    if is_ip(host):
        return True
    # Digits and dots alone are a mistyped IP address, not a name.
    return _HOST_NAME.fullmatch(host) is not None and not re.fullmatch(r"[0-9.]+", host)


def _parse_host_port(value: object) -> HostPort:
    hint = "write host or host:port, such as api.example.com or 127.0.0.1:8080"
    if not isinstance(value, str):
        raise refusal("expected a host, host:port, or a list of them", hint)
    if "://" in value:
        raise refusal(
            "expected a host or host:port, got a URL",
            "move http or https to `protocol`, and a path to the target's `path`",
        )
    host, colon, port = value, "", ""
    if value.startswith("["):
        host, bracket, rest = value[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or ":" not in host:
            raise refusal("not a host or host:port", "write an IPv6 address as [::1]:8080")
        colon, port = rest[:1], rest[1:]
    elif value.count(":") == 1:
        host, colon, port = value.partition(":")
    if colon and not (_PORT.fullmatch(port) and 1 <= int(port) <= 65535):
        raise refusal("the port is not a number from 1 to 65535", hint)
    if not is_host(host):
        raise refusal("not a host or host:port", hint)
    return HostPort(host, int(port) if colon else None)


def parse_hosts(value: object) -> tuple[HostPort, ...]:
    """Parses a `host`, a `host:port`, or a list of them. A list is load-balanced."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise refusal("the list is empty", "name at least one host")
    if len(values) > _MAX_HOSTS:
        raise refusal(f"{len(values)} hosts are too many: at most {_MAX_HOSTS}")
    hosts = tuple(_parse_host_port(item) for item in values)
    if len(set(hosts)) < len(hosts):
        raise refusal("the list names the same host and port twice")
    return hosts


def _split_url(value: object, schemes: Sequence[str] = ("http", "https")) -> SplitResult:
    example = f"{schemes[-1]}://host"
    if not isinstance(value, str) or any(ord(character) <= 0x20 or ord(character) == 0x7F for character in value):
        raise refusal("expected a URL", f"write it as {example}")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise refusal("not a URL: its host or port is malformed", f"write it as {example}:port") from None
    if parts.scheme not in schemes or not parts.netloc:
        raise refusal(
            f"expected a URL that starts with {', '.join(f'{each}://' for each in schemes[:-1])} or {schemes[-1]}://"
        )
    if "@" in parts.netloc:
        raise refusal("the URL holds a user name or password", "keys belong in `access_key`")
    if "?" in value or "#" in value:
        raise refusal("the URL has a query or a fragment", "end it after the path")
    if not is_host(parts.hostname or "") or parts.port == 0 or parts.netloc.endswith(":"):
        raise refusal("not a URL: its host or port is malformed", f"write it as {example}:port")
    if not _URL_PATH.fullmatch(parts.path):
        raise refusal("the path of the URL holds characters that a path may not hold")
    return parts


def parse_url(value: object) -> Url:
    """Parses a base URL: scheme, host, port and path, nothing else."""
    parts = _split_url(value)
    secure = parts.scheme == "https"
    return Url(
        secure=secure,
        host=parts.hostname or "",
        port=parts.port or default_port(secure=secure),
        path=parts.path.rstrip("/"),
        path_given=parts.path != "",
    )


def parse_collector(value: object) -> Url:
    """Parses the URL of an OTLP gRPC collector. It has no path; the default port is 4317."""
    url = parse_url(value)
    if url.path:
        raise refusal("a gRPC collector has no path", "write http://host:4317")
    if urlsplit(str(value)).port is None:
        return Url(secure=url.secure, host=url.host, port=4317, path="", path_given=url.path_given)
    return url


def parse_triton_url(value: object) -> TritonUrl:
    """Parses the URL of a Triton server. Only HTTP URLs may have a path: that of a proxy in front of Triton."""
    parts = _split_url(value, tuple(_TRITON_PORTS))
    path = parts.path.rstrip("/")
    if path and parts.scheme in {"grpc", "grpcs"}:
        raise refusal("a gRPC server has no path", "end the URL after the port, or use http or https")
    return TritonUrl(parts.scheme, parts.hostname or "", parts.port or _TRITON_PORTS[parts.scheme], path)


def parse_bind_address(value: object) -> str:
    """Parses an address to listen on: an IP address or `localhost`. Other names may have several addresses."""
    if isinstance(value, str) and value.lower() == LOCALHOST:
        return LOCALHOST
    if not isinstance(value, str) or not is_ip(value) or "%" in value:
        raise refusal(
            f"expected an IP address or localhost, got {quoted(value)}",
            "0.0.0.0 is every interface, 127.0.0.1 this machine only",
        )
    return value


def parse_allowed_host(value: object) -> str:
    """Parses a name or IP address that clients may send as `Host`. Returns it in lower case, without a port."""
    if not isinstance(value, str) or not is_host(value):
        raise refusal(
            f"{quoted(value)} is not a host", "write a name or an IP address alone, without http:// and without a port"
        )
    return value.lower()


def listened_on(address: str, *, ipv6: bool) -> tuple[str, ...]:
    """Returns the IP addresses to bind for a listener's `address`. `localhost` and `::` mean both IP families.

    `ipv6`: this machine has the loopback address `::1`.
    """
    if address == LOCALHOST:
        return LOOPBACK if ipv6 else LOOPBACK[:1]
    if ipaddress.ip_address(address) == ipaddress.IPv6Address("::"):
        return "0.0.0.0", "::"  # noqa: S104 - as a dual-stack socket does
    return (address,)


def is_loopback(address: str) -> bool:
    """Returns whether only this machine can reach a listener on `address`."""
    if address == LOCALHOST:
        return True
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


AllowedHost = Annotated[
    str, PlainValidator(parse_allowed_host), WithJsonSchema({"type": "string", "examples": ["gateway.example.com"]})
]
Hosts = Annotated[
    tuple[HostPort, ...],
    PlainValidator(parse_hosts),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {"type": "string"},
                    "minItems": 1,
                    "maxItems": _MAX_HOSTS,
                    "uniqueItems": True,
                },
            ],
            "examples": ["api.example.com", "127.0.0.1:8080"],
        }
    ),
]
_URL_SCHEMA: Final = {"type": "string", "pattern": r"^(https?://|\$)"}
_TRITON_URL: Final = {"type": "string", "pattern": r"^((grpc|http)s?://|\$)"}
TritonUrls = Annotated[
    tuple[Annotated[TritonUrl, PlainValidator(parse_triton_url)], ...],
    WithJsonSchema(
        {
            "anyOf": [
                _TRITON_URL,
                {"type": "array", "items": _TRITON_URL, "minItems": 1, "maxItems": _MAX_HOSTS, "uniqueItems": True},
            ],
            "examples": ["grpcs://triton.example.com:443"],
        }
    ),
]
BaseUrl = Annotated[Url, PlainValidator(parse_url), WithJsonSchema(_URL_SCHEMA)]
Collector = Annotated[Url, PlainValidator(parse_collector), WithJsonSchema(_URL_SCHEMA)]
BindAddress = Annotated[
    str, PlainValidator(parse_bind_address), WithJsonSchema({"type": "string", "examples": ["127.0.0.1", LOCALHOST]})
]
