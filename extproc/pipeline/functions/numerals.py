"""Parses a value that states one number: "1,500", "$3.5k", "twenty-five", "5 days". Pure; English.

Used by argument_validation.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from extproc.pipeline.functions.number_words import CARDINALS, parse_number_words

# Fewer scale words than in a text: a value may be a name, and "Grand Canyon" is no number.
_SCALES: Final[Mapping[str, int]] = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
# Only directly after the digits. "m" is missing because "5m" may be metres or minutes.
_SUFFIXES: Final[Mapping[str, int]] = {"k": 10**3, "mn": 10**6, "bn": 10**9}
_CURRENCY: Final = r"(?:[$€£¥₹]|(?:us\$|usd|eur|gbp|chf|jpy|inr)\s)?\s*"
# Digits, optionally in groups of three with commas or spaces; a decimal point; an exponent.
_DIGITS: Final = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)?(?:\.\d+)?(?:(?<=\d)e[-+]?\d{1,3})?"
# The unit after a number: at most three words, without another number.
_UNIT: Final = r"(?P<unit>(?:[^\W\d]|[°%²³/.'\"\-\s])*)"
_NUMBER: Final = re.compile(rf"{_CURRENCY}(?P<digits>{_DIGITS}){_UNIT}", re.IGNORECASE)
_MAX_UNIT_WORDS: Final = 3


def parse_number(text: str) -> int | float | None:
    """Returns the one number of `text`, which may have a currency before it and a unit after it; else None.

    Commas separate thousands, a point is the decimal point. A percentage is its number of percent.
    """
    plain = re.sub("[−‒–]", "-", text.strip())  # noqa: RUF001 - dashes used as a minus sign
    if match := _NUMBER.fullmatch(plain):
        digits = match["digits"].replace(",", "").replace(" ", "")
        if any(character.isdigit() for character in digits):
            return _scaled(digits, match["unit"])
    return _in_words(plain)


def _scaled(digits: str, unit: str) -> int | float | None:
    words = unit.split()
    scales = _SCALES if unit[:1].isspace() else {**_SCALES, **_SUFFIXES}
    scale = scales.get(words[0].casefold(), 1) if words else 1
    words = words[1:] if scale > 1 else words
    if len(words) > _MAX_UNIT_WORDS or any(_is_number_word(word) for word in words):
        return None
    if re.fullmatch(r"[-+]?\d+", digits):
        return int(digits) * scale
    value = float(digits) * scale
    if not math.isfinite(value):
        return None
    return int(value) if scale > 1 and value.is_integer() else value


def _in_words(text: str) -> int | None:
    words = re.findall(r"[^\W\d_]+|\d\S*", text.casefold())
    is_negative = bool(words) and words[0] in {"minus", "negative"}
    words = words[1:] if is_negative else words
    if words and words[0] in {"a", "an"} and len(words) > 1 and words[1] in _SCALES:
        words = words[1:]
    # Only these words: an ordinal in a value is more often part of a name ("First Avenue").
    end = 0
    while end < len(words) and (_is_number_word(words[end]) or (words[end] == "and" and end)):
        end += 1
    unit = words[end:]
    number_words = words[:end]
    while number_words and number_words[-1] == "and":
        number_words.pop()
    if not number_words or len(unit) > _MAX_UNIT_WORDS or any(_is_number_word(w) or w[0].isdigit() for w in unit):
        return None
    value = _value_of(number_words)
    return None if value is None else -value if is_negative else value


def _value_of(number_words: list[str]) -> int | None:
    """Returns the value of "two hundred five thousand"; None for several numbers ("one two")."""
    factor = 1
    if number_words[-1] == "dozen":
        number_words, factor = number_words[:-1], 12
        if not number_words:
            return factor
    values, end = parse_number_words(number_words, 0)
    return int(values[0]) * factor if len(values) == 1 and end == len(number_words) else None


def _is_number_word(word: str) -> bool:
    folded = word.casefold()
    return folded in CARDINALS or folded in _SCALES
