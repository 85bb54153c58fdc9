"""Checks whether a text contains a value. Pure; used by all modules that correct Needle's calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from triton_models.function.number_spans import NumberSpan, find_numbers

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_TIME_WORDS = re.compile(
    r"\b(today|tonight|tomorrow|yesterday|now|asap|immediately|current|next|last|this|coming|week|month|year|weekend|"
    r"(mon|tues|wednes|thurs|fri|satur|sun)day)",
    re.IGNORECASE,
)


class Evidence:
    """The numbers and words of a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.numbers: list[NumberSpan] = find_numbers(text)
        self._values = {value for number in self.numbers for value in _readings(number)}
        self._words = [_stem(word) for word in _split_words(text)]
        self._has_time_word = _TIME_WORDS.search(text) is not None

    def contains(self, value: Any) -> bool:
        """Returns True if the text contains all of `value`: numbers by value, texts word by word, dates in any form."""
        if isinstance(value, bool) or value is None:
            return False
        if isinstance(value, int | float):
            return float(value) in self._values
        if isinstance(value, str):
            return self._contains_text(value)
        parts = list(value.values()) if isinstance(value, Mapping) else value
        return bool(parts) and all(self.contains(part) for part in parts)

    def contains_word_of(self, value: str) -> bool:
        """Returns True if the text contains a word of `value`."""
        return any(_stem(word) in self._words for word in _split_words(value))

    def _contains_text(self, value: str) -> bool:
        if match := _ISO_DATE.match(value):
            return self._contains_date(*(int(group) for group in match.groups()))
        words = [_stem(word) for word in _split_words(value)]
        ends = range(len(words), len(self._words) + 1)
        return bool(words) and any(self._words[end - len(words) : end] == words for end in ends)

    def _contains_date(self, year: int, month: int, day: int) -> bool:
        if {float(year), float(month), float(day)} <= {
            number.value for number in self.numbers if not number.is_percent
        }:
            return True
        named = any(word.startswith(_MONTHS[month - 1]) for word in self._words) if 1 <= month <= 12 else False
        return (named and float(day) in self._values) or self._has_time_word


def leaves(value: Any) -> Iterator[Any]:
    """Yields the values inside lists and objects."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def is_number(value: Any) -> bool:
    """Returns True for numbers without booleans."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _readings(number: NumberSpan) -> tuple[float, ...]:
    return (number.value, number.value / 100) if number.is_percent else (number.value,)


def _split_words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
