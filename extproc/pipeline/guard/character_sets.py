"""Unicode character sets for normalization: combining marks, invisible characters, surrogates.

Used by unicode_normalization.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final


def _of_categories(*categories: str) -> frozenset[str]:
    """Returns the characters of these general categories in planes 0 and 1. Above them are only letters, and the
    exceptions are listed by hand below.
    """
    return frozenset(char for char in map(chr, range(0x20000)) if unicodedata.category(char) in categories)


def regex_class(chars: Iterable[str]) -> str:
    """Returns a regular expression that matches one of `chars`."""
    return f"[{''.join(map(re.escape, sorted(chars)))}]"


_WHITE_SPACE: Final = frozenset("\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85")
MARKS: Final = _of_categories("Mn", "Me")
# Not drawn: controls, zero-width and bidirectional characters, fillers, variation selectors, tags. Most have the
# Unicode property Default_Ignorable_Code_Point, which Python's unicodedata lacks.
INVISIBLE: Final = (
    _of_categories("Cc", "Cf").difference(_WHITE_SPACE)
    | frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
    | frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000))))
)
SURROGATES: Final = frozenset(map(chr, range(0xD800, 0xE000)))
