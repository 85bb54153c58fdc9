"""How much work a text is for the models that read it, known before it is read. Pure.

In bytes of English prose, of which four are one token: digits, signs and other scripts have more tokens for their
length.
"""

from __future__ import annotations

import re
from typing import Final

_BYTES_A_TOKEN: Final = 4
# About what a subword tokenizer takes for one token each.
_TOKEN: Final = re.compile(r"[A-Za-z]{1,6}|[0-9]{1,2}|[^\sA-Za-z0-9]")


def tokens(text: str) -> int:
    """An estimate, within a third for prose, code and other scripts."""
    return sum(1 for _ in _TOKEN.finditer(text))


def work(text: str) -> int:
    """Bytes of prose that are as much work."""
    return _BYTES_A_TOKEN * tokens(text)
