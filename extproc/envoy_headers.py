"""Headers as Envoy hands them over."""

from __future__ import annotations

from collections.abc import Mapping

from envoy.config.core.v3.base_pb2 import HeaderMap


def read_headers(headers: HeaderMap) -> Mapping[str, str]:
    """Header names are lower-case; of a repeated header the last value counts."""
    return {header.key: header.raw_value.decode(errors="replace") or header.value for header in headers.headers}
