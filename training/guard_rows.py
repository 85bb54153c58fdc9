"""Rows of the guard's generated training data, and their JSON lines. Used by guard_data.py and the makers it calls."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text.

    `role`: where the text comes from: "system", "tools", "tool", "document" or "user". `label`: 1 attack, 0 harmless.
    `pair`: rows that differ in one sentence have the same. `payload_source`: source of an inserted sentence.
    `test`: kept aside for the test.
    """

    text: str
    role: str
    label: int
    kind: str
    source: str
    lang: str = "en"
    pair: str | None = None
    payload_source: str | None = None
    test: bool = False


def write(path: Path, rows: Iterable[Row]) -> int:
    """Writes each row as one JSON object a line, without empty fields, and returns their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            fields = {name: value for name, value in asdict(row).items() if value is not None and value is not False}
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")
            count += 1
    return count
