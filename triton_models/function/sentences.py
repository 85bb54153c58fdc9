"""What a text still says beside the calls that were made of it, and its sentences. Pure; used by caller.py.

Needle now and then stops after the first of several calls, or mixes their values. Asked for each sentence by itself, it
makes them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from triton_models.function.evidence import Evidence, leaves

MAX_PARTS = 5
_SENTENCE = re.compile(r"(?<=[.?!;])[\"']?\s+(?=[\"'A-Z0-9])|\n+|,?\s+(?:and\s+)?(?:then|finally|followed by|also)\b")
# What a value of an argument looks like before any schema is known: a number, a quotation, a name.
_SALIENT = re.compile(
    r"(?<!\w)'[^'\n]{2,80}'(?!\w)|\"[^\"\n]{2,80}\"|(?<![\w.])[$€£]?\d[\w.,:/-]*|"
    r"(?<=[^.?!\s\"]\s)(?!I\b|I')[A-Z][\w-]*(?:\s+[A-Z][\w-]*)*"
)
_WORD = re.compile(r"[^\W_]+")


def unused(evidence: Evidence, calls: Sequence[Mapping[str, Any]]) -> int:
    """How many values the text seems to name that no call took."""
    taken = {float(leaf) for call in calls for leaf in leaves(call) if _is_number(leaf)}
    words = {word for call in calls for leaf in leaves(call) for word in _WORD.findall(str(leaf).casefold())}
    numbers = [
        number
        for number in evidence.numbers
        if not {number.value, number.value / 100} & taken
        and f"{number.value:g}" not in words
        and evidence.text[number.start : number.end].casefold() != "one"  # "the first one"
    ]
    texts = [match[0] for match in _SALIENT.finditer(evidence.text) if not re.match(r"[$€£]?\d", match[0])]
    return len(numbers) + sum(not words & set(_WORD.findall(text.casefold())) for text in texts)


def sentences(text: str) -> list[str]:
    """The sentences, and clauses that go on to something else, that name values; none where fewer than two do."""
    said = [each.strip() for each in _SENTENCE.split(text)]
    naming = [each for each in said if _SALIENT.search(each)]
    return naming if 2 <= len(naming) <= MAX_PARTS else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
