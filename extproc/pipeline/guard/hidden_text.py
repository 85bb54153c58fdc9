"""Text that is hidden in invisible characters, which models read and people do not see. Used by decoded_variants.py."""

from __future__ import annotations

import re
from typing import Final

_TAGS: Final = re.compile("[\U000e0020-\U000e007e]+")
_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_BITS: Final = re.compile("[\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff]{24,}")


def hidden_text(text: str) -> str:
    """Returns the text that tags, variation selectors and zero-width characters encode, one finding a line."""
    if text.isascii():
        return ""
    lines = ["".join(chr(ord(char) - 0xE0000) for char in run) for run in _TAGS.findall(text)]
    # https://paulbutler.org/2025/smuggling-arbitrary-data-through-an-emoji/
    lines += [
        bytes(ord(char) - (0xFE00 if char < "\uffff" else 0xE0100 - 16) for char in run).decode(errors="replace")
        for run in _SELECTORS.findall(text)
    ]
    lines += [bits for run in _BITS.findall(text) for bits in _zero_width_bits(run)]
    return "\n".join(lines)


def _zero_width_bits(run: str) -> list[str]:
    """Reads a run of two invisible characters as ASCII of 8 or 7 bits. Either character may be the zero."""
    kinds = sorted(set(run))
    if len(kinds) != 2:
        return []
    texts = []
    for zero, one in (kinds, kinds[::-1]):
        bits = run.replace(zero, "0").replace(one, "1")
        for size in (8, 7):
            text = "".join(chr(int(bits[start : start + size], 2)) for start in range(0, len(bits) - size + 1, size))
            if text.isascii() and text.isprintable():
                texts.append(text)
    return texts
