"""How a value from the file is shown in a message: short, on one line, with nothing that a terminal would obey."""

from __future__ import annotations

import json
from typing import Final

_LONGEST: Final = 60


def quoted(value: object) -> str:
    """`value` as JSON, cut where it is long. Never call it on a value that may hold a secret."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
