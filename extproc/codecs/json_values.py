"""Decoding and encoding of JSON. Every module of the filter that reads or writes JSON uses this one."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from extproc.errors import InvalidRequest
from extproc.shared.filter_config import JsonValue

Fields = Mapping[str, msgspec.Raw]

# msgspec has no depth limit of its own: it stops at the interpreter's recursion limit.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE: Final = msgspec.json.Decoder()
_encode: Final = msgspec.json.Encoder().encode

_NOT_READABLE: Final = "The body is not a JSON object that can be read: {}."
# The escape of one half of a surrogate pair. `\\ud800` matches too and is none: the decoder decides.
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
# One half of a surrogate pair as three bytes, which some encoders write.
_SURROGATE_BYTES: Final = re.compile(rb"\xed[\xa0-\xbf]")
_SURROGATE_ESCAPED: Final = "it escapes half of a surrogate pair (\\ud800 to \\udfff), which is no character"


def encode_json(value: object) -> bytes:
    """Returns `value` as compact JSON."""
    return _encode(value)


def decode_json(text: bytes | str | msgspec.Raw) -> JsonValue:
    """Returns the value of a JSON text from outside. Raises `InvalidRequest`, which never quotes the text."""
    try:
        value: JsonValue = _VALUE.decode(text)
    except DECODE_ERRORS as error:
        raise _unreadable(text.encode(errors="surrogatepass") if isinstance(text, str) else text, error) from None
    return value


def decode_request(body: bytes, names: Collection[str]) -> tuple[dict[str, msgspec.Raw], dict[str, JsonValue]]:
    """Returns the top-level fields of a request body in their own bytes, and the values of those in `names`.

    Raises `InvalidRequest`, also if a field outside `names` escapes half of a surrogate pair: nobody here decodes it,
    and whoever does so later would refuse it.
    """
    try:
        # msgspec does not check the UTF-8 of fields that stay raw.
        body.decode()
        fields = _FIELDS.decode(body)
        values = {name: _VALUE.decode(fields[name]) for name in names if name in fields}
    except DECODE_ERRORS as error:
        raise _unreadable(body, error) from None
    if any(name not in values and _escapes_half_a_surrogate_pair(raw) for name, raw in fields.items()):
        raise InvalidRequest(_NOT_READABLE.format(_SURROGATE_ESCAPED))
    return fields, values


def decode_object(text: bytes | str | msgspec.Raw) -> dict[str, JsonValue] | None:
    """Returns the JSON object in `text`, or None if it is anything else."""
    try:
        value = _VALUE.decode(text)
    except DECODE_ERRORS:
        return None
    return value if isinstance(value, dict) else None


def decode_fields(text: bytes) -> dict[str, msgspec.Raw] | None:
    """Returns the top-level fields of the JSON object in `text` in their own bytes, or None if it is anything else."""
    try:
        return _FIELDS.decode(text)
    except DECODE_ERRORS:
        return None


def decode_field(fields: Fields | None, name: str) -> JsonValue:
    """Returns one field of an object from outside, or None if it is absent or unreadable."""
    if fields is None or name not in fields:
        return None
    try:
        value: JsonValue = _VALUE.decode(fields[name])
    except DECODE_ERRORS:
        return None
    return value


def _unreadable(text: bytes | msgspec.Raw, error: Exception) -> InvalidRequest:
    """Returns the error for a `text` that raised `error` when it was decoded."""
    return InvalidRequest(_NOT_READABLE.format(_reason(bytes(text), error)))


def _reason(text: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    encoding = json.detect_encoding(text)
    if encoding == "utf-8-sig":
        return "it begins with a byte order mark (EF BB BF), which JSON must not have"
    if encoding != "utf-8":
        return f"it is {encoding[:6].upper()}, and JSON is UTF-8"
    if isinstance(error, UnicodeDecodeError):
        half = f"it holds half of a surrogate pair (byte {error.start}), which UTF-8 does not have"
        return half if _SURROGATE_BYTES.match(text, error.start) else f"it is not UTF-8 (byte {error.start})"
    if _escapes_half_a_surrogate_pair(text):
        return _SURROGATE_ESCAPED
    return str(error).rstrip(".")


def _escapes_half_a_surrogate_pair(text: bytes | msgspec.Raw) -> bool:
    if not _SURROGATE.search(text):
        return False
    try:
        # The spaces: msgspec reports a text that ends soon after such an escape as truncated.
        _VALUE.decode(bytes(text) + b" " * 8)
    except DECODE_ERRORS as error:
        return "surrogate" in str(error)
    return False
