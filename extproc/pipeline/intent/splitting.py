"""Intent splitting: "weather in Oslo, and change 5 EUR to USD" holds two requests. Pure; used by resolution.py.

Each request may mean another target, and is more similar to it than the whole prompt is.
"""

from __future__ import annotations

import re
from typing import Final

# A text with more parts is prose, not a list of requests. Each part costs one embedding.
MAX_REQUESTS: Final = 10
_MIN_WORDS: Final = 3

_SENTENCE: Final = re.compile(r"(?<=[.?!;])[\"']?\s+|\n+|^\s*(?:[-*]|\d+[.)])\s+", re.MULTILINE)
_SEPARATOR: Final = re.compile(
    r"(?:^|[,;]?\s+)(?:and|but|or)?\s*\b(?:then|also|finally|additionally|afterwards|after that|plus|as well as)\b"
    r"[,\s]*|[,;]\s*(?:and|but|or)\s+|\s+and\s+|;\s*|,\s+",
    re.IGNORECASE,
)


def split_requests(text: str) -> tuple[str, ...]:
    """Returns the clauses of `text`, or its sentences if it has too many clauses.

    Returns none for a single request, and for too many sentences.
    """
    sentences = [sentence.strip() for sentence in _SENTENCE.split(text) if len(sentence.split()) >= _MIN_WORDS]
    for parts in ([clause for sentence in sentences for clause in _clauses(sentence)], sentences):
        unique = tuple(dict.fromkeys(parts))
        if len(unique) <= MAX_REQUESTS:
            return unique if len(unique) > 1 else ()
    return ()


def _clauses(sentence: str) -> list[str]:
    clauses: list[str] = []
    pending = ""
    for piece in _SEPARATOR.split(sentence):
        clause = f"{pending} {piece}".strip(" ,;")
        pending = ""
        if len(clause.split()) >= _MIN_WORDS:
            clauses.append(clause)
        elif clause and clauses:
            # "Paris, Rome and Oslo": a part too short to be a request belongs to the part before it.
            clauses[-1] += f", {clause}"
        else:
            pending = clause
    return clauses
