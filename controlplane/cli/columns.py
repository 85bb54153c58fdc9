"""Rows of words, one under the other, for terminals and for files alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

_GAP = 2


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row; every column as wide as what is widest in it."""
    widths = [max(map(len, column)) + _GAP for column in zip_longest(*rows, fillvalue="")]
    return ["".join(word.ljust(width) for word, width in zip(row, widths, strict=False)).rstrip() for row in rows]
