"""Request headers of API calls. All values are secrets: only Envoy's secret files hold them."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import PlainValidator, SecretStr, WithJsonSchema

from controlplane.config.base_model import refusal
from controlplane.quoting import quoted

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LONGEST_VALUE: Final = 4096

# Headers that the gateway or the protocol itself sets in each call.
_OURS: Final = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "http2-settings", "keep-alive", "proxy-connection", "te", "traceparent", "tracestate", "trailer",
        "transfer-encoding", "upgrade", "via", "x-request-id",
    }
)  # fmt: skip
_OUR_PREFIXES: Final = ("x-arch-", "x-archgw-", "x-envoy-", "x-forwarded-")


def parse_header_name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise refusal(f"{quoted(value)} is not the name of a header", "use letters, digits, '-' or '_'")
    if value.lower() in _OURS or value.lower().startswith(_OUR_PREFIXES):
        raise refusal(f"header {quoted(value)} is the gateway's own to set", "remove it")
    return value


def parse_header_value(value: object) -> SecretStr:
    """Parses a header's value. Error messages never hold it."""
    if not isinstance(value, str):
        raise refusal("expected the header's value as text", "put it in quotes")
    printable = all(0x20 <= ord(character) <= 0x7E for character in value)
    if not value or value != value.strip() or len(value) > _LONGEST_VALUE or not printable:
        raise refusal(
            "the value cannot travel in a header: it is empty, too long, begins or ends with a space, or holds other "
            "characters than printable ASCII",
            "look for a stray line end or space where it is set",
        )
    return SecretStr(value)


HeaderName = Annotated[
    str, PlainValidator(parse_header_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"})
]
HeaderValue = Annotated[
    SecretStr, PlainValidator(parse_header_value), WithJsonSchema({"type": "string", "minLength": 1})
]
