"""Parses the dates of a text. relative_days.py adds those that are relative to today. Pure; English."""

from __future__ import annotations

import calendar
import re
from datetime import date
from typing import Final

from extproc.pipeline.functions.grounding import relative_days
from extproc.pipeline.functions.grounding.calendar_days import CalendarDays, is_valid, shift
from extproc.pipeline.functions.grounding.word_forms import fold, normalize
from extproc.pipeline.functions.number_words import ORDINALS

_MONTHS: Final = {
    name: index
    for index in range(1, 13)
    for name in (calendar.month_name[index].lower(), calendar.month_abbr[index].lower())
} | {"sept": 9}
_HOLIDAYS: Final = {
    "christmas eve": (12, 24),
    "christmas day": (12, 25),
    "christmas": (12, 25),
    "xmas": (12, 25),
    "boxing day": (12, 26),
    "new year's eve": (12, 31),
    "new years eve": (12, 31),
    "new year's day": (1, 1),
    "new years day": (1, 1),
    "new year": (1, 1),
    "valentine's day": (2, 14),
    "valentines day": (2, 14),
    "halloween": (10, 31),
    "independence day": (7, 4),
    "st patrick's day": (3, 17),
    "april fools": (4, 1),
    "may day": (5, 1),
}
_MONTH: Final = "(?P<month>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\.?"
_DAY: Final = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR: Final = r"(?P<year>(?:19|20|21)\d\d)"
_WORD_DAYS: Final = {
    **{word: day for word, day in ORDINALS.items() if day <= 30},
    **{f"twenty{dash}{word}": 20 + ones for dash in " -" for word, ones in ORDINALS.items() if ones < 10},
    **dict.fromkeys(("thirty-first", "thirty first"), 31),
}
_A_MONTH: Final = _MONTH.replace("?P<month>", "?:")
_IN_A_MONTH: Final = rf"(?=\s+of\s+\w|\s+{_A_MONTH}(?!\w))"
_ISO: Final = re.compile(r"(?<!\d)(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)")
_COMPACT: Final = re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<month>[01]\d)(?P<day>[0-3]\d)(?!\d)")
_ISO_MONTH: Final = re.compile(r"(?<![\d/.-])(?P<year>\d{4})-(?P<month>\d{2})(?![\d/-])")
_NUMERIC: Final = re.compile(
    r"(?<![\d/.-])(?P<one>\d{1,2})[/.-](?P<two>\d{1,2})(?:[/.-](?P<year>\d{4}|\d{2}))?(?![\d/-])"
)
_MONTH_YEAR_NUMERIC: Final = re.compile(r"(?<![\d/.-])(?P<month>\d{1,2})/(?P<year>\d{4})(?![\d/-])")
_DAY_MONTH: Final = re.compile(
    rf"(?<!\w){_DAY}(?:\s+day)?(?:\s+of)?[\s-]+{_MONTH}(?!\w)(?:[\s,-]+(?:of\s+)?{_YEAR}(?!\d))?"
)
_MONTH_DAY: Final = re.compile(rf"(?<!\w){_MONTH}[\s-]*(?:the\s+)?{_DAY}(?![\d:])(?:[\s,]+(?:of\s+)?{_YEAR}(?!\d))?")
_MONTH_YEAR: Final = re.compile(rf"(?<!\w){_MONTH}(?!\w)[\s,]*(?:of\s+)?{_YEAR}(?!\d)")
_MONTH_ALONE: Final = re.compile(rf"(?<!\w){_MONTH}(?!\w)")
_YEAR_ALONE: Final = re.compile(rf"(?<![\d.,-]){_YEAR}(?![\d.,-]\d)")
_DAY_ALONE: Final = re.compile(
    r"(?<!\w)the\s+(?P<day>[0-3]?\d)(?:st|nd|rd|th)(?!\w)|(?<![\w.])(?P<other>[0-3]?\d)(?:st|nd|rd|th)(?!\w)"
)
_RANGE: Final = re.compile(
    rf"(?<!\w){_MONTH}\s+(?P<from>[0-3]?\d)(?:st|nd|rd|th)?\s*(?:-|to|until|till|through)\s*(?P<to>[0-3]?\d)(?!\d)"
)
_RANGE_BEFORE: Final = re.compile(
    rf"(?<!\w)(?P<from>[0-3]?\d)(?:st|nd|rd|th)?\s*(?:-|to|until|till|through|and)\s*(?:the\s+)?(?P<to>[0-3]?\d)(?:st|nd|rd|th)?"
    rf"(?:\s+of)?\s+{_MONTH}(?!\w)"
)
# These are also ordinary words. They count as months only after a preposition, "this" or the like.
_AMBIGUOUS: Final = frozenset({"may", "mar", "dec"})


def parse_dates(text: str, today: date) -> CalendarDays:
    """Returns every date of `text`, in each possible reading. A day without a year is the next or the last one."""
    plain = _with_digits(fold(normalize(text)))
    result = CalendarDays()
    years = {int(match["year"]) for match in _YEAR_ALONE.finditer(plain)}
    _add_numeric(plain, today, result)
    _add_with_month_name(plain, today, years, result)
    _add_months_and_years(_without_days(plain), today, years, result)
    _add_holidays(plain, today, years, result)
    relative_days.add_relative_days(plain, today, result)
    _add_days_without_month(plain, today, result)
    return result


