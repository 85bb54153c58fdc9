"""Checks values for a URL path: they must stay one segment, however a server or a proxy decodes them. Pure.

FastAPI and Flask decode `%2F` before they choose a route, others decode twice, and some normalise Unicode. A bad value
would call another route, with the application's rights. Used by argument_validation.py, and again by api_client.py.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import unquote_to_bytes

# No honest value is encoded more often than this.
_MAX_DECODINGS: Final = 8
# Characters that servers read as a slash or a backslash: these two, and those that Windows maps to them.
_SEPARATORS: Final = frozenset("/\\\u2044\u2215\u2216\u29f5\u29f8\u29f9")
# Control characters, format characters (invisible; some reorder text), surrogates, line separators.
_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# The form `%uXXXX`, which some Microsoft servers decode.
_UNICODE_ESCAPE: Final = re.compile(r"%[uU]([0-9A-Fa-f]{4})")

PLACEHOLDER: Final = re.compile(r"\{([^{}/]+)\}")


def placeholders(path: str) -> frozenset[str]:
    """Returns the parameters in the segments of a path. Those in its query are encoded, and harmless there."""
    return frozenset(PLACEHOLDER.findall(path.partition("?")[0]))


def unsafe_reason(text: str) -> str | None:
    """Returns the reason why `text` must not stand in a path, for a log; None if it may."""
    for _ in range(_MAX_DECODINGS):
        if (reason := _unsafe_reason(text)) is not None:
            return reason
        try:
            decoded = _decoded(text)
        except ValueError:
            return "bytes that are no UTF-8"
        if decoded == text:
            return None
        text = decoded
    return "encoded too often"


def _decoded(text: str) -> str:
    """Returns `text` after one step of a server: normalised and percent-decoded once. Raises `ValueError`."""
    text = unicodedata.normalize("NFKC", text)
    text = _UNICODE_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return unquote_to_bytes(text).decode() if "%" in text else text


def _unsafe_reason(text: str) -> str | None:
    if not text.strip():
        return "empty"
    if not _SEPARATORS.isdisjoint(text):
        return "a slash or backslash"
    if any(unicodedata.category(char) in _FORBIDDEN for char in text):
        return "a control character"
    # Some servers remove a parameter of a segment (`..;x`), and some remove spaces.
    if text.partition(";")[0].strip() in {"", ".", ".."}:
        return "a segment that means another path"
    return None
