"""Reads the headers of Envoy's ext_proc messages. Used by both stream halves."""

from __future__ import annotations

from collections.abc import Mapping

from envoy.config.core.v3.base_pb2 import HeaderMap


def read_headers(headers: HeaderMap) -> Mapping[str, str]:
    """Returns values by lower-case name. Of a repeated header the last value counts."""
    return {header.key: header.raw_value.decode(errors="replace") or header.value for header in headers.headers}
