"""The days, months and years that a text was found to say. Used by dates.py and relative.py."""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from datetime import date, timedelta


@dataclass
class Days:
    """`days` said or meant, `months` as (year, month), `years`; `edges` are the first and the last day of a month, a
    week or a year that was said as a whole.
    """

    days: set[date] = field(default_factory=set)
    months: set[tuple[int, int]] = field(default_factory=set)
    years: set[int] = field(default_factory=set)
    edges: set[date] = field(default_factory=set)

    def add(self, year: int, month: int, day: int) -> None:
        """A day, where the calendar has it."""
        if valid(year, month, day):
            self.days.add(date(year, month, day))
            self.months.add((year, month))
            self.years.add(year)

    def add_day(self, day: date) -> None:
        self.add(day.year, day.month, day.day)

    def add_nearest(self, month: int, day: int, today: date) -> None:
        """Without a year: the last one and the next one; a 29th of February may be years away."""
        near = [date(year, month, day) for year in range(today.year - 8, today.year + 9) if valid(year, month, day)]
        for each in {*[each for each in near if each <= today][-1:], *[each for each in near if each >= today][:1]}:
            self.add_day(each)

    def add_month(self, year: int, month: int) -> None:
        if valid(year, month, 1):
            self.months.add((year, month))
            self.years.add(year)
            self.edges |= {date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])}

    def add_year(self, year: int) -> None:
        self.years.add(year)
        self.edges |= {date(year, 1, 1), date(year, 12, 31)}


def valid(year: int, month: int, day: int) -> bool:
    return 1 <= year <= 9998 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]


def moved(day: date, unit: str, count: int) -> date:
    """`count` days, weeks, fortnights, months or years later; the day itself where the calendar ends before."""
    if unit in {"day", "night", "week", "fortnight"}:
        ahead = day.toordinal() + count * {"week": 7, "fortnight": 14}.get(unit, 1)
        return date.fromordinal(ahead) if 0 < ahead < date.max.toordinal() else day
    months = day.month - 1 + count * (12 if unit == "year" else 1)
    year, month = day.year + months // 12, months % 12 + 1
    if not valid(year, month, 1):
        return day
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
