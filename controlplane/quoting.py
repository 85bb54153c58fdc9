"""Quotes values in messages: short, on one line, without terminal control characters."""

from __future__ import annotations

import json
from typing import Final

_LONGEST: Final = 60


def quoted(value: object) -> str:
    """Returns `value` as ASCII JSON, cut to 60 characters. Never call it on a value that may hold a secret."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
