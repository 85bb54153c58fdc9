"""A user's text with everything that grounding parses in it: words, quantities, dates, times of day."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Final

from extproc.pipeline.functions.grounding.calendar_days import CalendarDays
from extproc.pipeline.functions.grounding.dates import parse_dates
from extproc.pipeline.functions.grounding.numbers import Quantity, parse_quantities
from extproc.pipeline.functions.grounding.times import minutes_of_day
from extproc.pipeline.functions.grounding.word_forms import Word, split_words

# Of a longer text, only the two ends are parsed. The function model reads half as much.
MAX_CHARACTERS: Final = 4_000
_HALF: Final = MAX_CHARACTERS // 2


class ParsedText:
    """Parses each property on first use, once. `today`: relative dates are relative to it."""

    def __init__(self, text: str, today: date) -> None:
        self.text = text if len(text) <= MAX_CHARACTERS else f"{text[:_HALF]}\n{text[-_HALF:]}"
        self.today = today

    @cached_property
    def words(self) -> list[Word]:
        return split_words(self.text)

    @cached_property
    def quantities(self) -> list[Quantity]:
        return parse_quantities(self.text)

    @cached_property
    def numbers(self) -> frozenset[float]:
        """The values of the numbers in the text. "Next week" holds none."""
        return frozenset(each.value for each in self.quantities if not each.is_implied)

    @cached_property
    def days(self) -> CalendarDays:
        return parse_dates(self.text, self.today)

    @cached_property
    def times(self) -> set[int]:
        """Minutes since midnight."""
        return minutes_of_day(self.text)
