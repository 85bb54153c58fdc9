"""Parses English number words: "two thousand four hundred and sixty", "twenty-first", "nineteen eighty-four". Pure.

Used by numerals.py (one number in a value) and grounding/numbers.py (all numbers of a text). triton_models/function has
a parser of its own: it runs in Triton's Python without this package, and needs spans and one reading per number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_CARDINAL_WORDS: Final = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
    """
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINAL_WORDS: Final = """
    first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth
    sixteenth seventeenth eighteenth nineteenth
    """
CARDINALS: Final = {
    **{word: number for number, word in enumerate(_CARDINAL_WORDS.split())},
    **{word: 20 + 10 * number for number, word in enumerate(_TENS.split())},
    "fourty": 40,
    "nil": 0,
}
ORDINALS: Final = {
    **{word: number for number, word in enumerate(_ORDINAL_WORDS.split(), start=1)},
    "twentieth": 20,
    "thirtieth": 30,
    "fortieth": 40,
    "fiftieth": 50,
}
SCALES: Final = {
    "hundred": 100.0,
    "hundreds": 100.0,
    "thousand": 1e3,
    "thousands": 1e3,
    "grand": 1e3,
    "k": 1e3,
    "million": 1e6,
    "millions": 1e6,
    "mio": 1e6,
    "mn": 1e6,
    "billion": 1e9,
    "billions": 1e9,
    "bn": 1e9,
    "trillion": 1e12,
    "lakh": 1e5,
    "crore": 1e7,
}
# "second" in "wait a second" is not an ordinal. After these words it is one.
_BEFORE_SECOND: Final = frozenset({"the", "my", "your", "on", "every"})


def parse_number_words(tokens: Sequence[str], start: int) -> tuple[list[float], int]:
    """Returns the possible values of the number at `start`, the likeliest first, and its end; ([], start) without one.

    `tokens`: lower-case words and signs.
    """
    total, current, index = 0.0, None, start
    while index < len(tokens):
        token = tokens[index]
        number, end, is_ordinal = _below_hundred(tokens, index)
        if number is not None and (current is None or current % 100 == 0):
            current, index = (current or 0.0) + number, end
            if is_ordinal:
                break
        elif number is not None and total == 0 and number >= 10 and current is not None and 10 <= current <= 99:
            return [current * 100 + number, current, number], end
        elif token in SCALES and (token not in {"k"} or index > start):
            if SCALES[token] == 100:
                current = (current or 1.0) * 100
            else:
                total, current = total + (current or 1.0) * SCALES[token], None
            index += 1
        elif token == "and" and tokens[index - 1] in SCALES and _below_hundred(tokens, index + 1)[0] is not None:  # noqa: S105
            index += 1
        else:
            break
    return ([total + (current or 0.0)], index) if index > start else ([], start)


def _below_hundred(tokens: Sequence[str], index: int) -> tuple[float | None, int, bool]:
    """Returns a number under 100, its end, and whether it is an ordinal."""
    token = tokens[index] if index < len(tokens) else ""
    if token == "second" and not (index and tokens[index - 1] in _BEFORE_SECOND):  # noqa: S105
        return None, index, False
    if token in ORDINALS:
        return float(ORDINALS[token]), index + 1, True
    if token not in CARDINALS:
        return None, index, False
    value, end = CARDINALS[token], index + 1
    after = end + 1 if end < len(tokens) and tokens[end] == "-" else end
    ones = tokens[after] if after < len(tokens) else ""
    if value >= 20 and 0 < CARDINALS.get(ones, 0) < 10:
        return float(value + CARDINALS[ones]), after + 1, False
    if value >= 20 and 0 < ORDINALS.get(ones, 0) < 10:
        return float(value + ORDINALS[ones]), after + 1, True
    return float(value), end, False
