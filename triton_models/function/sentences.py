"""Splits a text into sentences with values, and counts the values that no call used. Pure; used by needle_caller.py.

Needle sometimes stops after the first of several calls, or mixes their values. Sentence by sentence it makes them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from triton_models.function.evidence import Evidence, is_number, leaves

MAX_SENTENCES = 5
_SENTENCE = re.compile(r"(?<=[.?!;])[\"']?\s+(?=[\"'A-Z0-9])|\n+|,?\s+(?:and\s+)?(?:then|finally|followed by|also)\b")
# The form of an argument value, before any schema is known: a number, a quotation, a name.
_VALUE = re.compile(
    r"(?<!\w)'[^'\n]{2,80}'(?!\w)|\"[^\"\n]{2,80}\"|(?<![\w.])[$€£]?\d[\w.,:/-]*|"
    r"(?<=[^.?!\s\"]\s)(?!I\b|I')[A-Z][\w-]*(?:\s+[A-Z][\w-]*)*"
)
_WORD = re.compile(r"[^\W_]+")


def count_unused_values(evidence: Evidence, calls: Sequence[Mapping[str, Any]]) -> int:
    """Counts the values that the text seems to name and that no call has as an argument."""
    used_numbers = {float(leaf) for call in calls for leaf in leaves(call) if is_number(leaf)}
    used_words = {word for call in calls for leaf in leaves(call) for word in _WORD.findall(str(leaf).casefold())}
    numbers = [
        number
        for number in evidence.numbers
        if not {number.value, number.value / 100} & used_numbers
        and f"{number.value:g}" not in used_words
        and evidence.text[number.start : number.end].casefold() != "one"  # "the first one"
    ]
    texts = [match[0] for match in _VALUE.finditer(evidence.text) if not re.match(r"[$€£]?\d", match[0])]
    return len(numbers) + sum(not used_words & set(_WORD.findall(text.casefold())) for text in texts)


def sentences_with_values(text: str) -> list[str]:
    """Returns the sentences, and clauses after "then" and the like, that name values; none for fewer than two."""
    sentences = [each.strip() for each in _SENTENCE.split(text)]
    with_values = [each for each in sentences if _VALUE.search(each)]
    return with_values if 2 <= len(with_values) <= MAX_SENTENCES else []
