"""Parses days relative to today: tomorrow, next Friday, in two weeks, the end of the month. Pure; used by dates.py."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from extproc.pipeline.functions.grounding.calendar_days import CalendarDays, monday, shift
from extproc.pipeline.functions.grounding.numbers import parse_quantities

_DAYS: Final = {
    name: index
    for index, spellings in enumerate(
        (
            "monday mon",
            "tuesday tue tues",
            "wednesday wed",
            "thursday thu thur thurs",
            "friday fri",
            "saturday sat",
            "sunday sun",
        )
    )
    for name in spellings.split()
}
_WEEKDAY: Final = "(?P<weekday>" + "|".join(sorted(_DAYS, key=len, reverse=True)) + ")"
_WEEKDAYS: Final = re.compile(
    rf"(?<!\w)(?P<how>(?:a\s+week\s+from|week\s+from|next|last|past|this|coming|following|previous)\s+(?:coming\s+|next\s+)?)?"
    rf"{_WEEKDAY}s?(?!\w)(?P<week>\s+week(?!end)|\s+after\s+next)?"
)
_IN: Final = re.compile(
    r"(?<!\w)(?P<count>[\w-]+(?:\s+of)?|a\s+couple\s+of)\s+(?P<unit>day|night|week|fortnight|month|year)s?"
    r"(?:'s|')?(?P<after>\s+(?:time|from|later|ago|before|earlier|hence|after|back|prior))?(?!\w)"
)
_PERIOD: Final = re.compile(
    r"(?<!\w)(?P<which>this|current|next|coming|following|last|past|previous)\s+(?P<unit>weekend|week|month|year|quarter)(?!\w)"
)
_EDGE: Final = re.compile(
    r"(?<!\w)(?P<edge>end|beginning|start|first\s+day|last\s+day|first|middle)\s+of\s+(?:the\s+|this\s+)?(?P<next>next\s+|last\s+)?"
    r"(?P<unit>week|month|year)(?!\w)"
)
_NAMED: Final = {
    "day after tomorrow": 2,
    "day before yesterday": -2,
    "tomorrow": 1,
    "tmrw": 1,
    "yesterday": -1,
    "last night": -1,
    "today": 0,
    "tonight": 0,
    "this morning": 0,
    "this afternoon": 0,
    "this evening": 0,
    "now": 0,
    "immediately": 0,
    "current date": 0,
}
_BACKWARDS: Final = ("ago", "before", "earlier", "back", "prior")
_FORWARDS: Final = ("time", "from", "later", "hence", "after")
_PAST: Final = frozenset({"last", "past", "previous"})
_AHEAD: Final = frozenset({"in", "within", "next", "coming", "for", "following"})
# These are also ordinary words. They count as weekdays only if the words around them fit a weekday.
_AMBIGUOUS: Final = frozenset({"sun", "sat", "mon", "wed"})


def add_relative_days(plain: str, today: date, result: CalendarDays) -> None:
    """Adds the relative days of `plain`, a folded text, to `result`."""
    _add_named(plain, today, result)
    for match in _IN.finditer(plain):
        for count in _counts(match["count"]):
            _add_shifted(match, plain, today, count, result)
    for match in _PERIOD.finditer(plain):
        _add_period(today, match["which"], match["unit"], result)
    if re.search(r"(?<!\w)weekend(?!\w)", plain) and not re.search(r"(next|last|past|this)\s+weekend", plain):
        _add_period(today, "this", "weekend", result)
    for match in _EDGE.finditer(plain):
        _add_edge(today, match, result)
    _add_weekdays(plain, today, result)


def _add_named(plain: str, today: date, result: CalendarDays) -> None:
    for word, offset in _NAMED.items():
        for match in re.finditer(rf"(?<!\w){word}(?!\w)", plain):
            if plain[: match.start()].rstrip().endswith(("day after", "day before")):
                continue
            result.add_day(shift(today, "day", offset))
            if offset >= 0 and re.match(r"\s+week(?!\w)", plain[match.end() :]):  # "today week"
                result.add_day(shift(today, "day", offset + 7))


def _counts(text: str) -> set[int]:
    words = text.replace(" of", "").split()
    if words and words[-1] in {"a", "an", "one"}:
        return {1}
    values = {each.value for each in parse_quantities(" ".join(words))}
    return {int(value) for value in values if value.is_integer() and 0 < value < 1000}


def _add_shifted(match: re.Match[str], plain: str, today: date, count: int, result: CalendarDays) -> None:
    """Adds "in three days" and "two weeks ago", and "three days later" than a day in the text."""
    after, unit = (match["after"] or "").strip(), match["unit"]
    before = plain[: match.start()].split()[-1:]
    backwards, forwards = after in _BACKWARDS, after in _FORWARDS
    anchors = {today, *result.days} if backwards or forwards or before == ["for"] else {today}
    for anchor in anchors:
        if backwards or _PAST & set(before):
            result.add_day(shift(anchor, unit, -count))
        if forwards or _AHEAD & set(before):
            result.add_day(shift(anchor, unit, count))


def _add_period(today: date, which: str, unit: str, result: CalendarDays) -> None:
    step = {"this": 0, "current": 0, "next": 1, "coming": 1, "following": 1}.get(which, -1)
    if unit == "weekend":
        # On a Sunday "this weekend" is the current or the coming one.
        weeks = {step, step + 1} if today.weekday() == 6 and step >= 0 else {step}
        for week in weeks | ({0} if which == "coming" else set()):
            for offset in (5, 6):
                result.add_day(shift(monday(today), "day", 7 * week + offset))
    elif unit == "week":
        start = shift(monday(today), "week", step)
        # Weeks from Sunday or Monday, the working week, and seven days from today.
        result.edges |= {start + timedelta(days=offset) for offset in (-1, 0, 4, 5, 6)} | {shift(today, "week", step)}
        if which == "coming":
            result.edges |= {today, monday(today)}
    elif unit == "year":
        result.add_year(today.year + step)
        result.edges.add(shift(today, "year", step))
    else:
        month = shift(today.replace(day=1), "month", step)
        result.add_month(month.year, month.month)
        result.edges.add(shift(today, "month", step))


def _add_edge(today: date, match: re.Match[str], result: CalendarDays) -> None:
    edge, unit = match["edge"], match["unit"]
    step = {"next": 1, "last": -1}.get((match["next"] or "").strip(), 0)
    if unit == "week":
        start = shift(monday(today), "week", step)
        for offset in (4, 6) if "end" in edge or "last" in edge else (0,):
            result.add_day(start + timedelta(days=offset))
        return
    first = shift(today.replace(day=1) if unit == "month" else today.replace(month=1, day=1), unit, step)
    if "end" in edge or "last" in edge:
        result.add_day(shift(shift(first, unit, 1), "day", -1))
    elif edge == "middle":
        result.add_day(first.replace(day=15) if unit == "month" else first.replace(month=7))
    else:
        result.add_day(first)


def _add_weekdays(plain: str, today: date, result: CalendarDays) -> None:
    for match in _WEEKDAYS.finditer(plain):
        how, name = (match["how"] or "").split(), match["weekday"]
        if name in _AMBIGUOUS and not how and not _is_weekday(plain, match):
            continue
        ahead = (_DAYS[name] - today.weekday()) % 7
        day = shift(today, "day", ahead)
        if _PAST & set(how[:1]):
            result.add_day(shift(today, "day", ahead - 7))
        elif "week" in how or match["week"]:
            result.add_day(shift(day, "day", 7))
        else:
            if ahead or how[:1] not in (["next"], ["following"]):
                result.add_day(day)
            # "Next Friday" is the coming one or the one after it; on a Friday, "Friday" is today or the next one.
            if how[:1] in (["next"], ["following"]) or not ahead:
                result.add_day(shift(day, "day", 7))


def _is_weekday(plain: str, match: re.Match[str]) -> bool:
    """Returns True if the words around a short name fit a weekday: "on sat", "sun at 5"."""
    before = re.search(r"(on|by|this|next|last|to|till|until|from|every|and|-)\s*$", plain[: match.start()])
    return before is not None or re.match(r"\s*(,|-|to|till|at|\d)", plain[match.end() :]) is not None
