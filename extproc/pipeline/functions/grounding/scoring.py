"""Scores how well a text supports an argument value, by type. Pure.

Used by supported_arguments.py, and by the rules that read a value out of a text (`numbers_in_unit`).
"""

from __future__ import annotations

import math
import re
from datetime import date
from typing import Final

import msgspec

from extproc.pipeline.functions.grounding import enums
from extproc.pipeline.functions.grounding.booleans import spoken_boolean
from extproc.pipeline.functions.grounding.dates import parse_dates
from extproc.pipeline.functions.grounding.numbers import Quantity, Unit, parse_quantities
from extproc.pipeline.functions.grounding.parsed_text import ParsedText
from extproc.pipeline.functions.grounding.strings import word_coverage
from extproc.pipeline.functions.grounding.times import HALF_DAY
from extproc.pipeline.functions.grounding.units import KELVIN, is_temperature, units_of
from extproc.pipeline.functions.grounding.word_forms import (
    identifier_words,
    normalize,
    same_word,
    split_words,
    stem,
)
from extproc.shared.filter_config import JsonValue, Parameter, ParameterType

_ISO_DATE: Final = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?")
_ISO_DATETIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?")
_TIME: Final = re.compile(r"([01]?\d|2[0-4])[:.]([0-5]\d)(?::[0-5]\d)?\s*(?:([ap])\.?m\.?)?", re.IGNORECASE)
_EXACT: Final = 1e-12
_COUNT: Final = re.compile(r"(?:number of|how many|count of|quantity of)\s+(?:the\s+)?([a-z]{3,})")
_MEASURE: Final = re.compile(r"[-+]?[$€£¥]?\s?\d[\d.,]*\s?[^\W\d]*[%°$€£¥]?")
_HOUR: Final = re.compile(r"(1[0-2]|0?[1-9])\s*([ap])\.?m\.?", re.IGNORECASE)


def support_score(parameter: Parameter, value: JsonValue, text: ParsedText) -> float:
    """Returns how well `text` supports `value` for `parameter`, 0 to 1.

    A default is always supported. A list or an object is as supported as its least supported element.
    """
    if value is None or _is_default(parameter, value):
        return 1.0
    if isinstance(value, list):
        item = _item(parameter)
        return min((support_score(item, each, text) for each in value), default=1.0)
    if isinstance(value, dict):
        return min((support_score(_leaf(parameter, name), each, text) for name, each in value.items()), default=1.0)
    return _scalar(parameter, value, text)


def _scalar(parameter: Parameter, value: bool | int | float | str, text: ParsedText) -> float:
    if isinstance(value, bool):
        spoken = spoken_boolean(parameter, text.text)
        return 0.0 if spoken is None else float(spoken is value)
    is_numeric = parameter.type in {ParameterType.INT, ParameterType.FLOAT} or not parameter.enum
    if isinstance(value, int | float) and is_numeric:
        return _number(parameter, float(value), text)
    return _string(parameter, str(value), text)


def _is_default(parameter: Parameter, value: JsonValue) -> bool:
    return parameter.default_json is not None and msgspec.json.decode(parameter.default_json) == value


def _item(parameter: Parameter) -> Parameter:
    """Returns a parameter that stands for one element of a list."""
    items = parameter.items
    kind, enum, form = (items.type, items.enum, items.format) if items else (ParameterType.STR, (), None)
    return Parameter(name=parameter.name, type=kind, description=parameter.description, enum=enum, format=form)


def _leaf(parameter: Parameter, name: str) -> Parameter:
    return Parameter(name=name, type=ParameterType.STR, description=parameter.description)


def _parameter_words(parameter: Parameter) -> list[str]:
    """Returns the words of the parameter's name and description."""
    return [*identifier_words(parameter.name), *(word.text for word in split_words(parameter.description))]


def _number(parameter: Parameter, value: float, text: ParsedText) -> float:
    words = _parameter_words(parameter)
    units = units_of(identifier_words(parameter.name), words) | ({KELVIN} if is_temperature(words) else set())
    is_percentage = any(word in {"percent", "percentage"} for word in words)
    for quantity in text.quantities:
        if _equals(quantity, value, units):
            return 1.0
        if is_percentage and not quantity.is_implied and _close(quantity.value * 100, value):
            return 1.0
    return float(_counted(parameter, value, text) or _in_date_or_time(words, value, text))


def numbers_in_unit(parameter: Parameter, text: ParsedText, *, with_unit: bool = False) -> set[int | float]:
    """Returns the numbers of a text in the parameter's unit. `with_unit`: only those with a unit of its kind."""
    units = units_of(identifier_words(parameter.name), _parameter_words(parameter))
    numbers: set[int | float] = set()
    for quantity in text.quantities:
        same = {unit for unit in units if quantity.unit is not None and unit[0] == quantity.unit[0]}
        if quantity.unit is not None and same:
            numbers |= {_whole(quantity.value * quantity.unit[1] / unit[1]) for unit in same}
        elif not with_unit and not quantity.is_implied and quantity.unit != KELVIN:
            numbers.add(_whole(quantity.value))
    return {number for number in numbers if isinstance(number, int) or parameter.type is not ParameterType.INT}


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() else round(number, 9)


def _equals(quantity: Quantity, value: float, units: set[Unit]) -> bool:
    if quantity.unit is not None:
        same = {unit for unit in units if unit[0] == quantity.unit[0]}
        if same:
            # Compared in the parameter's unit: 2 hours are 120 minutes, and not 2.
            return any(
                _close(quantity.value * quantity.unit[1] / unit[1], value, 1e-6 if unit != quantity.unit else _EXACT)
                for unit in same
            )
    return not quantity.is_implied and quantity.unit != KELVIN and _close(quantity.value, value)


