"""Finds the numbers of a text, in digits or in English words, with their spans. Pure; used by evidence.py.

extproc/pipeline/functions/number_words.py parses number words too. It cannot serve here: Triton runs this package in
its own Python without `extproc`, and the corrections of Needle's calls need spans and one reading per number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen",
    "eighteen nineteen",
)
_UNITS = {word: value for value, word in enumerate(" ".join(_SMALL).split(" "))}
_TENS = {
    word: 10 * value
    for value, word in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2)
}
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALE = "|".join(_SCALES)
_WORD = "|".join([*_UNITS, *_TENS, *_SCALES])
_DIGITS = re.compile(
    # No number begins inside a word or another number; the hyphen of "2022-07" is no minus.
    r"(?<![\w.])(?P<sign>(?<![\w)\]])[-−])?[$€£¥₹]?"  # noqa: RUF001 - the minus sign of typography
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:e(?P<exponent>[-+]?\d{1,2})\b)?"
    rf"(?:\s?(?P<scale>{_SCALE}|k\b))?(?P<percent>\s?(?:%|percent\b|per cent\b))?",
    re.IGNORECASE,
)
_AND = rf"(?:hundred|thousand|million|billion)\s+and\s+(?=(?:{_WORD})\b)"
_WORDS = re.compile(
    rf"\b(?:{_AND}|(?:{_WORD})[\s-]+(?=(?:{_WORD})\b))*(?:{_WORD})\b(?P<percent>\s(?:percent|per cent)\b)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class NumberSpan:
    """A number of a text, at [start, end). `is_percent`: written as a percentage."""

    value: float
    start: int
    end: int
    is_percent: bool = False


def find_numbers(text: str) -> list[NumberSpan]:
    """Returns the numbers in the order of the text. "100 million" is one number, "3rd" is 3."""
    found = [_from_digits(match) for match in _DIGITS.finditer(text)]
    taken = [(number.start, number.end) for number in found]
    for match in _WORDS.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in taken):
            value = _value_of_words(re.findall(r"[a-z]+", match[0].casefold()))
            found.append(NumberSpan(value, match.start(), match.end(), match["percent"] is not None))
    return sorted(found, key=lambda number: number.start)


def _from_digits(match: re.Match[str]) -> NumberSpan:
    value = float(match["digits"].replace(",", ""))
    if match["exponent"]:
        value *= 10.0 ** int(match["exponent"])
    if match["scale"]:
        value *= _SCALES.get(match["scale"].casefold(), 1000)
    start = match.start("sign") if match["sign"] else match.start("digits")
    return NumberSpan(-value if match["sign"] else value, start, match.end(), match["percent"] is not None)


def _value_of_words(words: Sequence[str]) -> float:
    total = group = 0
    for word in words:
        if word in _SCALES:
            group = (group or 1) * _SCALES[word]
            if _SCALES[word] >= 1000:
                total, group = total + group, 0
        else:
            group += _UNITS.get(word, 0) + _TENS.get(word, 0)
    return float(total + group)
