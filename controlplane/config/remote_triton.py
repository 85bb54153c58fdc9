"""`model_serving.remote`: a Triton server that archgw does not run."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, PlainValidator, WithJsonSchema

from controlplane.config.addresses import TritonUrls, is_host
from controlplane.config.base_model import Section, refusal
from controlplane.config.file_paths import FilePath
from controlplane.config.http_headers import parse_header_name
from controlplane.config.providers import AccessKey
from controlplane.config.quantities import SECOND, ConnectTimeout
from controlplane.quoting import quoted

AUTHORIZATION: Final = "authorization"


def parse_key_header(value: object) -> str:
    """Parses a header name. Returns it in lower case, as HTTP/2 requires."""
    name = parse_header_name(value).lower()
    if name.startswith("grpc-"):
        raise refusal(f"header {quoted(name)} is gRPC's own to set")
    return name


def parse_server_name(value: object) -> str:
    if not isinstance(value, str) or not is_host(value):
        raise refusal("expected a host name, as it stands in the server's certificate")
    return value


KeyHeader = Annotated[
    str, PlainValidator(parse_key_header), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"})
]
ServerName = Annotated[str, PlainValidator(parse_server_name), WithJsonSchema({"type": "string", "minLength": 1})]


class Tls(Section):
    """TLS settings for `grpcs` and `https`."""

    ca: FilePath | None = None
    """CA certificates, in PEM, that verify the server's certificate, instead of the public ones."""
    cert: FilePath | None = None
    """The gateway's client certificate, in PEM, for a server that asks for one."""
    key: FilePath | None = None
    """The private key of `cert`, in PEM, without a password."""
    server_name: ServerName | None = None
    """Expected name in the server's certificate. By default the host of the URL."""


class Remote(Section):
    """A Triton server that archgw does not run, reached through Envoy."""

    url: TritonUrls
    """`grpc://`, `grpcs://`, `http://` or `https://`: one URL, or a load-balanced list of them."""
    access_key: AccessKey | None = None
    """The server's key, written as `$NAME`. It never appears in a rendered file, a log or a trace."""
    header: KeyHeader = AUTHORIZATION
    """Header for the key. `authorization` gets `Bearer KEY`, any other header the key alone."""
    tls: Tls = Tls()
    """TLS settings for `grpcs` and `https`."""
    connect_timeout: ConnectTimeout = Field(default=SECOND, json_schema_extra={"default": "1s"})
    """Timeout for opening a connection, TLS included."""
