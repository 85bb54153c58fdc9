"""Collects the days, months and years of a text. Pure; used by dates.py and relative_days.py."""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from datetime import date, timedelta


@dataclass
class CalendarDays:
    """Every date that a text may mean. `months`: (year, month).

    `edges`: first and last days of the weeks, months and years that the text names as a whole.
    """

    days: set[date] = field(default_factory=set)
    months: set[tuple[int, int]] = field(default_factory=set)
    years: set[int] = field(default_factory=set)
    edges: set[date] = field(default_factory=set)

    def add(self, year: int, month: int, day: int) -> None:
        """Adds a day, if the calendar has it."""
        if is_valid(year, month, day):
            self.days.add(date(year, month, day))
            self.months.add((year, month))
            self.years.add(year)

    def add_day(self, day: date) -> None:
        self.add(day.year, day.month, day.day)

    def add_nearest(self, month: int, day: int, today: date) -> None:
        """Adds the last and the next date of a day without a year. A 29th of February may be years away."""
        near = [date(year, month, day) for year in range(today.year - 8, today.year + 9) if is_valid(year, month, day)]
        for each in {*[each for each in near if each <= today][-1:], *[each for each in near if each >= today][:1]}:
            self.add_day(each)

    def add_month(self, year: int, month: int) -> None:
        if is_valid(year, month, 1):
            self.months.add((year, month))
            self.years.add(year)
            self.edges |= {date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])}

    def add_year(self, year: int) -> None:
        self.years.add(year)
        self.edges |= {date(year, 1, 1), date(year, 12, 31)}


def is_valid(year: int, month: int, day: int) -> bool:
    return 1 <= year <= 9998 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]


def shift(day: date, unit: str, count: int) -> date:
    """Returns the day `count` units later; `day` itself if the result is out of range.

    `unit`: day, night, week, fortnight, month or year.
    """
    if unit in {"day", "night", "week", "fortnight"}:
        ahead = day.toordinal() + count * {"week": 7, "fortnight": 14}.get(unit, 1)
        return date.fromordinal(ahead) if 0 < ahead < date.max.toordinal() else day
    months = day.month - 1 + count * (12 if unit == "year" else 1)
    year, month = day.year + months // 12, months % 12 + 1
    if not is_valid(year, month, 1):
        return day
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
