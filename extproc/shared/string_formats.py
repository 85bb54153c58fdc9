"""String formats of JSON Schema that can be checked without guessing. Pure.

The configuration checks enum values and defaults with `has_format`. The filter brings arguments into their format with
`normalize`.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    stripped = re.sub(r"^(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+", "", text.strip(), flags=re.IGNORECASE)
    try:
        return date.fromisoformat(stripped).isoformat()
    except ValueError:
        pass
    for pattern in _DATES:
        if match := pattern.fullmatch(stripped):
            month = match["month"].casefold()
            number = int(month) if month.isdigit() else _MONTHS.index(month[:3]) + 1
            return date(int(match["year"]), number, int(match["day"])).isoformat()
    if match := _SLASHES.fullmatch(stripped):
        first, second, year = (int(group) for group in match.groups())
        if first == second or first > 12:
            return date(year, second, first).isoformat()
        if second > 12:
            return date(year, first, second).isoformat()
    raise ValueError


def _time(text: str) -> str:
    stripped = text.strip().casefold()
    if match := _CLOCK.fullmatch(stripped):
        hour = int(match["hour"])
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if match["half"] == "p" else 0)
        return time(hour, int(match["minute"] or 0), int(match["second"] or 0)).isoformat()
    time.fromisoformat(stripped)
    return text.strip()


def _date_time(text: str) -> str:
    stripped = text.strip()
    if not re.search(r"\d[T ]\d", stripped):
        raise ValueError
    datetime.fromisoformat(stripped)
    return stripped.replace(" ", "T", 1)


def _email(text: str) -> None:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        raise ValueError


def _uri(text: str) -> None:
    parts = urlsplit(text)
    if not parts.scheme or not (parts.netloc or parts.path):
        raise ValueError


@dataclass(frozen=True, slots=True)
class StringFormat:
    """One format. `check` raises ValueError unless a text is in it.

    `normalize` also takes other spellings and returns the format's own. It raises ValueError where a text has no single
    meaning: 5/6/2026 is May in one country and June in another. None: there are no other spellings.
    """

    check: Callable[[str], object]
    normalize: Callable[[str], str] | None = None


# Any other format is only a hint to the function model.
FORMATS: Final[Mapping[str, StringFormat]] = {
    "date": StringFormat(date.fromisoformat, _date),
    "time": StringFormat(time.fromisoformat, _time),
    "date-time": StringFormat(datetime.fromisoformat, _date_time),
    "email": StringFormat(_email),
    "uri": StringFormat(_uri),
    "uuid": StringFormat(uuid.UUID),
    "ipv4": StringFormat(ipaddress.IPv4Address),
    "ipv6": StringFormat(ipaddress.IPv6Address),
}


def has_format(text: str, name: str) -> bool:
    """Returns whether `text` is written exactly in the format `name`, a key of FORMATS."""
    try:
        FORMATS[name].check(text)
    except ValueError:
        return False
    return True


def normalize(text: str, name: str | None) -> str:
    """Returns `text` in the spelling of the format `name`; unchanged for None and for formats that are not known.

    Raises ValueError where the text cannot be brought into the format.
    """
    string_format = FORMATS.get(name) if name is not None else None
    if string_format is None:
        return text
    if string_format.normalize is not None:
        return string_format.normalize(text)
    string_format.check(text)
    return text
