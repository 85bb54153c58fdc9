"""Finds text in raw bytes: decodes UTF-8 or UTF-16, or extracts the English between other bytes.

Used by encodings.py and file_text.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from extproc.pipeline.guard.english_words import english_share

# Twelve printable characters in a row are unlikely in random bytes (1 in 100,000). Shorter text must be English.
LEAST_PRINTABLE: Final = 12
_PRINTABLE: Final = re.compile(rb"[\t\n\r\x20-\x7e]{12,}")
_RUN: Final = re.compile(rb"[\t\n\r\x20-\x7e]*+")
_BLOCK_BYTES: Final = 256 << 10
_CONTROLS: Final = str.maketrans("", "", "\t\n\r\x00\ufeff")


def decode_text(raw: bytes) -> str | None:
    """Decodes UTF-8 or UTF-16. Returns None for bytes that are not text, and for short text that is not English."""
    try:
        # English in UTF-16 is half NULs.
        text = (
            raw.decode() if raw.count(0) * 3 < len(raw) else raw.decode("utf-16" if raw[1:2] != b"\0" else "utf-16-le")
        )
    except UnicodeDecodeError:
        return None
    visible = text.translate(_CONTROLS)
    if not visible.isprintable():
        return None
    if len(visible) >= LEAST_PRINTABLE:
        return text
    return text if len(visible) >= 3 and english_share(visible) >= 0.75 and is_mostly_letters(visible) else None


def is_mostly_letters(text: str) -> bool:
    return sum(char.isalpha() or char.isspace() for char in text) >= 0.7 * len(text)


def english_in_bytes(raw: bytes) -> str | None:
    """Returns the English runs in bytes that are not text as a whole, one run a line; None without English."""
    runs = (run.strip() for run in _printable_runs(raw))
    return "\n".join(run for run in runs if english_share(run) >= 0.6 and is_mostly_letters(run)) or None


def _printable_runs(raw: bytes) -> Iterator[str]:
    """Yields the runs of printable characters. Searches block by block, so that other threads can run in between."""
    start = 0
    while start < len(raw):
        end = min(start + _BLOCK_BYTES, len(raw))
        if (rest := _RUN.match(raw, end)) is not None:
            end = rest.end()
        yield from (run[0].decode() for run in _PRINTABLE.finditer(raw, start, end))
        start = end


def is_english(text: str) -> bool:
    """Returns whether `text` is printable, mostly letters, and at least 60 % of its letters are in English words."""
    return text.isprintable() and is_mostly_letters(text) and english_share(text) >= 0.6
