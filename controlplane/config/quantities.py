"""Parsers of durations such as `30s` and sizes such as `10MiB`, with bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema

from controlplane.config.base_model import refusal
from controlplane.quoting import quoted

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
KIB: Final = 1024
MIB: Final = 1024 * KIB

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_MILLISECONDS: Final = {"ms": 1, "s": SECOND, "m": MINUTE, "h": 60 * MINUTE}
_SHORT: Final = re.compile(r"([0-9]{1,9})(us|ms)")
_MICROSECONDS: Final = {"us": 1, "ms": 1_000}
_SIZE: Final = re.compile(r"([0-9]{1,12})(B|KiB|MiB|KB|MB)?")
_BYTES: Final = {None: 1, "B": 1, "KB": 1_000, "MB": 1_000_000, "KiB": KIB, "MiB": MIB}


def format_duration(milliseconds: int) -> str:
    """Returns the shortest form of a duration: `300000` is `5m`."""
    for unit in ("h", "m", "s"):
        if milliseconds and milliseconds % _MILLISECONDS[unit] == 0:
            return f"{milliseconds // _MILLISECONDS[unit]}{unit}"
    return f"{milliseconds}ms"


def format_size(size: int) -> str:
    """Returns the shortest form of a size: `10485760` is `10MiB`."""
    for unit in ("MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


def duration_between(low: int, high: int) -> Callable[[object], int]:
    """Returns a parser of durations into whole milliseconds. The bounds are milliseconds, inclusive."""

    def parse(value: object) -> int:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise refusal(
                f"expected a duration, got {quoted(value)}", "write a number with its unit, such as 30s or 500ms"
            )
        exact = Decimal(match[1]) * _MILLISECONDS[match[2]]
        if not low <= exact <= high:
            raise refusal(f"{value} is out of bounds: {format_duration(low)} to {format_duration(high)}")
        if exact != int(exact):
            raise refusal(f"{value} is no whole number of milliseconds")
        return int(exact)

    return parse


def microseconds_between(low: int, high: int) -> Callable[[object], int]:
    """Returns a parser of short durations such as `500us`. Result and bounds are microseconds, bounds inclusive."""

    def parse(value: object) -> int:
        match = _SHORT.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise refusal(
                f"expected a short duration, got {quoted(value)}", "write a whole number with its unit: 500us or 2ms"
            )
        exact = int(match[1]) * _MICROSECONDS[match[2]]
        if not low <= exact <= high:
            raise refusal(f"{value} is out of bounds: {low}us to {high}us")
        return exact

    return parse


def size_between(low: int, high: int) -> Callable[[object], int]:
    """Returns a parser of sizes. Result and bounds are bytes, bounds inclusive."""

    def parse(value: object) -> int:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        match = _SIZE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise refusal(
                f"expected a size, got {quoted(value)}", "write bytes as a number, or with a unit, such as 10MiB"
            )
        size = int(match[1]) * _BYTES[match[2]]
        if not low <= size <= high:
            raise refusal(f"{value} is out of bounds: {format_size(low)} to {format_size(high)}")
        return size

    return parse


DURATION_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h)$",
    "examples": ["30s", "500ms"],
}
SIZE_SCHEMA: Final = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^[0-9]{1,12}(B|KiB|MiB|KB|MB)?$"}],
    "examples": ["10MiB"],
}

# No TCP handshake is worth waiting more than a minute for.
ConnectTimeout = Annotated[int, PlainValidator(duration_between(1, MINUTE)), WithJsonSchema(DURATION_SCHEMA)]
CallTimeout = Annotated[int, PlainValidator(duration_between(1, 10 * MINUTE)), WithJsonSchema(DURATION_SCHEMA)]
# A model that decodes tokens may need minutes. Under 10 ms, the network alone takes longer.
RoleTimeout = Annotated[int, PlainValidator(duration_between(10, 10 * MINUTE)), WithJsonSchema(DURATION_SCHEMA)]
QueueDelay = Annotated[
    int,
    PlainValidator(microseconds_between(0, 100_000)),
    WithJsonSchema({"type": "string", "pattern": f"^{_SHORT.pattern}$", "examples": ["500us"]}),
]
# Reasoning models may send nothing for many minutes.
SilenceTimeout = Annotated[int, PlainValidator(duration_between(100, 60 * MINUTE)), WithJsonSchema(DURATION_SCHEMA)]
LogSize = Annotated[int, PlainValidator(size_between(MIB, 10 * 1024 * MIB)), WithJsonSchema(SIZE_SCHEMA)]
BodySize = Annotated[int, PlainValidator(size_between(KIB, 64 * MIB)), WithJsonSchema(SIZE_SCHEMA)]
