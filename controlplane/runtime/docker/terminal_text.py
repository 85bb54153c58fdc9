"""Makes text of foreign programs safe for a terminal. Pure. Used for everything that Docker and containers write."""

from __future__ import annotations

import re
from typing import Final

# Escape sequences that colour, move or retitle a terminal (ECMA-48: CSI, then OSC and the like, then two-byte ones).
_ESCAPES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]?")


def printable(text: str) -> str:
    """Return one line of text without escape sequences and control characters."""
    return "".join(each for each in _ESCAPES.sub("", text).replace("\t", "    ") if each.isprintable())
