"""Parses the times of day of a text. Pure; English."""

from __future__ import annotations

import re
from typing import Final

from extproc.pipeline.functions.grounding.numbers import parse_quantities
from extproc.pipeline.functions.grounding.word_forms import fold, normalize
from extproc.pipeline.functions.number_words import CARDINALS

_BELOW_TWENTY: Final = "|".join(word for word, number in CARDINALS.items() if 0 < number < 20)
_ONES: Final = "|".join(word for word, number in CARDINALS.items() if 0 < number < 10)
_NUMBER: Final = rf"(?:\d{{1,2}}|{_BELOW_TWENTY}|twenty(?:[- ](?:{_ONES}))?|thirty|forty|fifty)"
_MERIDIEM: Final = r"(?:\s*(?P<meridiem>[ap])\.?\s?m\b\.?)"
_CLOCK: Final = re.compile(
    rf"(?<![\d:.])(?P<hour>[012]?\d)(?::|h|\.)(?P<minute>[0-5]\d)(?::[0-5]\d)?{_MERIDIEM}?(?![\d:])"
)
_HOUR: Final = re.compile(rf"(?<![\w:.])(?P<hour>{_NUMBER}){_MERIDIEM}")
_O_CLOCK: Final = re.compile(rf"(?<![\w:.])(?P<hour>{_NUMBER})\s+o'?\s?clock{_MERIDIEM}?")
_PAST: Final = re.compile(
    rf"(?<!\w)(?P<part>half|(?:a\s+)?quarter|{_NUMBER})(?:\s+minutes?)?\s+(?P<side>past|after|to|before|till|of)\s+(?P<hour>{_NUMBER}|noon|midnight)"
    rf"{_MERIDIEM}?(?!\w)"
)
_COUNTED: Final = r"\s*(?:%|\$|people|persons|guests|days|nights|hours|minutes|weeks|months)"
_AT: Final = re.compile(
    r"(?<!\w)(?:at|by|around|about|from|until|till|to|before|after|for|@|between|and|-)\s*"
    rf"(?P<hour>{_NUMBER})(?:\s+(?P<minute>{_NUMBER}))?(?![\w:%/$]|\.\d|\s*[ap]\.?\s?m\b|{_COUNTED})"
)
_MILITARY: Final = re.compile(r"(?<![\w:.])(?P<hour>[012]\d)(?P<minute>[0-5]\d)\s*(?:h\b|hrs\b|hours\b)")
_NAMED: Final = (("noon", 720), ("midday", 720), ("midnight", 0))
_MORNING: Final = re.compile(r"(?<!\w)(morning|breakfast|dawn|sunrise)(?!\w)")
_EVENING: Final = re.compile(r"(?<!\w)(afternoon|evening|tonight|night|dinner|supper)(?!\w)")
HALF_DAY: Final = 720


def minutes_of_day(text: str) -> set[int]:
    """Returns every time of day in minutes since midnight, 0 to 1439.

    Both halves of the day count if neither am or pm nor a word like "evening" decides.
    """
    plain = fold(normalize(text))
    found = {minutes for word, minutes in _NAMED if re.search(rf"(?<!\w){word}(?!\w)", plain)}
    rest = plain
    for pattern in (_PAST, _CLOCK, _O_CLOCK, _HOUR, _MILITARY, _AT):
        for match in pattern.finditer(rest):
            found |= _past(plain, match) if pattern is _PAST else _at_the_hour(plain, match)
        # A word belongs to one time only: "half past 6 pm" is not 6 pm too.
        rest = pattern.sub(" ; ", rest)
    return found


def _at_the_hour(plain: str, match: re.Match[str]) -> set[int]:
    groups = match.groupdict()
    text = match.group()
    if re.search(r"\d\.\d", text) and not groups.get("meridiem") and not _at(plain, match.start()):
        return set()  # a decimal number
    minute = _value(groups["minute"]) if groups.get("minute") else 0
    exact = match.re is _MILITARY or match["hour"].startswith("0")
    return _halves(plain, _value(match["hour"]), minute, groups.get("meridiem"), exact=exact)


def _at(plain: str, start: int) -> bool:
    return bool(re.search(r"(?<!\w)(at|by|around|@|until|till)\s*$", plain[:start]))


def _value(text: str) -> int:
    numbers = [each.value for each in parse_quantities(text)]
    return int(numbers[0]) if numbers else -1


def _past(plain: str, match: re.Match[str]) -> set[int]:
    part = 30 if match["part"] == "half" else 15 if "quarter" in match["part"] else _value(match["part"])
    hour = {"noon": 12, "midnight": 0}.get(match["hour"], _value(match["hour"]))
    if match["side"] == "of" or not 0 <= part < 60:
        return set()
    shift = part if match["side"] in {"past", "after"} else -part
    return {(minutes + shift) % 1440 for minutes in _halves(plain, hour, 0, match["meridiem"])}


def _halves(plain: str, hour: int, minute: int, meridiem: str | None, *, exact: bool = False) -> set[int]:
    if not (0 <= hour <= 24 and 0 <= minute < 60):
        return set()
    if meridiem and 1 <= hour <= 12:
        return {(hour % 12 + (12 if meridiem == "p" else 0)) * 60 + minute}
    if hour > 12 or hour == 0 or exact:
        return {hour % 24 * 60 + minute}
    early, late = hour % 12 * 60 + minute, (hour % 12 + 12) * 60 + minute
    morning, evening = _MORNING.search(plain), _EVENING.search(plain)
    if morning and not evening:
        return {early}
    if evening and not morning:
        return {late}
    return {early, late}
