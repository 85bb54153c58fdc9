"""The formats of JSON Schema that can be checked without guessing. Pure; used by arguments.py.

A reader takes a text and gives it in the format's own spelling. It raises ValueError where the text is not in the
format and cannot be brought into it in one way only: 5/6/2026 is May in one country and June in another.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Final
from urllib.parse import urlsplit

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH: Final = r"(?P<month>jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\.?"
_DAY: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR: Final = r"(?P<year>\d{4})"
_DATES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_MONTH}\s+{_DAY}(?:\s*,\s*|\s+){_YEAR}",
        rf"{_DAY}\s+(?:of\s+)?{_MONTH}(?:\s*,\s*|\s+){_YEAR}",
        rf"{_YEAR}[/.](?P<month>\d{{1,2}})[/.](?P<day>\d{{1,2}})",
        rf"(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.{_YEAR}",  # with points the day stands first everywhere
    )
)
_SLASHES: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_CLOCK: Final = re.compile(r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?::(?P<second>\d{2}))?\s*(?P<half>[ap])\.?m\.?")


def _date(text: str) -> str:
    said = re.sub(r"^(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+", "", text.strip(), flags=re.IGNORECASE)
    try:
        return date.fromisoformat(said).isoformat()
    except ValueError:
        pass
    for pattern in _DATES:
        if match := pattern.fullmatch(said):
            month = match["month"].casefold()
            number = int(month) if month.isdigit() else _MONTHS.index(month[:3]) + 1
            return date(int(match["year"]), number, int(match["day"])).isoformat()
    if match := _SLASHES.fullmatch(said):
        first, second, year = (int(group) for group in match.groups())
        if first == second or first > 12:
            return date(year, second, first).isoformat()
        if second > 12:
            return date(year, first, second).isoformat()
    raise ValueError


def _time(text: str) -> str:
    said = text.strip().casefold()
    if match := _CLOCK.fullmatch(said):
        hour = int(match["hour"])
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if match["half"] == "p" else 0)
        return time(hour, int(match["minute"] or 0), int(match["second"] or 0)).isoformat()
    time.fromisoformat(said)
    return text.strip()


def _date_time(text: str) -> str:
    said = text.strip()
    if not re.search(r"\d[T ]\d", said):
        raise ValueError
    datetime.fromisoformat(said)
    return said.replace(" ", "T", 1)


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError
    return text


def _uri(text: str) -> str:
    parts = urlsplit(text)
    if not parts.scheme or not (parts.netloc or parts.path):
        raise ValueError
    return text


def _as_it_is(check: Callable[[str], object]) -> Callable[[str], str]:
    def read(text: str) -> str:
        check(text)
        return text

    return read


# Any other format is a hint to the model alone.
FORMATS: Final[Mapping[str | None, Callable[[str], str]]] = {
    "date": _date,
    "date-time": _date_time,
    "time": _time,
    "email": _email,
    "uri": _uri,
    "uuid": _as_it_is(uuid.UUID),
    "ipv4": _as_it_is(ipaddress.IPv4Address),
    "ipv6": _as_it_is(ipaddress.IPv6Address),
}
