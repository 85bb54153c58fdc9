"""Extracts the text of files that a request carries in base64. Pure; used by string_extraction.py.

The bytes decide, not the declared type: text that is declared as a picture is read.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from extproc.pipeline.guard.binary_files import is_binary_file
from extproc.pipeline.guard.bytes_to_text import english_in_bytes

_DATA_URL: Final = re.compile(r"\s*data:([^,]{0,200});base64,", re.IGNORECASE)
# Media types that some models read as text, whatever the bytes are. SVG is one of them.
_TEXT_TYPE: Final = re.compile(r"text/|[^;]*\b(json|xml|yaml|javascript)\b", re.IGNORECASE)
# Base64 letters. A shorter value is a file only if it starts with the signature of a binary file.
_SHORTEST_FILE: Final = 256
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_SPACES: Final = b" \t\n\r\v\f"
_PRINTABLE: Final = bytes(range(0x20, 0x7F)) + b"\t\n\r"
# Share of bytes outside ASCII in a text of an 8-bit character set. In binary files it is more than half.
_MAX_NON_ASCII: Final = 0.2
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def file_text(value: str) -> str | None:
    """Returns the text of a file in base64 or a data URL, empty if it has none; None if `value` is not a file."""
    url = _DATA_URL.match(value)
    letters = _base64_letters(value[url.end() if url else 0 :])
    if letters is None:
        return None
    if is_binary_file(letters) and not (url and _TEXT_TYPE.match(url[1])):
        return ""
    return _decode(letters) if len(letters) >= _SHORTEST_FILE else None


def _base64_letters(text: str) -> bytes | None:
    """Returns the letters of base64 in the standard alphabet, without spaces and padding; None if `text` is not base64.

    Makes several short passes: one regular expression would hold Python's interpreter lock for all of a large file.
    """
    try:
        raw = (text if text.isascii() else re.sub(r"\s", "", text)).encode("ascii")
    except UnicodeEncodeError:
        return None
    raw = raw.translate(None, _SPACES)
    letters = raw.rstrip(b"=")
    is_base64 = letters and len(raw) - len(letters) <= 2 and not letters.translate(None, _BASE64)
    return letters.translate(_URL_SAFE) if is_base64 else None


def _decode(letters: bytes) -> str:
    """Returns the text of a file, or the English between its other bytes."""
    try:
        raw = binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    except binascii.Error:
        return ""
    try:
        return raw.decode("utf-16" if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8")
    except UnicodeDecodeError:
        is_text = len(raw.translate(None, _PRINTABLE)) < _MAX_NON_ASCII * len(raw)
        return raw.decode("cp1252", errors="replace") if is_text else english_in_bytes(raw) or ""
