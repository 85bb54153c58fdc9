"""The estimated cost of a text for a model, known before the model reads it. Pure. Used by call_chunks.py and guards.

The unit is a byte of English prose; four of them are one token. Digits, punctuation and other scripts have more tokens
for their length, and cost more.
"""

from __future__ import annotations

import re
from typing import Final

_BYTES_A_TOKEN: Final = 4
# Each match is about one token of a subword tokenizer.
_TOKEN: Final = re.compile(r"[A-Za-z]{1,6}|[0-9]{1,2}|[^\sA-Za-z0-9]")


def tokens(text: str) -> int:
    """Returns an estimate, within a third for prose, code and other scripts."""
    return sum(1 for _ in _TOKEN.finditer(text))


def prose_bytes(text: str) -> int:
    """Returns how many bytes of prose cost as much as `text`."""
    return _BYTES_A_TOKEN * tokens(text)
