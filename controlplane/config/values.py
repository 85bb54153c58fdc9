"""Values that a file writes for an argument, against what the argument is declared as. Pure."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Final
from urllib.parse import urlsplit

from extproc.shared.filter_config import ParameterType


def _email(text: str) -> None:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError


def _uri(text: str) -> None:
    parts = urlsplit(text)
    if not parts.scheme or not (parts.netloc or parts.path):
        raise ValueError


# The formats of JSON Schema that an argument can be checked against without guessing; each raises ValueError. The
# filter checks the values of conversations in the same way.
FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "date-time": datetime.fromisoformat,
    "email": _email,
    "uri": _uri,
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
}


def is_of_type(value: object, kind: ParameterType) -> bool:
    match kind:
        case ParameterType.INT:
            return isinstance(value, int) and not isinstance(value, bool)
        case ParameterType.FLOAT:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ParameterType.BOOL:
            return isinstance(value, bool)
        case ParameterType.STR:
            return isinstance(value, str)
        case ParameterType.LIST:
            return isinstance(value, list)
        case ParameterType.DICT:
            return isinstance(value, dict)


def has_format(text: str, name: str) -> bool:
    try:
        FORMATS[name](text)
    except ValueError:
        return False
    return True
