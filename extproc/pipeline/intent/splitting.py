"""The wishes in a prompt: "weather in Oslo, and change 5 EUR to USD" are two. Pure; used by understanding.py.

Each may mean another target, and the prompt as a whole is like none of them so much as its parts are.
"""

from __future__ import annotations

import re
from typing import Final

# More parts than this are a text that tells something rather than a list of wishes; each costs one embedding.
MAX_WISHES: Final = 10
_LEAST_WORDS: Final = 3

_SENTENCE: Final = re.compile(r"(?<=[.?!;])[\"']?\s+|\n+|^\s*(?:[-*]|\d+[.)])\s+", re.MULTILINE)
_TURN: Final = re.compile(
    r"(?:^|[,;]?\s+)(?:and|but|or)?\s*\b(?:then|also|finally|additionally|afterwards|after that|plus|as well as)\b"
    r"[,\s]*|[,;]\s*(?:and|but|or)\s+|\s+and\s+|;\s*|,\s+",
    re.IGNORECASE,
)


def wishes(text: str) -> tuple[str, ...]:
    """The clauses of `text` that may be wishes of their own, or its sentences where those are too many clauses; none
    where there are fewer than two, or too many.
    """
    sentences = [sentence.strip() for sentence in _SENTENCE.split(text) if len(sentence.split()) >= _LEAST_WORDS]
    for parts in ([clause for sentence in sentences for clause in _clauses(sentence)], sentences):
        unique = tuple(dict.fromkeys(parts))
        if len(unique) <= MAX_WISHES:
            return unique if len(unique) > 1 else ()
    return ()


def _clauses(sentence: str) -> list[str]:
    clauses: list[str] = []
    pending = ""
    for piece in _TURN.split(sentence):
        clause = f"{pending} {piece}".strip(" ,;")
        pending = ""
        if len(clause.split()) >= _LEAST_WORDS:
            clauses.append(clause)
        elif (
            clause and clauses
        ):  # "Paris, Rome and Oslo": what is too short to be a wish belongs to what stands before it
            clauses[-1] += f", {clause}"
        else:
            pending = clause
    return clauses
