"""Numbers as people and small models write them: "1,500", "$3.5k", "twenty-five", "5 days". Pure; English.

Used by arguments.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

_WORDS: Final = (
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_UNITS: Final[Mapping[str, int]] = {word: value for value, word in enumerate(word for row in _WORDS for word in row)}
_TENS: Final[Mapping[str, int]] = {
    word: 10 * value
    for value, word in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2)
}
_SCALES: Final[Mapping[str, int]] = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
# Only where they touch the digits; "m" is none, since "5m" may well be metres or minutes.
_SUFFIXES: Final[Mapping[str, int]] = {"k": 10**3, "mn": 10**6, "bn": 10**9}
_CURRENCY: Final = r"(?:[$€£¥₹]|(?:us\$|usd|eur|gbp|chf|jpy|inr)\s)?\s*"
# Digits in groups of three with commas or spaces, or without any; a point; an exponent.
_DIGITS: Final = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)?(?:\.\d+)?(?:(?<=\d)e[-+]?\d{1,3})?"
# What may stand behind a number: a unit of three words at most, with no further number in it.
_UNIT: Final = r"(?P<unit>(?:[^\W\d]|[°%²³/.'\"\-\s])*)"
_NUMBER: Final = re.compile(rf"{_CURRENCY}(?P<digits>{_DIGITS}){_UNIT}", re.IGNORECASE)
_MAX_UNIT_WORDS: Final = 3


def number(text: str) -> int | float | None:
    """The one number that `text` states, with at most a currency before it and a unit behind it; else None.

    Commas part thousands, a point is the decimal one. A percentage is its number of percent.
    """
    said = re.sub("[−‒–]", "-", text.strip())  # noqa: RUF001 - the dashes that stand for a minus
    if match := _NUMBER.fullmatch(said):
        digits = match["digits"].replace(",", "").replace(" ", "")
        if any(character.isdigit() for character in digits):
            return _scaled(digits, match["unit"])
    return _in_words(said)


def _scaled(digits: str, behind: str) -> int | float | None:
    words = behind.split()
    scales = _SCALES if behind[:1].isspace() else {**_SCALES, **_SUFFIXES}
    scale = scales.get(words[0].casefold(), 1) if words else 1
    words = words[1:] if scale > 1 else words
    if len(words) > _MAX_UNIT_WORDS or any(_value(word) is not None for word in words):
        return None
    if re.fullmatch(r"[-+]?\d+", digits):
        return int(digits) * scale
    value = float(digits) * scale
    if not math.isfinite(value):
        return None
    return int(value) if scale > 1 and value.is_integer() else value


def _in_words(text: str) -> int | None:
    words = re.findall(r"[^\W\d_]+|\d\S*", text.casefold())
    negative = bool(words) and words[0] in {"minus", "negative"}
    words = words[1:] if negative else words
    if words and words[0] in {"a", "an"} and len(words) > 1 and words[1] in _SCALES:
        words[0] = "one"
    spoken: list[str] = []
    while words and (_value(words[0]) is not None or (words[0] == "and" and spoken)):
        spoken.append(words.pop(0))
    if not spoken or len(words) > _MAX_UNIT_WORDS or any(_value(w) is not None or w[0].isdigit() for w in words):
        return None
    total = _total([word for word in spoken if word != "and"])
    return None if total is None else -total if negative else total


def _value(word: str) -> int | None:
    folded = word.casefold()
    for table in (_UNITS, _TENS, _SCALES):
        if folded in table:
            return table[folded]
    return None


def _total(words: Sequence[str]) -> int | None:
    """ "two hundred five thousand" -> 205000. None where the words are several numbers: "one two"."""
    total = group = 0
    last = 0  # the value of the word before within its group; what follows must be smaller
    for word in words:
        value = _value(word) or 0
        if word in _SCALES:
            group = (group or 1) * value
            if value >= 1000:
                total, group = total + group, 0
            last = value if value < 1000 else 0
        elif group and (last < 20 or value >= last):
            return None
        else:
            group += value
            last = value if value >= 20 else 1
    return total + group