def _close(number: float, value: float, tolerance: float = _EXACT) -> bool:
    return math.isclose(number, value, rel_tol=tolerance, abs_tol=1e-12)


def _counted(parameter: Parameter, value: float, text: ParsedText) -> bool:
    """Supports 0 and 1 without a number: "a room" is one of `rooms`, "no children" is none, "just me" is one."""
    if value not in (0.0, 1.0):
        return False
    if value == 0.0 and re.search(r"\b(at|from) rest\b|\bstationary\b", text.text.casefold()):
        return True
    if value == 1.0 and re.search(
        r"\b(just|only)\s+(me|myself|one)\b|\b(by|on) my\s?(self|own)\b", normalize(text.text).casefold()
    ):
        return True
    # The counted things: "rooms", or the guests of "Number of guests".
    things = [word for word in identifier_words(parameter.name) if len(word) > 2 and word != stem(word)]
    if match := _COUNT.search(parameter.description.casefold()):
        things.append(match[1])
    counts = {"no", "without", "zero"} if value == 0.0 else {"a", "an", "another", "single"}
    words = [word.text for word in text.words]
    for index, word in enumerate(words):
        if any(same_word(word, thing) for thing in things):
            if value == 1.0 and word.endswith("s") and not word.endswith("ss"):
                continue
            if counts & set(words[max(0, index - 2) : index]):
                return True
    return False


def _in_date_or_time(parameter_words: list[str], value: float, text: ParsedText) -> bool:
    """Supports a year, a month, a day or an hour that is part of a date or of a time in the text."""
    if not value.is_integer():
        return False
    names = set(parameter_words)
    days = text.days
    return (
        ("year" in names and int(value) in days.years)
        or ("month" in names and any(month == int(value) for _, month in days.months))
        or ("day" in names and any(day.day == int(value) for day in days.days))
        or (bool(names & {"hour", "time"}) and any(minutes // 60 == int(value) for minutes in text.times))
        or ("minute" in names and any(minutes % 60 == int(value) for minutes in text.times))
    )


def _string(parameter: Parameter, value: str, text: ParsedText) -> float:
    plain = normalize(value).strip()
    if match := _ISO_DATETIME.fullmatch(plain):
        return _day(match[1], text) * _time(match[2], text, beside_day=True)
    if _ISO_DATE.fullmatch(plain):
        return _day(plain, text)
    if _TIME.fullmatch(plain) or _HOUR.fullmatch(plain):
        return _time(plain, text)
    return _enum_member(parameter, value, text) if parameter.enum else _free_text(parameter, plain, text)


def _free_text(parameter: Parameter, value: str, text: ParsedText) -> float:
    share = word_coverage(value, text.text, text.words, text.numbers)
    if share >= 1.0 or any(enums.phrase_end(each, text.words) >= 0 for each in enums.spellings(value, parameter)):
        return 1.0
    return max(share, _written_date(value, text), _written_number(parameter, value, text))


def _enum_member(parameter: Parameter, value: str, text: ParsedText) -> float:
    if _is_boolean_enum(parameter):
        spoken = spoken_boolean(parameter, text.text)
        return 0.1 if spoken is None else float(str(spoken).casefold() == value.casefold())
    if all(str(member).isdecimal() for member in parameter.enum):
        return _number(parameter, float(value), text) if value.isdecimal() else 0.0
    named = enums.named_members(parameter, text.text, text.words)
    if value in named:
        return 1.0
    # The text names another member, so it does not mean this one.
    return 0.0 if named else 0.1


def _is_boolean_enum(parameter: Parameter) -> bool:
    members = {str(member).casefold() for member in parameter.enum}
    return {"true", "false"} <= members and len(members) <= 3


def _day(iso: str, text: ParsedText) -> float:
    """Scores an ISO day, or a month without a day."""
    year, month, day = _parts(iso)
    if not day:
        return float((year, month) in text.days.months)
    try:
        value = date(year, month, day)
    except ValueError:
        return 0.0
    return 1.0 if value in text.days.days else 0.9 if value in text.days.edges else 0.0


def _parts(iso: str) -> tuple[int, int, int]:
    year, month, day = [*map(int, iso.split("-")), 0][:3]
    return year, month, day


def _time(value: str, text: ParsedText, *, beside_day: bool = False) -> float:
    """Scores a time of day. `beside_day`: midnight stands for no time, if the text has none."""
    clock, hour = _TIME.fullmatch(value), _HOUR.fullmatch(value)
    if clock:
        minutes = int(clock[1]) * 60 + int(clock[2])
        if clock[3]:
            minutes = minutes % HALF_DAY + (HALF_DAY if clock[3].lower() == "p" else 0)
    elif hour:
        minutes = int(hour[1]) % 12 * 60 + (HALF_DAY if hour[2].lower() == "p" else 0)
    else:
        return 0.0
    if beside_day and minutes == 0 and not text.times:
        return 1.0
    return float(minutes % 1440 in text.times)


def _written_date(value: str, text: ParsedText) -> float:
    """Scores a date in words: "May 3rd, 2027" for "3 May"."""
    dates = parse_dates(value, text.today)
    if not dates.days or not text.days.days:
        return 0.0
    words = [word.text for word in split_words(value) if not any(each.isdigit() for each in word.text)]
    return float(bool(dates.days & text.days.days) and len(words) <= 3)


def _written_number(parameter: Parameter, value: str, text: ParsedText) -> float:
    """Scores a number in a string, with or without a unit."""
    if not _MEASURE.fullmatch(value):
        return 0.0
    quantities = [each for each in parse_quantities(value) if not each.is_implied]
    return max((_number(parameter, each.value, text) for each in quantities), default=0.0)
