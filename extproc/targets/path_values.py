"""Values that may stand in a path: those that stay one segment of it, however a server or a proxy decodes them. Pure.

FastAPI and Flask decode `%2F` before they choose a route, others decode twice, and some normalise Unicode: such a value
would call another route, with the application's rights. Used by argument_validation.py, and by api_client.py once more.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import unquote_to_bytes

# A value that is encoded more often than this is no name of anything.
_MOST_DECODINGS: Final = 8
# Signs that servers read as a slash or a backslash: those themselves, and those that Windows maps to them.
_SEPARATORS: Final = frozenset("/\\\u2044\u2215\u2216\u29f5\u29f8\u29f9")
# Control characters, format characters (invisible, some of them reorder text), surrogates, line separators.
_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# The form `%uXXXX`, which some Microsoft servers read.
_WIDE: Final = re.compile(r"%[uU]([0-9A-Fa-f]{4})")

PLACEHOLDER: Final = re.compile(r"\{([^{}/]+)\}")


def placeholders(path: str) -> frozenset[str]:
    """The parameters that fill segments of a path; those in its query are encoded, and harmless there."""
    return frozenset(PLACEHOLDER.findall(path.partition("?")[0]))


def fault(text: str) -> str | None:
    """The reason why `text` may not stand in a path, in words for a log; None where it may."""
    for _ in range(_MOST_DECODINGS):
        if (found := _fault(text)) is not None:
            return found
        try:
            decoded = _decoded(text)
        except ValueError:
            return "bytes that are no UTF-8"
        if decoded == text:
            return None
        text = decoded
    return "encoded too often"


def _decoded(text: str) -> str:
    """One step further to what a server may make of it: normalised, and percent-decoded once. Raises `ValueError`."""
    text = unicodedata.normalize("NFKC", text)
    text = _WIDE.sub(lambda found: chr(int(found[1], 16)), text)
    return unquote_to_bytes(text).decode() if "%" in text else text


def _fault(text: str) -> str | None:
    if not text.strip():
        return "empty"
    if not _SEPARATORS.isdisjoint(text):
        return "a slash or backslash"
    if any(unicodedata.category(char) in _FORBIDDEN for char in text):
        return "a control character"
    # Some servers cut a parameter off a segment (`..;x`), and some cut spaces.
    if text.partition(";")[0].strip() in {"", ".", ".."}:
        return "a segment that means another path"
    return None
