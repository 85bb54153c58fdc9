"""Aligns rows of words in columns, for terminals and pipes alike. Used by the commands that print tables.

rich.Table is no replacement: in a pipe it assumes 80 columns, and it wraps and truncates wider cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

_GAP = 2


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns one line a row; each column is as wide as its widest word."""
    widths = [max(map(len, column)) + _GAP for column in zip_longest(*rows, fillvalue="")]
    return ["".join(word.ljust(width) for word, width in zip(row, widths, strict=False)).rstrip() for row in rows]