def _with_digits(plain: str) -> str:
    """Replaces ordinal words by digits: "the third of May" -> "the 3th of May"."""
    # Longest first: "twenty-first" contains "first".
    for word, number in sorted(_WORD_DAYS.items(), key=lambda item: -len(item[0])):
        if word in plain:
            plain = re.sub(rf"(?<!\w){word}(?!\w){_IN_A_MONTH}", f"{number}th", plain)
            plain = re.sub(rf"(?<=the ){word}(?=\s*(?:$|[.,?!]))", f"{number}th", plain)
            plain = re.sub(rf"({_A_MONTH}\s+(?:the\s+)?){word}(?!\w)", rf"\g<1>{number}th", plain)
    return plain


def _add_numeric(plain: str, today: date, result: CalendarDays) -> None:
    for pattern in (_ISO, _COMPACT):
        for match in pattern.finditer(plain):
            result.add(int(match["year"]), int(match["month"]), int(match["day"]))
    for match in _NUMERIC.finditer(plain):
        one, two, year = int(match["one"]), int(match["two"]), match["year"]
        if year is None and "." in match.group():
            continue  # a decimal number
        # Day first or month first: both orders are in use.
        for month, day in ((one, two), (two, one)):
            if year:
                result.add(_full_year(year), month, day)
            else:
                result.add_nearest(month, day, today)
    for pattern in (_ISO_MONTH, _MONTH_YEAR_NUMERIC):
        for match in pattern.finditer(plain):
            result.add_month(int(match["year"]), int(match["month"]))


def _full_year(text: str) -> int:
    year = int(text)
    if len(text) > 2:
        return year
    return year + (2000 if year < 70 else 1900)


def _add_with_month_name(plain: str, today: date, years: set[int], result: CalendarDays) -> None:
    """Adds days with the name of a month. A year in the text may belong to each of them."""
    for pattern in (_DAY_MONTH, _MONTH_DAY):
        for match in pattern.finditer(plain):
            month, day = _MONTHS[match["month"]], int(match["day"])
            if match["year"]:
                result.add(int(match["year"]), month, day)
            else:
                _add_in_years(month, day, today, years, result)
                result.add_nearest(month, day, today)
    for pattern in (_RANGE, _RANGE_BEFORE):
        for match in pattern.finditer(plain):
            for day in (int(match["from"]), int(match["to"])):
                _add_in_years(_MONTHS[match["month"]], day, today, years, result)


def _add_in_years(month: int, day: int, today: date, years: set[int], result: CalendarDays) -> None:
    for year in years:
        result.add(year, month, day)
    if not years:
        result.add_nearest(month, day, today)


def _without_days(plain: str) -> str:
    """Removes written-out days, so that their months and years do not count as whole ones."""
    for pattern in (_ISO, _COMPACT, _NUMERIC, _RANGE, _RANGE_BEFORE, _DAY_MONTH, _MONTH_DAY):
        plain = pattern.sub(" ; ", plain)
    return plain


def _add_months_and_years(plain: str, today: date, years: set[int], result: CalendarDays) -> None:
    """Adds whole months and years."""
    for match in _YEAR_ALONE.finditer(plain):
        result.add_year(int(match["year"]))
    for match in _MONTH_YEAR.finditer(plain):
        result.add_month(int(match["year"]), _MONTHS[match["month"]])
    for match in _MONTH_ALONE.finditer(plain):
        name = match["month"]
        before = rf"(in|of|by|this|next|last|during|for|since|until|till)\s+{name}"
        if name in _AMBIGUOUS and not re.search(before, plain):
            continue
        month = _MONTHS[name]
        for year in years or {today.year - (month > today.month), today.year + (month < today.month)}:
            result.add_month(year, month)


def _add_holidays(plain: str, today: date, years: set[int], result: CalendarDays) -> None:
    for name, (month, day) in _HOLIDAYS.items():
        if not re.search(rf"(?<!\w){name}(?!\w)", plain):
            continue
        if name in {"christmas", "new year"} and re.search(rf"(?<!\w){name}('s)?\s+(eve|day)", plain):
            continue
        _add_in_years(month, day, today, years, result)


def _add_days_without_month(plain: str, today: date, result: CalendarDays) -> None:
    """Adds days such as "the 15th": in the months of the text, else the last and the next such day."""
    months = set(result.months)
    for match in _DAY_ALONE.finditer(plain):
        day = int(match["day"] or match["other"])
        if re.match(rf"\s+(?:of\s+)?{_A_MONTH}", plain[match.end() :]):
            continue
        for year, month in months or _near_months(today, day):
            result.add(year, month, day)


def _near_months(today: date, day: int) -> set[tuple[int, int]]:
    """Returns the months of the last and of the next such day."""
    near: set[tuple[int, int]] = set()
    first = today.replace(day=1)
    for steps, ahead in ((range(3), True), (range(0, -3, -1), False)):
        for step in steps:
            month = shift(first, "month", step)
            if is_valid(month.year, month.month, day) and (month.replace(day=day) >= today) is ahead:
                near.add((month.year, month.month))
                break
    return near
